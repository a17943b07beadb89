"""FI, UnBiasedEmo and EmotionROI: releases that one downloads, with the quirks of their folders and lists."""

from __future__ import annotations

import zipfile
from collections import Counter

import pytest
from miniature_hub import emotionroi, fi, unbiasedemo
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import MissingData, find_benchmarks
from sepm_eval.emotions import EMOTION6, MIKELS, UNBIASEDEMO

BENCHMARKS = find_benchmarks()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return tmp_path


def test_fi_is_its_folders(root):
    fi(root)
    items = BENCHMARKS["fi"].items()
    assert Counter(item.label for item in items) == dict.fromkeys(MIKELS, 2)
    assert items[0].id.startswith("amusement/amusement_")


def test_unbiasedemo_has_pictures_of_one_name(root):
    unbiasedemo(root)
    items = BENCHMARKS["unbiasedemo"].items()
    assert Counter(item.label for item in items) == dict.fromkeys(UNBIASEDEMO, 2)
    assert {item.id for item in items if item.label == "love"} == {"love/cat/1", "love/people/1"}


def test_emotionroi_has_its_own_split(root):
    emotionroi(root)
    benchmark = BENCHMARKS["emotionroi"]
    assert {item.id for item in benchmark.items()} == {f"{label}/3" for label in EMOTION6}
    assert len(benchmark.items("full")) == 18
    assert Counter(item.label for item in benchmark.items("train")) == dict.fromkeys(EMOTION6, 2)


def test_a_zip_is_prepared_with_the_command_that_is_shown(root, tmp_path):
    made = fi(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "FI.zip", "w") as archive:
        for path in made.rglob("*.jpg"):
            archive.write(path, path.relative_to(tmp_path / "made"))
    result = CliRunner().invoke(app, ["prepare", "fi", "--source", str(tmp_path / "FI.zip")])
    assert result.exit_code == 0, result.output
    assert "N = 16" in result.output


@pytest.mark.parametrize(
    ("make", "name", "change", "message"),
    [
        (fi, "fi", lambda folder: (folder / "awe").rename(folder / "joy"), "expected the folders .* of FI, found"),
        (fi, "fi", lambda folder: [one.unlink() for one in (folder / "awe").iterdir()], "awe holds no pictures"),
        (
            *(unbiasedemo, "unbiasedemo"),
            lambda folder: (folder / "images" / "love").rename(folder / "images" / "disgust"),
            "expected the folders .* of UnBiasedEmo, found",
        ),
        (
            *(unbiasedemo, "unbiasedemo"),
            lambda folder: ((folder / "images").rename(folder / "x"), (folder / "images.zip").touch()),
            "images.zip: unpack it there",
        ),
        (
            *(emotionroi, "emotionroi"),
            lambda folder: (folder / "training_testing_split" / "testing.txt").unlink(),
            "has no testing.txt: it is not an EmotionROI release",
        ),
        (
            *(emotionroi, "emotionroi"),
            lambda folder: (folder / "training_testing_split" / "testing.txt").write_text("anger/1.jpg\nlove/1.jpg\n"),
            "line 2: expected emotion/n.jpg",
        ),
        (
            *(emotionroi, "emotionroi"),
            lambda folder: (folder / "training_testing_split" / "testing.txt").write_text("anger/../../1.jpg\n"),
            "leads out of the release",
        ),
    ],
)
def test_another_layout_is_named(root, make, name, change, message):
    change(make(root))
    with pytest.raises((MissingData, ValueError), match=message):
        BENCHMARKS[name].items()

"""The item list `emoset2k`: which pictures of EmoSet a copy on the hub holds, by id, by file and by picture."""

from __future__ import annotations

import io

import pytest
from miniature import emoset_release
from miniature_hub import cache, table  # noqa: F401
from PIL import Image
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import MissingData, data_folder, find_benchmarks

EMOSET = find_benchmarks()["emoset"]
SOURCE = "hf:fuyyy74/EmoSet2k"


@pytest.fixture
def release(cache):  # noqa: F811
    data_folder().mkdir()
    return emoset_release(data_folder())


def stored_anew(path, kind="PNG") -> bytes:
    """The same pixels in another file."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def prepare(*more):
    return CliRunner().invoke(app, ["prepare", "emoset", "--source", SOURCE, "--list", "emoset2k", *more])


def row(content, answer, name=None, **more):
    return {"images": [{"bytes": content, "path": name}], "problem": "<image>?", "answer": answer, **more}


def test_by_id_by_file_and_by_picture(cache, release, caplog):  # noqa: F811
    files = {label: release / "image" / label / f"{label}_00000.jpg" for label in ("awe", "fear", "anger", "disgust")}
    rows = [
        row(b"stored with loss", "awe", "awe_00000.jpg"),  # its name tells
        row(files["fear"].read_bytes(), "fear", "17.jpg"),  # its bytes do
        row(stored_anew(files["anger"]), "anger", "18.png"),  # its pixels do
        row(stored_anew(files["disgust"]), "fear", "19.png"),  # an EmoSet picture under another label is none
        row(stored_anew(files["awe"]), "awe", "20.png"),  # one that is there already
    ]
    table(cache("fuyyy74/EmoSet2k") / "data" / "test-00000-of-00001.parquet", rows)
    result = prepare()
    assert result.exit_code == 0, result.output
    assert "4 of 5 pictures are in the release (1 by id, 1 by file, 2 by picture): 3 items" in caplog.text
    assert {item.id: item.label for item in EMOSET.items("emoset2k")} == {
        f"{label}_00000": label for label in ("awe", "fear", "anger")
    }
    assert len(EMOSET.items()) == 16  # the release itself is as it was


def test_the_other_columns_that_are_known_of_it(cache, release):  # noqa: F811
    content = (release / "image/awe/awe_00001.jpg").read_bytes()
    picture = {"bytes": content, "path": None}
    rows = [{"image": picture, "label": "awe", "id": 5}]
    table(cache("fuyyy74/EmoSet2k") / "test-0.parquet", rows)
    assert prepare().exit_code == 0
    assert [item.id for item in EMOSET.items("emoset2k")] == ["awe_00001"]


def test_nothing_of_it_is_there(cache, release):  # noqa: F811
    table(cache("fuyyy74/EmoSet2k") / "test-0.parquet", [row(b"x", "awe", "x.jpg")])
    result = prepare()
    assert result.exit_code == 1
    assert "none of the 1 pictures of fuyyy74/EmoSet2k is in the release" in result.output


def test_a_label_that_cannot_be_read(cache, release):  # noqa: F811
    table(cache("fuyyy74/EmoSet2k") / "test-0.parquet", [row(b"x", "\\boxed{awe}", "x.jpg")])
    result = prepare()
    assert result.exit_code == 1
    assert "line 1: label '\\\\boxed{awe}' of 'x' is not one of" in result.output


def test_the_release_must_be_there(cache):  # noqa: F811
    table(cache("fuyyy74/EmoSet2k") / "test-0.parquet", [row(b"x", "awe", "x.jpg")])
    result = prepare()
    assert result.exit_code == 1
    assert "EmoSet-118K.zip" in result.output


def test_the_list_before_it_is_made(release):
    with pytest.raises(MissingData, match="this list is made by sepm-eval prepare emoset --source hf:fuyyy74/EmoSet2k"):
        EMOSET.items("emoset2k")

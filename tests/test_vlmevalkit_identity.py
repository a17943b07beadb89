"""Answers of another run are never taken over by VLMEvalKit: every difference is named."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_vlmevalkit import installed

from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
from sepm_eval.hosts.vlmevalkit import pairs as _vlmevalkit_pairs
from sepm_eval.hosts.vlmevalkit.about import About, Questions, from_file, questions_of
from sepm_eval.hosts.vlmevalkit.pairs import OtherAnswers, Pairs
from sepm_eval.runs.identity import Identity

BENCHMARKS = find_benchmarks()


def identity(**changed) -> Identity:
    return Identity(**{"entry": "sepm_llava", "checkpoint": "demo", "revision": "a", "method": "sepm", **changed})


def asked(*rows: tuple[str, str, str], item_list: str = "test", limit: int | None = None) -> Questions:
    return questions_of(BENCHMARKS["emotion_demo"], item_list, rows or ROWS, limit)


ROWS = (("one", "anger", "a" * 64), ("two", "awe", "b" * 64))
PAIR = ("sepm_demo", "EmotionDemo")


def pairs_of(work: Path, about: About, **settings) -> Pairs:
    return Pairs(work, {PAIR: about}, {"EmotionDemo": {}}, **{"answering": True, "reuse": False, **settings})


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        ({"identity": identity(revision="b")}, "revision: a, now b"),
        ({"identity": identity(options={"beta": 1})}, "options.beta: None, now 1"),
        ({"identity": identity(versions={"pillow": "13"})}, "versions.pillow: None, now 13"),
        ({"identity": identity(polarity={"awe": "negative"})}, "polarity.awe: None, now negative"),
        ({"identity": identity(checkpoint="/mine")}, "checkpoint: demo, now /mine"),
        ({"identity": None}, "only one of the two models is sepm_eval's"),
        ({"arguments": {"dtype": "float16"}}, "dtype: default, now float16"),
        ({"questions": asked(item_list="mine")}, "item list: test, now mine"),
        ({"questions": asked(limit=1)}, "items asked: 2 of 2, now 1 of 2"),
        ({"questions": asked(("one", "awe", "a" * 64), ROWS[1])}, "labels"),
        ({"questions": None}, "the data set"),
    ],
)
def test_every_difference_is_named(tmp_path, now, difference):
    about = About(identity(), {}, asked())
    folder = tmp_path / "sepm_demo"
    pairs_of(tmp_path, about).start(folder, PAIR)
    for name in ("sepm_demo_EmotionDemo.xlsx", "sepm_demo_EmotionDemo_PREV.pkl", "01_EmotionDemo.pkl"):
        (folder / name).touch()
        (said,) = pairs_of(tmp_path, replace(about, **now)).refused()
        assert f"{folder / name} holds answers of another run ({difference})" in said
        assert pairs_of(tmp_path, about).refused() == []
        (folder / name).unlink()
    assert pairs_of(tmp_path, replace(about, **now)).refused() == []  # nothing would be taken over


@installed
@pytest.mark.parametrize(
    ("method", "name", "polarity", "answered_by"),
    [
        ("sepm", "lai_gai", {}, "plain generation, not sepm"),
        ("sepm", "emoset", {}, ""),
        ("zero_shot", "lai_gai", {}, ""),
        ("not_installed", "lai_gai", {}, ""),
    ],
)
def test_who_answered_is_said_where_the_method_could_not_be_asked(method, name, polarity, answered_by):
    about = About(Identity("m", "a/b", method=method, polarity=polarity), {}, None)
    assert about.answered_by(find_benchmarks()[name]) == answered_by
    assert About(None, {}, None).answered_by(find_benchmarks()[name]) == ""


def test_only_the_picture_of_a_failed_question_may_change(tmp_path):
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import pandas as pd
from test_vlmevalkit_identity import *
work, about = Path(sys.argv[2]), About(None, {}, asked())
pairs_of(work, about).start(work / "sepm_demo", PAIR)
other = asked(("one", "anger", "c" * 64), ROWS[1])
for said in ("A", "Failed to obtain answer via API."):
    table = pd.DataFrame({"index": ["one", "two"], "picture": ["a" * 64, "b" * 64], "prediction": [said, "B"]})
    table.to_csv(work / "sepm_demo/sepm_demo_EmotionDemo.tsv", sep="\t", index=False)
    now = pairs_of(work, About(None, {}, other))
    now.pictures = {"EmotionDemo": {"one": "c" * 64, "two": "b" * 64}}
    print(now.refused(), file=sys.stderr)
    print(len(now.refused()))
"""
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "0"]
    assert "holds answers of another run (pictures)" in run.stderr


def test_scoring_alone_does_not_ask_for_versions_or_weights(tmp_path):
    former = About(identity(versions={"torch": "1"}, model={"dtype": "float32"}), {}, asked())
    pairs_of(tmp_path, former).start(tmp_path / "sepm_demo", PAIR)
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo.xlsx").touch()
    now = About(identity(versions={"torch": "2"}, revision=""), {}, asked())
    assert len(pairs_of(tmp_path, now).refused()) == 1
    scoring = pairs_of(tmp_path, now, answering=False, reuse=True)
    assert scoring.refused() == []
    scoring.start(tmp_path / "sepm_demo/T20260101-000000", PAIR)
    told = from_file(tmp_path / "sepm_demo/T20260101-000000/sepm_demo_EmotionDemo_sepm_eval.json")
    assert told == former  # whose answers they are does not change


def test_runs_in_folders_of_their_own_are_compared_where_reuse_takes_them_from(tmp_path):
    about, other = About(identity(), {}, asked()), About(identity(revision="b"), {}, asked())
    for name, content, age in (("T20260101_Gabc", about, 0), ("T20260102-120000", other, 10)):
        folder = tmp_path / "sepm_demo" / name
        pairs_of(tmp_path, content).start(folder, PAIR)
        (folder / "sepm_demo_EmotionDemo.xlsx").touch()
        os.utime(folder, (1000 + age, 1000 + age))
    assert pairs_of(tmp_path, about).refused() == []
    (said,) = pairs_of(tmp_path, about, reuse=True).refused()
    assert "T20260102-120000" in said
    assert pairs_of(tmp_path, other, reuse=True).refused() == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identity": {"entry": "x"}, "arguments": {}, "questions": null}']
)
def test_a_damaged_file_is_not_believed(tmp_path, content):
    about = About(identity(), {}, asked())
    (tmp_path / "sepm_demo").mkdir()
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo.xlsx").touch()
    (tmp_path / "sepm_demo/sepm_demo_EmotionDemo_sepm_eval.json").write_text(content)
    (said,) = pairs_of(tmp_path, about).refused()
    assert "does not say whose answers these are" in said


def test_a_model_is_compared_once_more_when_it_is_loaded(tmp_path, monkeypatch):
    """Settings that only loading shows, such as the dtype that auto stands for; only the first process writes."""
    about, folder = About(identity(), {}, asked()), tmp_path / "sepm_demo"
    path = folder / "sepm_demo_EmotionDemo_sepm_eval.json"
    single, double = identity(model={"dtype": "float32"}), identity(model={"dtype": "float64"})
    first = pairs_of(tmp_path, about)
    first.start(folder, PAIR)
    first.loaded(folder, PAIR, single)
    assert from_file(path).identity == single
    (folder / "sepm_demo_EmotionDemo.xlsx").touch()
    second = pairs_of(tmp_path, about)
    assert second.refused() == []
    with pytest.raises(OtherAnswers, match=r"model.dtype: float32, now float64"):
        second.loaded(folder, PAIR, double)
    monkeypatch.setattr(_vlmevalkit_pairs, "PROCESSES", 2)
    with pytest.raises(SystemExit, match=r"model.dtype: float32, now float64"):
        second.loaded(folder, PAIR, double)
    second.loaded(folder, PAIR, single)
    monkeypatch.setattr(_vlmevalkit_pairs, "RANK", 1)
    path.unlink()
    second.start(folder, PAIR)
    second.loaded(folder, PAIR, single)
    assert not path.exists()


def test_answers_taken_over_without_being_asked_are_announced(tmp_path, caplog):
    pairs = pairs_of(tmp_path, About(None, {}, asked()))
    pairs.start(tmp_path / "sepm_demo", PAIR)
    vlmevalkit._warn_of_reuse(pairs)
    assert caplog.records == []
    former = tmp_path / "sepm_demo" / "sepm_demo_EmotionDemo.xlsx"
    former.touch()
    vlmevalkit._warn_of_reuse(pairs)
    assert f"take over the answers in {former}, although --reuse is not given" in caplog.text
    assert "the weights of this model are not known" in caplog.text

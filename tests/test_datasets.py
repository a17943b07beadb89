"""Benchmarks from their official layouts, and what is said when they are not there."""

import hashlib
import json
from collections import Counter

import pytest
from miniature import emoset_release

from sepm_eval import demo
from sepm_eval.datasets import MissingData, emoset, emotion_demo
from sepm_eval.emotions import MIKELS
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import doc_to_text, doc_to_visual, process_results


@pytest.fixture
def release(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return emoset_release(tmp_path)


def test_rows_of_three_and_of_four_elements(release):
    items = emoset.BENCHMARKS["emoset"].items()
    assert sorted(item.id for item in items) == sorted(f"{label}_{i:05d}" for i in range(2) for label in MIKELS)
    assert {len(row) for row in json.loads((release / "test.json").read_text())} == {3, 4}
    assert all(item.path.is_file() for item in items)
    assert [item.label for item in items[:8]] == list(MIKELS)


def test_the_other_official_splits(release):
    (release / "val.json").write_text('[["awe", "image/awe/awe_00001.jpg", "annotation/awe/awe_00001.json"]]')
    rows = json.loads((release / "test.json").read_text())
    (release / "test.json").write_text(json.dumps([row for row in rows if "awe_00001" not in row[1]]))
    assert [item.id for item in emoset.BENCHMARKS["emoset"].items("val")] == ["awe_00001"]
    assert "awe_00001" not in {item.id for item in emoset.BENCHMARKS["emoset"].items()}
    assert len(emoset.BENCHMARKS["emoset"].items("test")) < 16


def test_documents(release):
    docs = documents(emoset.BENCHMARKS["emoset"])
    assert len(docs) == 16
    doc = docs[0]
    assert doc_to_text(doc).splitlines()[1:9] == [f"{chr(65 + i)}. {name}" for i, name in enumerate(MIKELS.values())]
    assert doc_to_visual(doc)[0].mode == "RGB"


@pytest.mark.parametrize(
    ("output", "acc", "unparsed"),
    [("G", 1.0, 0.0), ("G. Fear", 1.0, 0.0), ("A", 0.0, 0.0), ("I cannot tell", 0.0, 1.0), ("", 0.0, 1.0)],
)
def test_metrics_of_an_answer(release, output, acc, unparsed):
    doc = next(doc for doc in documents(emoset.BENCHMARKS["emoset"]) if doc["label"] == "fear")
    metrics = process_results(doc, [output])
    assert list(metrics["options"].items()) == list(MIKELS.items())
    assert (metrics["acc"], metrics["score"], metrics["unparsed"], metrics["n_failed"]) == (acc, acc, unparsed, 0)


def test_a_failure_counts_as_nothing_else(release):
    from sepm_eval.scoring import failure_text

    metrics = process_results(documents(emoset.BENCHMARKS["emoset"])[0], [failure_text(OSError("gone")).strip()])
    assert metrics.pop("answer_label") is None
    assert set(metrics) == {"n_failed", "item_id", "item_list", "label", "options", "picture", "answered_at"}
    assert metrics["n_failed"] == 1


def test_a_split_that_is_not_there(release):
    with pytest.raises(MissingData, match="no items of the list 'train'"):
        emoset.BENCHMARKS["emoset"].items("train")


def problem(release, match):
    """The same message in the library and, as an exception at the first look, in lmms-eval."""
    with pytest.raises((MissingData, ValueError), match=match):
        emoset.BENCHMARKS["emoset"].items()
    with pytest.raises(MissingData, match=match):
        doc_to_text(documents(emoset.BENCHMARKS["emoset"])[0])


def test_no_release(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    problem(None, r"emoset: no folder .*EmoSet-118K\. Download EmoSet-118K\.zip .*SEPM_EVAL_DATA")


def test_pictures_missing_or_empty(release):
    (release / "image/awe/awe_00000.jpg").unlink()
    (release / "image/fear/fear_00001.jpg").write_bytes(b"")
    problem(release, "2 of 16 pictures are missing or empty, such as .*awe_00000.jpg")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "test.json is not JSON"),
        ("{}", "not a list of rows"),
        ("[]", "not a list of rows"),
        ('[["awe", "awe_1.jpg"]]', "row 0: expected"),
        ('[["joy", "image/joy/joy_1.jpg", "annotation/joy/joy_1.json"]]', "row 0: expected"),
        ('[["awe", "image/../../../etc/passwd", "x"]]', "leads out of the release"),
        ("[7]", "row 0: expected"),
    ],
)
def test_a_broken_list_names_the_row(release, content, message):
    (release / "test.json").write_text(content)
    problem(release, message)


def test_a_folder_without_a_list(release):
    (release / "test.json").unlink()
    problem(release, "not an EmoSet-118K release")


def test_the_demo_pictures_are_the_listed_ones():
    items = emotion_demo.BENCHMARKS["emotion_demo"].items()
    assert len(items) >= 400
    rows = [json.loads(line) for line in (demo.PICTURES / "items.jsonl").read_text().splitlines()]
    digests = {item.id: hashlib.sha256(item.path.read_bytes()).hexdigest() for item in items}
    assert digests == {row["id"]: row["sha256"] for row in rows}
    balance = Counter((item.label, item.extra["seen"]) for item in items)
    assert len(set(balance.values())) == 1
    assert len(balance) == 16
    seen, unseen = ({i.extra["artwork"] for i in items if i.extra["seen"] is s} for s in (True, False))
    assert not seen & unseen


def test_the_shipped_data_is_small():
    size = sum(path.stat().st_size for folder in (demo.MODEL, demo.PICTURES) for path in folder.rglob("*"))
    assert size < 20e6

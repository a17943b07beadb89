"""What a task asks today, as the value that a run of it is compared with."""

from __future__ import annotations

import pytest
from miniature import emoset_release, picture

from sepm_eval.datasets import find_benchmarks
from sepm_eval.runs.exams import exam_of
from sepm_eval.runs.identity import exam_digest
from sepm_eval.runs.item_sets import item_set_digest
from sepm_eval.tasks.documents import documents


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    emoset_release(tmp_path)
    return find_benchmarks()["emoset"]


def test_it_is_the_digest_of_the_documents_in_their_order(benchmark):
    """The first so many documents, as lmms-eval asks them under --limit."""
    docs = documents(benchmark)
    for limit in (None, 5):
        rows = [(doc["id"], doc["label"], doc["picture"]) for doc in docs][:limit]
        found = exam_of(benchmark, limit)
        assert found.digest == exam_digest("emoset", "test", item_set_digest(rows), [benchmark.question()])
        assert (found.asked, found.available, found.item_list) == (len(rows), 16, "test")


def test_a_changed_picture_is_another_exam(benchmark, tmp_path):
    before = exam_of(benchmark)
    picture(tmp_path / "EmoSet-118K" / "image" / "anger" / "anger_00000.jpg", 77)
    assert exam_of(benchmark).digest != before.digest

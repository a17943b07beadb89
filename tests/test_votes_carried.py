"""Where people voted, their votes go from the release through the documents into every sample of a log."""

import pytest
from miniature import abstract_release, artphoto_release, emotion6_release

from sepm_eval.datasets import find_benchmarks
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import process_results

BENCHMARKS = find_benchmarks()


@pytest.mark.parametrize(("make", "name"), [(emotion6_release, "emotion6"), (abstract_release, "abstract")])
def test_votes_are_in_every_sample(tmp_path, monkeypatch, make, name):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    make(tmp_path)
    votes = {item.id: item.extra["votes"] for item in BENCHMARKS[name].items()}
    for doc in documents(BENCHMARKS[name]):
        assert set(votes[doc["id"]]) >= set(doc["labels"])
        for output in ("A", "[sepm_eval: not answered] OSError: gone"):
            assert process_results(doc, [output])["votes"] == votes[doc["id"]]


def test_a_set_without_votes_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    artphoto_release(tmp_path)
    assert "votes" not in process_results(documents(BENCHMARKS["artphoto"])[0], ["A"])

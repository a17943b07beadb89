"""People's votes: from a release into the log, and what the report makes of them beside a model's probabilities."""

from __future__ import annotations

import pytest
from make_runs import LLAVA, read_lines, run, write_lines
from miniature import abstract_release, emotion6_release

from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import MIKELS
from sepm_eval.runs.results import read_runs
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import process_results

DAY = "20261101_120000"


def with_votes(folder, votes, probabilities=None):
    """Give every sample below a folder the votes of its number, and every journal record its probabilities."""
    for log in folder.rglob("*_samples_*.jsonl"):
        samples = read_lines(log)
        write_lines(log, [{**sample, "votes": votes(sample["doc_id"])} for sample in samples])
    for journal in (folder / "journals").glob("*.jsonl"):
        records = read_lines(journal)
        told = probabilities or (lambda _: {})
        write_lines(journal, [{**record, "option_probabilities": told(record["doc_id"])} for record in records])


@pytest.mark.parametrize(
    ("name", "make", "votes"),
    [
        ("emotion6", emotion6_release, {"disgust": 0.4, "neutral": 0.6, "anger": 0.0}),
        ("abstract", abstract_release, {"amusement": 6, "awe": 1, "sadness": 1}),
    ],
)
def test_votes_of_a_release_stand_in_the_log(tmp_path, monkeypatch, name, make, votes):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv("SEPM_EVAL_LISTS", "emotion6=full")
    make(tmp_path)
    asked = {doc["id"]: doc for doc in documents(find_benchmarks()[name])}
    logged = process_results(asked[{"emotion6": "anger/1", "abstract": "abstract_0001"}[name]], ["A"])["votes"]
    assert {label: logged[label] for label in votes} == votes
    assert len(logged) == {"emotion6": 7, "abstract": 8}[name]


def test_a_document_without_votes_says_nothing_of_them():
    doc = documents(find_benchmarks()["emotion_demo"])[0]
    assert "votes" not in process_results(doc, ["A"])
    assert "votes" not in process_results({**doc, "votes": dict.fromkeys(MIKELS)}, ["A"])
    assert process_results({**doc, "votes": {"awe": 3, "fear": None}}, ["A"])["votes"] == {"awe": 3}


def test_votes_and_probabilities_are_read_back(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    with_votes(tmp_path, lambda n: {"awe": n, "fear": 1}, lambda n: {"awe": 0.5, "fear": n / 100})
    (found,) = read_runs([tmp_path])
    fourth = found.outcomes[4]
    assert fourth.votes == {"awe": 4, "fear": 1}
    assert (fourth.record.labels, list(fourth.record.probabilities)) == (("awe", "fear"), [0.5, 0.04])
    assert fourth.record.labels is found.outcomes[5].record.labels


@pytest.mark.parametrize("votes", [{}, {"awe": 0}, {"awe": -1}, {"awe": "6"}, {"awe": True}, {"awe": 1e400}, [1], None])
def test_votes_that_are_none_are_a_damaged_log(tmp_path, votes):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, DAY)
    with_votes(tmp_path, lambda n: votes)
    with pytest.raises(ValueError, match=r"line 1 is no sample of lmms-eval \(votes is .*move the file away"):
        read_runs([tmp_path])


@pytest.mark.parametrize("probabilities", [{"awe": 1.1}, {"awe": -0.1}, {"awe": None}, {"awe": float("nan")}])
def test_probabilities_that_are_none_are_a_damaged_journal(tmp_path, probabilities):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    with_votes(tmp_path, lambda n: {"awe": 1}, lambda n: probabilities)
    with pytest.raises(ValueError, match="line 1 is not a journal record"):
        read_runs([tmp_path])

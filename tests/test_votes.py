"""People's votes: from a release into the log, and what the report makes of them beside a model's probabilities."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from make_runs import LLAVA, read_lines, run, write_lines
from miniature import abstract_release, emotion6_release

from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import EMOTION6, MIKELS, WHEELS
from sepm_eval.parsing import Options
from sepm_eval.report import distributions, statistics, tables
from sepm_eval.report.votes import HALVES, PEOPLE, answers, voted, votes
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


@pytest.mark.parametrize("probabilities", [{"awe": "1"}, {"awe": -0.1}, {"awe": None}, {"awe": float("nan")}])
def test_probabilities_that_are_none_are_a_damaged_journal(tmp_path, probabilities):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    with_votes(tmp_path, lambda n: {"awe": 1}, lambda n: probabilities)
    with pytest.raises(ValueError, match="line 1 is not a journal record"):
        read_runs([tmp_path])


LABELS = list(MIKELS)
UNEVEN = np.random.default_rng(8).multinomial(14, np.full(8, 0.125), size=32)


def counted(n):
    """Fourteen votes on every painting, as whole numbers."""
    return dict(zip(LABELS, map(int, UNEVEN[n]), strict=True))


def likely(n):
    """Probabilities of a model: most of it on one letter, nine tenths of it on letters at all."""
    return {label: 0.9 * (0.65 if place == n % 8 else 0.05) for place, label in enumerate(LABELS)}


@pytest.fixture(scope="module")
def voted_runs(tmp_path_factory):
    """Zero-shot with probabilities, a stock model without, and people's votes beside both."""
    folder = tmp_path_factory.mktemp("voted")
    run(folder, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    run(folder, "llava_hf", LLAVA, "", "emoset", 0.4, DAY)
    with_votes(folder, counted, likely)
    return read_runs([folder])


def lines(table):
    return {(row["model"], row["method"]): row for row in table.records}


def test_models_and_people_stand_in_one_table(voted_runs):
    table = votes(voted_runs)
    found = lines(table)
    ours, stock, people = found[LLAVA, "zero_shot"], found[LLAVA, "llava_hf"], found[PEOPLE, HALVES]
    model = np.array([[likely(n)[label] / 0.9 for label in LABELS] for n in range(32)])
    said = UNEVEN / 14
    assert ours["jensen_shannon"] == pytest.approx(distributions.jensen_shannon(model, said).mean())
    places = np.array([WHEELS["Mikels"].index(label) for label in LABELS])
    around = [distributions.on_wheel(one, places) for one in (model, said)]
    assert (ours["emd"], ours["wheel"]) == (pytest.approx(distributions.circular_emd(*around).mean()), "Mikels")
    assert (ours["n"], ours["n_probabilities"], stock["n_probabilities"]) == (32, 32, 0)
    assert stock["jensen_shannon"] is stock["emd"] is None
    for record, one in ((ours, voted_runs[0]), (stock, voted_runs[1])):
        assert one.variant == record["method"]
        hits = [UNEVEN[o.doc_id][LABELS.index(o.score.label)] == UNEVEN[o.doc_id].max() for o in one.outcomes]
        assert record["peoples_choice"] == pytest.approx(100 * np.mean(hits))
        assert record["accuracy"] == one.accuracy
    ceiling = distributions.split_halves(UNEVEN, places)
    assert (people["peoples_choice"], people["jensen_shannon"], people["emd"]) == (
        100 * ceiling.agreement,
        ceiling.jensen_shannon,
        ceiling.emd,
    )
    assert [cell.text for cell in table.rows[1][-2:]] == ["-", "-"]
    assert table.rows[0][-1].details[-1] == "Mikels"
    assert table.key in [one.key for one in tables.all_tables(voted_runs)]


def test_the_intervals_are_those_of_the_means(voted_runs):
    row = votes(voted_runs).rows[0]
    low, high = (float(end) for end in row[-2].details[0].strip("[]").split(", "))
    assert low < row[-2].value < high
    values = np.random.default_rng(0).normal(size=4000)
    half = 1.959964 * values.std(ddof=1) / np.sqrt(4000)
    found = statistics.mean_interval(values)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_answers_and_their_probabilities(voted_runs):
    """Of the answered option: 0.65 of what is on letters where that is the likeliest one, 0.05 where it is not."""
    (record,) = answers(voted_runs).records
    ours = voted_runs[0]
    sure = np.array([0.65 if LABELS.index(one.score.label) == one.doc_id % 8 else 0.05 for one in ours.outcomes])
    right = np.array([one.score.correct for one in ours.outcomes])
    assert (record["method"], record["n"]) == ("zero_shot", 32)
    assert record["letters"] == pytest.approx(90)
    assert record["mean_probability"] == pytest.approx(100 * sure.mean())
    assert record["brier"] == pytest.approx(((sure - right) ** 2).mean())
    groups = [sure > 0.5, sure < 0.5]
    assert record["ece"] == pytest.approx(sum(abs(sure[g].mean() - right[g].mean()) * g.mean() for g in groups))


def test_items_that_offer_different_labels_have_no_distribution_in_common(voted_runs):
    first, *others = voted_runs[0].outcomes
    odd = dataclasses.replace(first, options=Options(("awe", "fear"), ("Awe", "Fear")))
    assert voted([first, *others]).votes.shape == (32, 8)
    assert voted([odd, *others]) is None


def change(folder, **changed):
    for log in folder.rglob("*_samples_*.jsonl"):
        first, *others = read_lines(log)
        write_lines(log, [{**first, **changed}, *others])


def test_unparsed_failed_and_unvoted_items_are_three_things(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "sparsevlm", "emoset", 0.5, DAY)  # its sixth question failed
    with_votes(tmp_path, lambda n: counted(n) if n != 7 else {"boredom": 3}, lambda n: likely(n) if n != 9 else {})
    (log,) = tmp_path.rglob("*_samples_*.jsonl")
    samples = read_lines(log)
    samples[2]["filtered_resps"] = "I cannot tell."
    write_lines(log, samples)
    runs = read_runs([tmp_path])
    table = votes(runs)
    (ours, people) = table.records
    assert (ours["n"], ours["n_probabilities"], people["n"]) == (
        30,
        28,
        31,
    )  # the journal has another text of the third
    assert table.rows[0][-2].details[1] == "of 28"
    assert any("3.2 % of the votes are for labels that are not on offer" in note for note in table.notes)
    assert answers(runs).records[0]["n"] == 29


def test_shares_are_no_counts(tmp_path):
    """Emotion6: no ceiling, neutral left out, and another wheel, since joy and surprise are not on Mikels'."""
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5, DAY)
    shares = dict.fromkeys([*EMOTION6, "neutral"], 0.0) | {"joy": 0.3, "surprise": 0.1, "neutral": 0.6}
    with_votes(tmp_path, lambda n: shares, lambda n: dict.fromkeys(EMOTION6, 1 / 6))
    table = votes(read_runs([tmp_path]))
    (record,) = table.records
    assert (record["wheel"], record["votes_outside"]) == ("Plutchik", pytest.approx(60))
    # a sixth each at joy 0, fear 2, surprise 3, sadness 4, disgust 5, anger 6, of eight places
    even = np.array([[1, 0, 1, 1, 1, 1, 1, 0]]) / 6
    said = np.array([[0.75, 0, 0, 0.25, 0, 0, 0, 0]])
    assert record["emd"] == pytest.approx(distributions.circular_emd(even, said)[0])
    assert "emotion6: the votes are known as shares, not as counts of people" in " ".join(table.notes)
    assert "60.0 % of the votes are for labels that are not on offer" in " ".join(table.notes)


def test_shares_of_which_none_is_left_out_say_nothing_of_it(tmp_path):
    """Added up in another order they may differ in the last digit."""
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, DAY)
    parts = np.random.default_rng(1).dirichlet(np.ones(8), 32)
    with_votes(tmp_path, lambda n: dict(zip(reversed(LABELS), parts[n], strict=True)))
    table = votes(read_runs([tmp_path]))
    assert not any("not on offer, and left out" in note for note in table.notes)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (lambda n: {"awe": 1}, "shares, not as counts"),
        (lambda n: {"awe": 1, "boredom": 5}, "no item has two votes for labels on offer"),
    ],
)
def test_people_who_cannot_be_halved(tmp_path, said, told):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, DAY)
    with_votes(tmp_path, said)
    table = votes(read_runs([tmp_path]))
    assert len(table.rows) == 1
    assert told in " ".join(table.notes)


def test_different_votes_are_not_mixed(tmp_path):
    for name, place in (("zero_shot", "a"), ("sepm", "b")):
        run(tmp_path, "sepm_llava", LLAVA, name, "emoset", 0.5, DAY, place=place)
    with_votes(tmp_path, counted)
    change(tmp_path / "b", votes={"awe": 9})
    table = votes(read_runs([tmp_path]))
    assert (table.rows, table.records) == ((), ())
    assert "the logs of its runs hold different votes, so it is left out" in " ".join(table.notes)


def test_without_votes_or_probabilities_there_is_no_table(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, DAY)
    assert votes(read_runs([tmp_path])) is None
    assert answers(read_runs([tmp_path])) is None
    with_votes(tmp_path, lambda n: {"boredom": 3})
    assert votes(read_runs([tmp_path])) is None

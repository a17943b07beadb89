"""The warning of a run whose model does not begin its answers with a letter."""

import logging

import pytest
from test_runner import EIGHT, asked, run  # noqa: F401  a fixture

from sepm_eval import get_method
from sepm_eval.backbone.shared import Shared
from sepm_eval.images import UnreadableImage
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.first_answers import LOOKED_AT, FirstAnswers, beginnings
from sepm_eval.runs.runner import Runner
from sepm_eval.runs.variants import answer_variants


def mostly(mass, text="The emotion in this picture is, to my mind, fear."):
    """A model that gives the letters a share of the first token's probability."""
    return lambda prompt: {"G": mass, text: 1 - mass}


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if "next-token probability" in record.getMessage()]


def test_a_model_that_does_not_begin_with_a_letter_is_warned_of_once(run, scripted, caplog):  # noqa: F811
    outputs = run(scripted(mostly(0.03)), [asked(i) for i in range(20)], batch_size=3)
    assert outputs[0].startswith("The emotion")  # written out and read as ever
    (said,) = warnings(caplog)
    assert "zero_shot on scripted: in the first 8 answers" in said
    assert "have 3 % of" in said
    assert "begin with 'The emotion in this picture is, to my mi...'. They" in said
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(("mass", "warned"), [(0.49, True), (0.51, False), (1.0, False)])
def test_half_of_the_probability_is_enough(run, scripted, caplog, mass, warned):  # noqa: F811
    run(scripted(mostly(mass)), [asked(i) for i in range(9)])
    assert len(warnings(caplog)) == warned


def test_only_the_first_answers_are_looked_at(run, scripted, caplog):  # noqa: F811
    seen = iter([0.9] * LOOKED_AT + [0.0] * 20)
    run(scripted(lambda prompt: mostly(next(seen))(prompt)), [asked(i) for i in range(28)])
    assert not warnings(caplog)


def test_a_short_run_is_judged_by_what_it_has(run, scripted, caplog):  # noqa: F811
    run(scripted(mostly(0.1)), [asked(0), asked(1)])
    assert "in the first 2 answers" in warnings(caplog)[0]


@pytest.mark.parametrize(("asked_at_once", "of"), [(1, 8), (3, 8), (5, 8), (8, 8)])
def test_a_run_in_parts_is_judged_when_there_are_enough(tmp_path, scripted, caplog, asked_at_once, of):
    runner = Runner(
        "scripted", scripted(mostly(0.1)), "zero_shot", get_method("zero_shot"), journal_path=tmp_path / "j"
    )
    questions = [asked(i) for i in range(16)]
    for start in range(0, 16, asked_at_once):
        assert len(warnings(caplog)) == (start >= of)
        runner.answer(questions[start : start + asked_at_once], quiet=True, more_to_come=True)
    runner.journal.close()
    assert f"in the first {of} answers" in warnings(caplog)[0]


def test_each_of_several_variants_is_a_run(tmp_path, scripted, caplog):
    shared = Shared(scripted(mostly(0.1)))
    runners = [
        Runner("scripted", shared, name, get_method(name), batch_size=2, journal_path=tmp_path / name)
        for name in ("zero_shot", "zero_shot_cot", "query_drop")
    ]
    answer_variants(runners, [asked(i) for i in range(5)], quiet=True)
    for runner in runners:
        runner.journal.close()
    assert [said.split(" in the first 5 answers")[0] for said in warnings(caplog)] == [
        "zero_shot on scripted:",
        "query_drop on scripted:",
    ]


def test_answers_of_the_journal_count(run, scripted, caplog):  # noqa: F811
    questions = [asked(i) for i in range(8)]
    run(scripted(mostly(0.1)), questions)
    run(scripted(mostly(0.1)), questions)
    assert len(warnings(caplog)) == 2  # one a run


def test_other_questions_and_failures_do_not_count(run, scripted, caplog):  # noqa: F811
    def broken():
        raise UnreadableImage("gone")

    foreign = [asked(i, text="Describe it.") for i in range(4)]
    failed = [Asked("task", i, broken, 8) for i in range(4, 8)]
    run(scripted(lambda prompt: {"G": 1.0} if prompt == EIGHT else {"It": 1.0}), [*foreign, *failed, asked(9)])
    assert not warnings(caplog)


def test_a_chain_of_thought_is_asked_for_and_not_warned_of(run, scripted, caplog):  # noqa: F811
    run(scripted(mostly(0.0)), [asked(i) for i in range(9)], method="zero_shot_cot")
    assert not warnings(caplog)


def test_several_beginnings_are_told(caplog):
    first = FirstAnswers("a model")
    for text in ("I feel awe", "", "I feel awe", "Fear", "Joy"):
        first.add({"option_probabilities": {"fear": 0.0}, "text": text})
    first.judge()
    first.judge()
    (said,) = warnings(caplog)
    assert "begin with 'I feel awe', nothing, 'Fear'. They" in said


def test_beginnings():
    assert beginnings(["short", "short", "x" * 41, "", "a fourth"]) == f"'short', '{'x' * 40}...', nothing"

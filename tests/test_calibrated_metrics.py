"""What VECBench is reported with: weighted F1, and how well a model's confidence fits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from miniature_hub import every_data  # noqa: F401
from sklearn.metrics import f1_score

from sepm_eval.datasets import find_benchmarks
from sepm_eval.report.statistics import reliability
from sepm_eval.runs.identity import Identity, answering
from sepm_eval.runs.runner import _facts
from sepm_eval.scoring import expected_calibration_error, failure_text, weighted_f1
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import (
    aggregate_brier,
    aggregate_ece,
    aggregate_weighted_f1,
    group_known,
    process_results_calibrated,
)


def test_expected_calibration_error_by_hand_and_as_the_report_has_it():
    """Two bins: three answers at 0.9, two of them right; one at 0.2, wrong."""
    sure, right = [0.9, 0.9, 0.9, 0.2], [True, True, False, False]
    assert expected_calibration_error(sure, right) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.2)
    draw = np.random.default_rng(3)
    sure, right = draw.random(500), draw.random(500) < 0.6
    assert expected_calibration_error(sure.tolist(), right.tolist()) == pytest.approx(reliability(sure, right).ece)
    assert expected_calibration_error([1.0], [True]) == 0


def test_weighted_f1_is_sklearns():
    truth, given = ["awe", "awe", "fear", "joy"], ["awe", "fear", None, "joy"]
    expected = f1_score(truth, [str(one) for one in given], labels=["awe", "fear", "joy"], average="weighted")
    assert weighted_f1(truth, given) == pytest.approx(expected)


TASK_FILES = Path(__file__).parents[1] / "tasks"


@pytest.fixture
def docs(every_data, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SEPM_EVAL_DATA", str(every_data))
    yield list(documents(find_benchmarks()["vecbench_emoset"]))[:3]
    answering.start(None)


def test_of_a_model_that_tells_its_confidence(docs):
    sure = (0.9, 0.6, 0.5)
    facts = {("vecbench_emoset", doc["id"]): {"confidence": one} for doc, one in zip(docs, sure, strict=True)}
    answering.start(Identity("sepm_llava", "demo"), {}, facts)
    letters = [chr(ord("A") + docs[0]["labels"].index(doc["label"])) for doc in docs]
    told = [process_results_calibrated(doc, [text]) for doc, text in zip(docs, [*letters[:2], "H"], strict=True)]
    assert [one["brier"] for one in told] == pytest.approx([0.01, 0.16, 0.25])
    expected = reliability(sure, [True, True, False]).ece
    assert aggregate_ece([one["ece"] for one in told]) == pytest.approx(expected)
    assert 0 < aggregate_weighted_f1([one["weighted_f1"] for one in told]) < 1


def test_of_one_that_does_not_and_of_a_failed_question(docs):
    answering.start(None)
    told = process_results_calibrated(docs[0], ["A"])
    assert "weighted_f1" in told
    assert (told["ece"], told["brier"]) == (None, None)
    assert "confidence" not in told
    failed = process_results_calibrated(docs[0], [failure_text(OSError("gone"))])
    assert {"weighted_f1", "ece", "brier"}.isdisjoint(failed)


def test_every_scored_answer_counts_in_the_size_of_its_task(docs):
    """lmms-eval weights a group's tasks by the number of values of their last metric, so none may lack one."""
    answering.start(Identity("sepm_llava", "demo"), {}, {("vecbench_emoset", docs[0]["id"]): {"confidence": 0.9}})
    right = chr(ord("A") + docs[0]["labels"].index(docs[0]["label"]))
    told = [
        process_results_calibrated(doc, [text]) for doc, text in zip(docs, [right, "I am not sure.", "A"], strict=True)
    ]
    for metric in ("acc", "weighted_f1", "ece", "brier", "unparsed", "n_failed"):
        assert all(metric in one for one in told)
    assert [one["brier"] for one in told] == [pytest.approx(0.01), None, None]
    assert aggregate_brier([one["brier"] for one in told]) == pytest.approx(0.01)
    assert aggregate_ece([one["ece"] for one in told]) == pytest.approx(0.1)
    assert math.isnan(aggregate_brier([None]))
    assert math.isnan(aggregate_ece([None]))


def test_a_groups_value_is_over_the_tasks_that_have_one():
    assert group_known([0.2, math.nan, 0.5], [1, 7, 2]) == pytest.approx(0.4)
    assert group_known([0.2, math.nan, 0.5], [1, 7, 2], weight_by_size=False) == pytest.approx(0.35)
    assert math.isnan(group_known([math.nan], [3]))


def test_unparsed_answers_count_in_the_accuracy_of_the_group(docs):
    """As lmms-eval does it: a task with 1 right answer, one with 1 right and 2 unparsed; 2 of 4, not 1 of 1.5."""
    from lmms_eval.evaluator_utils import TaskOutput, consolidate_group_results, consolidate_results
    from lmms_eval.tasks import TaskManager, get_task_dict

    tasks = get_task_dict(["vecbench"], TaskManager(include_path=str(TASK_FILES), include_defaults=False))
    (members,) = tasks.values()
    facts = {("vecbench_emoset", docs[0]["id"]): {"confidence": 0.9}}
    outputs = []
    for name, texts in (("vecbench_emoset", ["", "", ""]), ("vecbench_fi8", [""])):
        answering.start(Identity("sepm_llava", "demo"), {}, facts)
        output = TaskOutput.from_taskdict(name, members[name])
        for number, doc in enumerate(docs[: len(texts)]):
            right = chr(ord("A") + doc["labels"].index(doc["label"]))
            told = process_results_calibrated(doc, ["I am not sure." if number else right])
            for metric, value in told.items():
                output.sample_metrics[(metric, "none")].append(value)
        output.calculate_aggregate_metric(bootstrap_iters=0)
        output.calculate_clt_aggregate_metric()
        outputs.append(output)
    results, versions, *_ = consolidate_results(outputs)
    only = {group: {output.task_name: members[output.task_name] for output in outputs} for group in tasks}
    results, *_ = consolidate_group_results(results, versions, only)
    assert results["vecbench"]["acc,none"] == pytest.approx(2 / 4)
    assert results["vecbench"]["brier,none"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        ({"label": "awe", "option_probabilities": {"awe": 0.3, "fear": 0.1}}, {"confidence": pytest.approx(0.75)}),
        ({"label": None, "option_probabilities": {"awe": 0.3, "fear": 0.1}}, {}),
        ({"label": "awe", "option_probabilities": {"awe": 0.0, "fear": 0.0}}, {}),
        ({"method": {"name": "generate", "max_new_tokens": 128}, "text": "A"}, {"plain": True}),
        ({"status": "failed", "method": {"name": "generate"}}, {}),
    ],
)
def test_what_a_record_says_beside_the_answer(record, facts):
    assert _facts({"status": "answered", "method": {"name": "sepm"}, **record}) == facts

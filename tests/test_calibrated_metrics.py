"""What VECBench is reported with: weighted F1, and how well a model's confidence fits."""

from __future__ import annotations

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
from sepm_eval.tasks.functions import aggregate_ece, aggregate_weighted_f1, process_results_calibrated


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
    assert {"ece", "brier", "confidence"}.isdisjoint(told)
    failed = process_results_calibrated(docs[0], [failure_text(OSError("gone"))])
    assert {"weighted_f1", "ece", "brier"}.isdisjoint(failed)


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

"""The functions that the task files name: document -> picture and question, model output -> metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from PIL.Image import Image

from sepm_eval.datasets import MissingData
from sepm_eval.images import open_image
from sepm_eval.parsing import Options
from sepm_eval.runs.identity import answering
from sepm_eval.runs.item_sets import marks_of
from sepm_eval.scoring import expected_calibration_error, macro_f1, score, weighted_f1

Doc = dict[str, Any]


def doc_to_visual(doc: Doc) -> list[Image]:
    """The picture of a document, decoded at this call and not earlier."""
    return [open_image(doc["image"])]


def doc_to_text(doc: Doc) -> str:
    """The question of a document.

    Raises:
        MissingData: the data set could not be read (see ``documents.documents``).
    """
    if "problem" in doc:
        raise MissingData(doc["problem"])
    return doc["question"]


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Compute the metrics of one document.

    A failed question counts only in ``n_failed``. ``score`` repeats ``acc`` under the name that lmms-eval's own
    statistics and --baseline look for. Some further values are not metrics but go into the samples log, so that it says
    by itself who answered what: the item, its list, the labels and their shown names, the picture's digest, the votes
    behind the label, the time, and for our models the run's identity and the journal record.
    """
    labels, names = doc["labels"], doc["names"]
    result = score(results[0], doc["label"], Options(tuple(labels), tuple(names)))
    about = {
        **{"item_id": doc["id"], "item_list": doc["item_list"], "label": doc["label"], "answer_label": result.label},
        **{"options": dict(zip(labels, names, strict=True)), "picture": doc["picture"]},
        **{"answered_at": datetime.now(timezone.utc).isoformat(timespec="seconds")},
        **answering.stamp(doc["benchmark"], doc["id"]),
    }
    if votes := {label: count for label, count in (doc.get("votes") or {}).items() if count is not None}:
        about["votes"] = votes  # all documents of a set have the same columns, so a label without votes may be None
    if doc.get("own_question"):
        about |= {"own_question": True, "marks": dict(marks_of(doc))}
    if result.status == "failed":
        return {"n_failed": 1, **about}
    correct = float(result.correct)
    metrics = {
        "acc": correct,
        "score": correct,
        "macro_f1": {"target": doc["label"], "answer": result.label},
        "unparsed": float(result.status == "unparsed"),
        "n_failed": 0,
        **about,
    }
    if "seen" in doc:  # only in the demo: whether its model was trained on the artwork in the picture
        metrics["acc_seen" if doc["seen"] else "acc_unseen"] = correct
    return metrics


def process_results_calibrated(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Like ``process_results``, with weighted F1, and with calibration metrics for answers that have a confidence.

    Every scored answer has every metric, None where there is no confidence: lmms-eval takes the number of values of the
    last metric for the size of the task, by which it weights the tasks of a group.
    """
    metrics = process_results(doc, results)
    if "acc" not in metrics:
        return metrics
    sure = metrics.get("confidence")
    told = None if sure is None else {"confidence": sure, "right": bool(metrics["acc"])}
    brier = None if sure is None else (sure - metrics["acc"]) ** 2
    return {**metrics, "weighted_f1": metrics["macro_f1"], "ece": told, "brier": brier}


def process_results_by_kind(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Like ``process_results``, with the accuracy also for each kind of question, as the benchmark's authors report."""
    metrics = process_results(doc, results)
    return {**metrics, f"acc_{doc['kind']}": metrics["acc"]} if "acc" in metrics else metrics


def process_results_rated(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Like ``process_results_by_kind``, with the answered level and the human rating, for the two correlations.

    The value of a level is its place among the options, for three levels 0, 0.5 and 1. An answer that names no level is
    left out of the correlations.
    """
    metrics = process_results_by_kind(doc, results)
    label = metrics["answer_label"]
    if "acc" in metrics and label is not None:
        rated = {"level": doc["labels"].index(label) / (len(doc["labels"]) - 1), "rating": doc["rating"]}
        metrics |= {f"srcc_{doc['kind']}": rated, f"plcc_{doc['kind']}": rated}
    return metrics


def aggregate_macro_f1(items: Sequence[dict[str, Any]]) -> float:
    """Macro-F1 over all documents."""
    return macro_f1([item["target"] for item in items], [item["answer"] for item in items])


def aggregate_weighted_f1(items: Sequence[dict[str, Any]]) -> float:
    """Weighted F1 over all documents."""
    return weighted_f1([item["target"] for item in items], [item["answer"] for item in items])


def aggregate_ece(items: Sequence[dict[str, Any] | None]) -> float:
    """Expected calibration error over all documents whose answer has a confidence; NaN if none has."""
    known = [item for item in items if item is not None]
    if not known:
        return math.nan
    return expected_calibration_error([item["confidence"] for item in known], [item["right"] for item in known])


def aggregate_brier(items: Sequence[float | None]) -> float:
    """Brier score over all documents whose answer has a confidence; NaN if none has."""
    known = [item for item in items if item is not None]
    return sum(known) / len(known) if known else math.nan


def group_known(values: Sequence[float], sizes: Sequence[int], weight_by_size: bool = True) -> float:
    """Average a metric over the tasks of a group that have a value other than NaN.

    Args:
        values: of each task the value of a metric.
        sizes: of each task the number of scored documents.
        weight_by_size: whether a task counts by its size.

    Returns:
        The mean by size; NaN if no task has a value.
    """
    known = [
        (value, size if weight_by_size else 1) for value, size in zip(values, sizes, strict=True) if value == value
    ]
    return sum(value * size for value, size in known) / sum(size for _, size in known) if known else math.nan


def aggregate_srcc(items: Sequence[dict[str, float]]) -> float:
    """Spearman's rank correlation of answered levels and human ratings; NaN if all levels or all ratings are equal."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, items)


def aggregate_plcc(items: Sequence[dict[str, float]]) -> float:
    """Pearson's linear correlation of answered levels and human ratings; NaN if all levels or all ratings are equal."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, items)


def _correlation(of: Callable[[list[float], list[float]], Any], items: Sequence[dict[str, float]]) -> float:
    levels, ratings = [item["level"] for item in items], [item["rating"] for item in items]
    if len(set(levels)) < 2 or len(set(ratings)) < 2:
        return math.nan
    return float(of(levels, ratings).statistic)


def count(items: Sequence[int]) -> int:
    """Sum a count over all documents, such as that of failed questions."""
    return sum(items)

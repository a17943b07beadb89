"""Scoring of VLMEvalKit's prediction files by our rule. Imports nothing of VLMEvalKit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sepm_eval.datasets import Benchmark
from sepm_eval.scoring import is_failure, macro_f1, score


def is_failed(prediction: object) -> bool:
    """Whether a prediction stands for a question that got no answer (``scoring.FAILURE_MARKS``)."""
    return is_failure(str(prediction))


def predictions(loaded: Any) -> pd.Series:
    """By index, the predictions in what VLMEvalKit's ``load`` returned, all as text; NaN stands for an empty answer."""
    table = loaded if isinstance(loaded, pd.DataFrame) else pd.DataFrame(loaded)
    texts = ["" if pd.isna(text) else str(text) for text in table["prediction"]]
    return pd.Series(texts, index=[str(index) for index in table["index"]], dtype=object)


def score_table(data: pd.DataFrame, answers: pd.Series, benchmark: Benchmark) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every question of a data set.

    Args:
        data: the data set's rows, with ``index`` and ``category`` (the label).
        answers: the predictions by index.
        benchmark: the benchmark, which has the options.

    Returns:
        The rows with ``prediction``, ``status`` (right, wrong, unparsed, failed), ``answer_label`` and ``hit`` (1, 0,
        or nothing if failed); and a table of one row with accuracy overall and by class and macro-F1, all without the
        failed questions, then the number of questions of each status.

    Raises:
        ValueError: some questions have no prediction.
    """
    indices = [str(index) for index in data["index"]]
    absent = [index for index in indices if index not in answers.index]
    if absent:
        raise ValueError(f"{benchmark.name}: no prediction for {len(absent)} of {len(data)} questions, {absent[0]!r}")
    rows = data.drop(columns=["image", "prediction"], errors="ignore").reset_index(drop=True)
    rows["prediction"] = [answers[index] for index in indices]
    found = [
        score(text, label, benchmark.options) for text, label in zip(rows["prediction"], rows["category"], strict=True)
    ]
    rows["answer_label"] = [one.label for one in found]
    rows["status"] = [
        ("right" if one.correct else "wrong") if one.status == "answered" else one.status for one in found
    ]
    rows["hit"] = [None if status == "failed" else int(status == "right") for status in rows["status"]]
    asked = rows[rows["status"] != "failed"]
    labels = [label for label in benchmark.names if label in set(rows["category"])]
    summary: dict[str, Any] = {
        "split": "none",
        "Overall": _share(asked),
        **{label: _share(asked[asked["category"] == label]) for label in labels},
        "macro_f1": macro_f1(list(asked["category"]), [one or None for one in asked["answer_label"]])
        if len(asked)
        else None,
        "n": len(rows),
        **{status: int((rows["status"] == status).sum()) for status in ("right", "wrong", "unparsed", "failed")},
    }
    return rows, pd.DataFrame([summary])


def _share(rows: pd.DataFrame) -> float | None:
    return float((rows["status"] == "right").mean()) if len(rows) else None

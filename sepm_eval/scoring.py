"""One model output against one item: right, wrong, unparsed or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sepm_eval.parsing import Options, parse_answer

_FAILURE = "[sepm_eval: not answered] "


@dataclass(frozen=True)
class Score:
    """What became of one question.

    Attributes:
        status: "answered" (right or wrong), "unparsed" (an answer that names no option; scored wrong) or "failed" (no
            answer, because the picture or the model failed; not scored).
        label: the emotion answered.
        correct: whether it is the item's.
    """

    status: Literal["answered", "unparsed", "failed"]
    label: str | None
    correct: bool


def failure_text(error: Exception) -> str:
    """The output that stands for a question that could not be asked. It is no answer, and ``score`` knows it."""
    return f"{_FAILURE}{type(error).__name__}: {error}"


def is_failure(output: str) -> bool:
    """Whether an output is a ``failure_text``."""
    return output.startswith(_FAILURE.rstrip())


def score(output: str, target: str, options: Options) -> Score:
    """Score an output against the item's label."""
    if is_failure(output):
        return Score("failed", None, False)
    letter = parse_answer(output, options)
    if letter is None:
        return Score("unparsed", None, False)
    label = options.labels[ord(letter) - ord("A")]
    return Score("answered", label, label == target)


def macro_f1(targets: Sequence[str], answers: Sequence[str | None]) -> float:
    """F1 averaged over the labels that occur among the targets; an unparsed answer (None) is a miss for its label."""
    from sklearn.metrics import f1_score

    given = ["unparsed" if answer is None else answer for answer in answers]
    return float(f1_score(list(targets), given, labels=sorted(set(targets)), average="macro", zero_division=0))

"""Score a model's output on an item as right, wrong, unparsed or failed; metrics over many items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sepm_eval.parsing import Options, parse_answer

_FAILURE = "[sepm_eval: not answered] "

# Texts that stand in place of an answer if there is none: a pattern, and which file writes the text. A pattern matches
# the start of the text, or (with "$") the whole text; within an answer such a text is only a quotation. The files are
# those of lmms-eval 0.7.3 and ms-vlmeval 0.0.20. Texts that a model itself may write are not in the list, and count as
# unparsed: an empty text (lmms-eval's claude, qwen_vl_api, srt_api and others write it after their last try), "Error:
# ..." with an exception's text (VLMEvalKit's jt_vl_chat), and refusals.
FAILURE_MARKS = (
    (r"\[sepm_eval: not answered\]", "sepm_eval, failure_text"),
    (
        r"\[LMMS_EVAL_REQUEST_FAILED\b",
        "lmms-eval, models/{simple,chat}/{openai,gemini}.py, models/chat/async_openai.py",
    ),
    (r"\[SAFETY_BLOCKED:", "lmms-eval, models/{simple,chat}/gemini.py: the service returned no text"),
    (r"\[GENERATION_FAILED\]", "lmms-eval, models/simple/{cosmos_wm,diffusers_wm_base,generation_api,magi1_wm}.py"),
    (r"\[ERROR\] ", "lmms-eval, the same and wan2_1_t2i.py"),
    (r"Video .* (?:can not load|generate failed), check the source$", "lmms-eval, models/simple/{oryx,llava_vid}.py"),
    (r"Fail(?:ed)? to obtain answer", "VLMEvalKit, inference*.py, api/*.py, vlm/cogvlm.py"),
    (r"Chat Mode: Failed with all possible conversation turns", "VLMEvalKit, vlm/base.py"),
    (r"Image Decode Error$", "VLMEvalKit, vlm/omnilmm.py"),
    (r"Error: (?:Bad Response Statuse Code|Failed to parse the response)\.", "VLMEvalKit, api/qwen_api.py"),
)
_MARKS = re.compile("|".join(pattern for pattern, _ in FAILURE_MARKS))


@dataclass(frozen=True)
class Score:
    """The verdict on one answer.

    Attributes:
        status: "answered" (right or wrong), "unparsed" (the answer states no option; scored as wrong) or "failed"
            (there is no answer, because the picture, the model or the service behind it failed; not scored).
        label: the emotion answered; None if the status is not "answered".
        correct: whether ``label`` is the item's label.
    """

    status: Literal["answered", "unparsed", "failed"]
    label: str | None
    correct: bool


def failure_text(error: Exception) -> str:
    """The text that takes the place of an answer if the question could not be asked; ``score`` counts it as failed."""
    return f"{_FAILURE}{type(error).__name__}: {error}"


def is_failure(output: str) -> bool:
    """Whether a text, written by us or by a host, says that there is no answer (see ``FAILURE_MARKS``)."""
    return _MARKS.match(output.strip()) is not None


def score(output: str, target: str, options: Options) -> Score:
    """Score what a model wrote.

    Args:
        output: the text that the model wrote.
        target: the item's label.
        options: what the question offered.

    Returns:
        The verdict: right, wrong, unparsed (counts as wrong) or failed (not scored).
    """
    if is_failure(output):
        return Score("failed", None, False)
    letter = parse_answer(output, options)
    if letter is None:
        return Score("unparsed", None, False)
    label = options.labels[ord(letter) - ord("A")]
    return Score("answered", label, label == target)


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error (ECE): the mean gap between confidence and accuracy over ten bins of equal width.

    Args:
        confidences: [N] confidence in each answer, from 0 to 1.
        right: [N] whether each answer is right.

    Returns:
        A number from 0 to 1; each bin is weighted by its number of items.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for sure, hit in zip(confidences, right, strict=True):
        bins.setdefault(min(int(sure * 10), 9), []).append((sure, hit))
    gaps = (abs(sum(sure for sure, _ in one) - sum(hit for _, hit in one)) for one in bins.values())
    return sum(gaps) / len(confidences)


def weighted_f1(targets: Sequence[str], answers: Sequence[str | None]) -> float:
    """Weighted F1: the mean of the labels' F1 scores, each weighted by how many items have the label.

    Args:
        targets: [N] the items' labels.
        answers: [N] the labels answered; None is an unparsed answer, which counts as wrong.

    Returns:
        A number from 0 to 1.
    """
    return _f1(targets, answers, "weighted")


def macro_f1(targets: Sequence[str], answers: Sequence[str | None]) -> float:
    """Macro F1: the mean of the F1 scores of the labels that occur among the targets, all with equal weight.

    Args:
        targets: [N] the items' labels.
        answers: [N] the labels answered; None is an unparsed answer, which counts as wrong.

    Returns:
        A number from 0 to 1.
    """
    return _f1(targets, answers, "macro")


def _f1(targets: Sequence[str], answers: Sequence[str | None], average: Literal["macro", "weighted"]) -> float:
    from sklearn.metrics import f1_score

    given = ["unparsed" if answer is None else answer for answer in answers]
    return float(f1_score(list(targets), given, labels=sorted(set(targets)), average=average, zero_division=0))

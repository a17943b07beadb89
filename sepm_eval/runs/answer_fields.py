"""Fields of a journal record for an answer, and for a question that failed."""

from __future__ import annotations

import dataclasses
from typing import Any

from sepm_eval.types import Answer, Evidence


def of_answer(answer: Answer) -> dict[str, Any]:
    """A method's answer as fields of a journal record."""
    found = {"dropped": answer.dropped} if answer.dropped else {}
    if answer.evidence is not None:
        found = _of_evidence(answer.evidence)
    return {
        "status": "answered",
        "text": answer.text,
        "answer": answer.letter,
        "label": answer.label,
        "option_probabilities": answer.option_probabilities,
        "visual_tokens": answer.visual_tokens,
        "blocks": [dataclasses.asdict(block) for block in answer.blocks],
        "prompts": answer.prompts,
        "tokens_read": answer.tokens_read,
        "tokens_left": answer.tokens_left,
        **({} if answer.shuffled is None else {"shuffled": dataclasses.asdict(answer.shuffled)}),
        **found,
    }


def _of_evidence(evidence: Evidence) -> dict[str, Any]:
    """A method's evidence as fields, without the [N_v] arrays by which it chose the visual tokens to drop."""
    found = dataclasses.asdict(evidence)
    del found["significance"], found["discrepancy"]
    if evidence.discrepancy is not None:
        found["discrepancy"] = evidence.discrepancy_summary()
    ours = ("scores", "analysis", "written")  # left out of the record if the method does not have them
    return {key: value for key, value in found.items() if key not in ours or value is not None}


def of_text(text: str) -> dict[str, Any]:
    """A text written by plain generation as fields of a journal record."""
    return {"status": "answered", "text": text}


def of_fault(fault: Exception) -> dict[str, Any]:
    """An exception as fields of a journal record."""
    return {"status": "failed", "error": f"{type(fault).__name__}: {fault}"}

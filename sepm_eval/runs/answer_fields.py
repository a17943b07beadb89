"""What a journal record says of an answer, and of a question that failed."""

from __future__ import annotations

import dataclasses
from typing import Any

from sepm_eval.types import Answer


def of_answer(answer: Answer) -> dict[str, Any]:
    """A method's answer as fields of a record."""
    of_stage_1: dict[str, Any] = {"dropped": answer.dropped} if answer.dropped else {}
    if answer.evidence is not None:
        of_stage_1 = dataclasses.asdict(answer.evidence)
        of_stage_1.pop("significance")  # N_v numbers a picture; the dropped indices are what the answer depends on
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
        **of_stage_1,
    }


def of_text(text: str) -> dict[str, Any]:
    """A text written by plain generation as fields of a record."""
    return {"status": "answered", "text": text}


def of_fault(fault: Exception) -> dict[str, Any]:
    """A fault as fields of a record."""
    return {"status": "failed", "error": f"{type(fault).__name__}: {fault}"}

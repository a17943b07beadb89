"""One picture, its answer and why: what ``sepm-eval explain`` prints and a notebook shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sepm_eval.report.overlay import draw_dropped
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Explanation:
    """An answer with the picture it is about. A notebook shows both.

    Attributes:
        question: what was asked.
        answer: what the method answered, and what stage 1 found.
        covered: the picture with the visual tokens struck out that the last stage did not see (Fig. 4 of the paper);
            None if it saw all.
    """

    question: Question
    answer: Answer
    covered: Image | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """How a notebook shows it: the picture, the picture with tokens struck out, then the answer."""
        covered = [] if self.covered is None else [self.covered]
        return self.answer.html([self.question.image, *covered])


def explain(question: Question, answer: Answer) -> Explanation:
    """Put an answer beside its picture.

    Args:
        question: what was asked.
        answer: what ``method.answer(question, backbone)`` gave.

    Returns:
        An explanation, shown by a notebook as pictures, bars and facts.
    """
    dropped = [token for token, stays in enumerate(answer.kept) if not stays]
    covered = draw_dropped(question.image, answer.blocks, dropped) if dropped else None
    return Explanation(question, answer, covered)

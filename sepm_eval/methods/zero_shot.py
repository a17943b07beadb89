"""Zero-shot: the question as the harness asked it, answered directly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from sepm_eval.backbone.cost import Geometry, Text, Work, one_reading
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question


@method
class ZeroShot:
    """Zero-shot, the first row of the paper's tables.

    Attributes:
        preset: None asks a question with its own text, or in the paper's wording if it has none. "paper" or "code" asks
            every question in that wording.
    """

    preset: Literal[None, "code", "paper"] = None

    kind: ClassVar[str] = "plain"
    title: ClassVar[str] = "Zero-shot"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one prefill each."""
        visual = backbone.see([question.image for question in questions])
        asked = [zero_shot_prompt(question, self.preset) for question in questions]
        return ask(questions, asked, backbone, visual)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question, self.preset),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer."""
        return one_reading(geometry, text)


METHODS = {"zero_shot": ZeroShot}

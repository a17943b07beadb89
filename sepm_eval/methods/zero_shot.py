"""Zero-shot: the question as the harness asked it, answered at once."""

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
    """The first row of the paper's tables.

    Attributes:
        preset: None asks the question's own text (a question without one is worded as in the paper); "paper" or
            "code" words every question that way.
    """

    preset: Literal[None, "code", "paper"] = None

    kind: ClassVar[str] = "plain"
    title: ClassVar[str] = "Zero-shot"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one reading each."""
        visual = backbone.see([question.image for question in questions])
        asked = [zero_shot_prompt(question, self.preset) for question in questions]
        return ask(questions, asked, backbone, visual)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question, self.preset),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """What one answer asks of a backbone."""
        return one_reading(geometry, text)


METHODS = {"zero_shot": ZeroShot}

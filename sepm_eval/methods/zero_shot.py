"""Zero-shot: the question as the harness asked it, answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sepm_eval import prompts
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.common import ask
from sepm_eval.methods.options import check_one_of
from sepm_eval.types import Answer, Question


@dataclass(frozen=True)
class ZeroShot:
    """The first row of the paper's tables.

    Attributes:
        preset: None asks the question's own text (a question without one is worded as in the paper); "paper" or
            "code" words every question that way.
    """

    preset: str | None = None

    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_one_of("preset", self.preset, [None, *sorted(prompts.WORDINGS)])

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one reading each."""
        visual = backbone.see([question.image for question in questions])
        return ask(questions, [self._prompt(question) for question in questions], backbone, visual)

    def _prompt(self, question: Question) -> str:
        if self.preset is None and question.text is not None:
            return question.text
        return prompts.fine(question.options(), prompts.WORDINGS[self.preset or "paper"])


METHODS = {"zero_shot": ZeroShot}

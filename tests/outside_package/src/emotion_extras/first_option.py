"""A method: the model sees the picture, and is asked for the first emotion it would name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sepm_eval import prompts
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.common import ask
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question


@method
class FirstOption:
    """The question as in the paper, with a word before it.

    Attributes:
        shout: whether that word is written in capitals.
    """

    shout: bool = False

    needs_polarities: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one reading each."""
        visual = backbone.see([question.image for question in questions])
        word = "QUICK:" if self.shout else "Quick:"
        asked = [f"{word} {prompts.fine(one.options(), prompts.WORDINGS['paper'])}" for one in questions]
        return ask(questions, asked, backbone, visual)

"""Zero-shot chain of thought, the paper's second baseline: the model writes its reasoning, and then the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from sepm_eval import prompts
from sepm_eval.backbone.cost import Geometry, Text, Work, one_reading
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.common import ask
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question

MAX_NEW_TOKENS = 512  # default of LLaVA's command line; the usual 128 are too few for a chain of thought


@method
class ZeroShotCot:
    """The question with the paper's sentence (Sec. 4.2) in place of the request for a letter."""

    kind: ClassVar[str] = "plain"
    title: ClassVar[str] = "Zero-shot-CoT"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False
    begins_with_letter: ClassVar[bool] = False  # so that a run does not warn of it (runs/first_answers.py)

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one prefill each, with up to ``MAX_NEW_TOKENS`` written tokens."""
        visual = backbone.see([question.image for question in questions])
        asked = [prompt for question in questions for prompt in self.foreseen(question)]
        return ask(questions, asked, backbone, visual, max_new_tokens=MAX_NEW_TOKENS)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        wording = replace(prompts.WORDINGS["paper"], reply=prompts.STEP_BY_STEP)
        return (prompts.fine(question.options(), wording),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer, without those for writing the chain of thought."""
        return one_reading(geometry, text)


METHODS = {"zero_shot_cot": ZeroShotCot}

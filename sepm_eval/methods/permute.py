"""A control: the zero-shot question with its options in another order, which shows the effect of their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from sepm_eval.backbone.cost import Geometry, Text, Work, one_reading
from sepm_eval.backbone.interface import Backbone
from sepm_eval.images import image_sha256
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.options import LARGEST, NUMBER, method
from sepm_eval.parsing import Options, parse_answer, with_names
from sepm_eval.types import Answer, Question, Shuffled


@method
class Permute:
    """Zero-shot with the options in another order.

    Attributes:
        n: number of the random order, from 1. This number and the picture's content decide the order, so it depends on
            neither the file nor the batch. All orders are equally likely, including the original one.
    """

    n: Annotated[int, Field(ge=1, le=LARGEST), NUMBER] = 1

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Options in another order"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one prefill each; the answers' letters are those of the original order."""
        shuffled = [self._shuffled(question) for question in questions]
        visual = backbone.see([question.image for question in questions])
        found = ask(shuffled, [zero_shot_prompt(question) for question in shuffled], backbone, visual)
        return [
            _in_letters_of(question, answer, other.labels)
            for question, answer, other in zip(questions, found, shuffled, strict=True)
        ]

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(self._shuffled(question)),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer."""
        return one_reading(geometry, text)

    def _shuffled(self, question: Question) -> Question:
        """The question with its options in the order that ``n`` and its picture decide."""
        import numpy as np

        digest = int(image_sha256(question.image)[:16], 16)
        order = np.random.default_rng([self.n, digest]).permutation(len(question.labels))
        labels, names = ([row[place] for place in order] for row in (question.labels, question.names))
        text = None if question.text is None else with_names(question.text, names)
        return Question(question.image, labels, names, text, question.positive)


def _in_letters_of(question: Question, answer: Answer, labels: tuple[str, ...]) -> Answer:
    """Convert an answer to the question with its labels in another order to an answer to the question itself."""
    letter = None if answer.label is None else question.letters[question.labels.index(answer.label)]
    text = letter
    if text is None:  # a text that names no option in the order shown must not name one in the question's own order
        options = Options(question.labels, question.names)
        text = answer.text if parse_answer(answer.text, options) is None else ""
    return replace(
        answer,
        text=text,
        letter=letter,
        option_probabilities={label: answer.option_probabilities[label] for label in question.labels},
        shuffled=Shuffled(labels, answer.text),
    )


METHODS = {"permute": Permute}

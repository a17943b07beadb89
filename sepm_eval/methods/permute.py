"""A control: the same question with its options in another order. What changes is owed to the order."""

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
        n: which order, from 1; with the picture's content it decides, so the order depends on neither file nor batch.
            Every order of the options is equally likely, their own among them.
    """

    n: Annotated[int, Field(ge=1, le=LARGEST), NUMBER] = 1

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Options in another order"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one reading each; letters are the questions' own again."""
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
        """What one answer asks of a backbone."""
        return one_reading(geometry, text)

    def _shuffled(self, question: Question) -> Question:
        """The question with its options in the order that its picture has."""
        import numpy as np

        digest = int(image_sha256(question.image)[:16], 16)
        order = np.random.default_rng([self.n, digest]).permutation(len(question.labels))
        labels, names = ([row[place] for place in order] for row in (question.labels, question.names))
        text = None if question.text is None else with_names(question.text, names)
        return Question(question.image, labels, names, text, question.positive)


def _in_letters_of(question: Question, answer: Answer, labels: tuple[str, ...]) -> Answer:
    """An answer to the question with its labels in this order, as one to the question itself."""
    letter = None if answer.label is None else question.letters[question.labels.index(answer.label)]
    text = letter
    if text is None:  # what names no option in the order shown must not name one in the question's
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

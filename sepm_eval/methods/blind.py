"""A control: the zero-shot question without the picture, which shows what accuracy the text alone reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from sepm_eval.backbone.cost import Geometry, Read, Text, Work, one_reading
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from PIL.Image import Image


@method
class Blind:
    """Zero-shot without the picture.

    Attributes:
        picture: "none" asks in text only; "mean" shows a uniform picture with the size and the mean colour of the real
            one.
    """

    picture: Literal["none", "mean"] = "none"

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Without the picture"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    drops: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one prefill each."""
        visual = None
        if self.picture == "mean":
            visual = backbone.see([mean_colour(question.image) for question in questions])
        return ask(questions, [zero_shot_prompt(question) for question in questions], backbone, visual)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer."""
        if self.picture == "mean":
            return one_reading(geometry, text)
        return Work((), (Read(text.before + text.after[0]),))


def mean_colour(image: Image) -> Image:
    """A picture of the same size in one colour: the rounded means of red, green and blue."""
    from PIL import Image as pillow
    from PIL import ImageStat

    red, green, blue = (round(mean) for mean in ImageStat.Stat(image.convert("RGB")).mean)
    return pillow.new("RGB", image.size, (red, green, blue))


METHODS = {"blind": Blind}

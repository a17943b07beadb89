"""SEPM with other ways to reduce what stage 2 sees: the rows of SEPM's Table 2, and a smaller picture.

``random_drop`` and ``query_drop`` drop as many visual tokens as SEPM, chosen at random or by the attention of the whole
coarse query. ``downsample`` drops no tokens but shows a smaller picture, which leaves about the same share of tokens;
pruning methods often fail to beat this baseline (Chenfei Liao et al., arXiv 2510.07143).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone, VisualTokens
from sepm_eval.methods.options import LARGEST, NUMBER, method
from sepm_eval.methods.random import random_scores
from sepm_eval.methods.sepm import Sepm
from sepm_eval.types import Question

if TYPE_CHECKING:
    from torch import Tensor


@method
class RandomDrop(Sepm):
    """SEPM that drops random visual tokens.

    Attributes:
        seed: a whole number from 0. The seed and the picture's content decide which tokens are dropped, so the choice
            does not depend on the order of the questions or on the batch.
    """

    seed: Annotated[int, Field(ge=0, le=LARGEST), NUMBER] = 0

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Random drop"
    reads_focus: ClassVar[bool] = False

    def _probed(self, text: Text) -> int:
        return 0

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        return super().needs - {"probe"}

    def _probe(self, asked: Sequence[str]) -> None:
        return None

    def _significance(
        self, questions: Sequence[Question], attention: Sequence[Tensor] | None, visual: VisualTokens
    ) -> list[Tensor]:
        rows = []
        for question, picture in zip(questions, visual.pictures, strict=True):
            numbers = random_scores(question.image, len(picture), self.seed)
            rows.append(numbers.to(picture.features.device))
        return rows


@method
class QueryDrop(Sepm):
    """SEPM that drops the visual tokens to which the whole coarse query attends least."""

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Query drop"
    reads_focus: ClassVar[bool] = False

    def _probed(self, text: Text) -> int:
        return text.after[0]

    def _probe(self, asked: Sequence[str]) -> Sequence[str]:
        return asked


@method
class Downsample(Sepm):
    """SEPM whose stage 2 sees a smaller picture instead of fewer tokens of the same one; so it is encoded twice."""

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Smaller second picture"
    reads_focus: ClassVar[bool] = False
    drops: ClassVar[bool] = False  # the smaller picture has fewer tokens, but all of them are seen

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reuse:
            raise ValueError("reuse=True: stage 2 of downsample sees another picture than stage 1; set reuse=False")

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        return frozenset({"resize"} if self.vta and self.beta else ())

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer: the picture is encoded a second time, and no tokens are dropped."""
        if not self.vta or not self.beta:
            return super().work(geometry, text)
        coarse, fine = text.after
        first = Read(text.before + geometry.visual_tokens() + coarse)
        return Work((1.0, self._side), (first, Read(text.before + geometry.visual_tokens(self._side) + fine)))

    def _probed(self, text: Text) -> int:
        return 0

    @property
    def _side(self) -> float:
        """Side of the smaller picture as a share of the usual side; its area is 1 - beta of the usual area."""
        assert self.beta is not None  # set in __post_init__
        return (1 - self.beta) ** 0.5

    def _probe(self, asked: Sequence[str]) -> None:
        return None

    def _significance(
        self, questions: Sequence[Question], attention: Sequence[Tensor] | None, visual: VisualTokens
    ) -> None:
        return None

    def _second_look(self, questions: Sequence[Question], backbone: Backbone, visual: VisualTokens) -> VisualTokens:
        if not self.vta or not self.beta:
            return visual
        return backbone.see([question.image for question in questions], side=self._side)


METHODS = {"random_drop": RandomDrop, "query_drop": QueryDrop, "downsample": Downsample}

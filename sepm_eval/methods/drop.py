"""SEPM with other ways to see less in stage 2: the rows of Table 2, and a smaller picture.

``random_drop`` and ``query_drop`` drop as many visual tokens as SEPM, chosen at random or by the attention of the whole
coarse query. ``downsample`` drops none but shows a smaller picture, so that about the same share of tokens is left: a
baseline that pruning methods often fail to beat (Chenfei Liao et al., arXiv 2510.07143).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sepm_eval.backbone.interface import Backbone, VisualTokens
from sepm_eval.images import image_sha256
from sepm_eval.methods.options import check_whole
from sepm_eval.methods.sepm import Sepm
from sepm_eval.types import Question

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RandomDrop(Sepm):
    """SEPM that drops random visual tokens.

    Attributes:
        seed: a whole number from 0; with the picture's content it decides which, so the choice depends on neither order
            nor batch.
    """

    seed: int = 0

    reads_focus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("seed", self.seed)

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        return super().needs - {"probe"}

    def _probe(self, asked: Sequence[str]) -> None:
        return None

    def _significance(
        self, questions: Sequence[Question], attention: Sequence[Tensor] | None, visual: VisualTokens
    ) -> list[Tensor]:
        import torch

        rows = []
        for question, picture in zip(questions, visual.pictures, strict=True):
            digest = int(image_sha256(question.image)[:16], 16)
            numbers = np.random.default_rng([self.seed, digest]).random(len(picture))
            rows.append(torch.from_numpy(numbers).float().to(picture.features.device))
        return rows


@dataclass(frozen=True)
class QueryDrop(Sepm):
    """SEPM that drops the visual tokens least attended by the whole coarse query."""

    reads_focus: ClassVar[bool] = False

    def _probe(self, asked: Sequence[str]) -> Sequence[str]:
        return asked


@dataclass(frozen=True)
class Downsample(Sepm):
    """SEPM whose stage 2 sees a smaller picture instead of fewer tokens of it; the picture is encoded twice."""

    reads_focus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reuse:
            raise ValueError("reuse=True: stage 2 of downsample sees another picture than stage 1; set reuse=False")

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        return frozenset({"resize"} if self.vta and self.beta else ())

    def _probe(self, asked: Sequence[str]) -> None:
        return None

    def _significance(
        self, questions: Sequence[Question], attention: Sequence[Tensor] | None, visual: VisualTokens
    ) -> None:
        return None

    def _second_look(self, questions: Sequence[Question], backbone: Backbone, visual: VisualTokens) -> VisualTokens:
        if not self.vta or not self.beta:
            return visual
        return backbone.see([question.image for question in questions], side=(1 - self.beta) ** 0.5)


METHODS = {"random_drop": RandomDrop, "query_drop": QueryDrop, "downsample": Downsample}

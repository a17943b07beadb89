"""PyramidDrop: drop a share of the visual tokens after each of the first three quarters of the decoder layers.

Xing et al., "PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction",
CVPR 2025, arXiv 2410.17247, and the authors' code (Cooperx521/PyramidDrop at 6444f30).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sepm_eval.backbone.interface import Cut
from sepm_eval.methods.budget import FULL, Budget, share_of
from sepm_eval.methods.inside import DEPTH, PruneInside
from sepm_eval.methods.options import NUMBER, method

STAGES = (8, 16, 24)  # indices of the layers before which tokens are dropped, out of LLaVA-1.5's 32


@dataclass(frozen=True)
class Pyramid:
    """PyramidDrop's cuts, by the attention that the layer after a cut would compute; positions close up.

    Attributes:
        budget: see ``PyramidDrop``; None if ``ratio`` is given.
        ratio: share of the tokens that each cut keeps; None if ``budget`` is given.
    """

    budget: int | float | None
    ratio: float | None

    positions: ClassVar[Literal["closed", "kept"]] = "closed"
    ahead: ClassVar[bool] = True

    def left(self, layers: int, tokens: int) -> Mapping[int, int]:
        """See ``Cut.left``. With a ratio, counts are rounded down as in the public code; with a budget, to nearest."""
        ratio = Fraction(str(self.ratio)) if self.budget is None else ratio_for(share_of(self.budget), layers)
        found = {}
        for stage, layer in enumerate(entered_with_fewer(layers), start=1):
            left = ratio**stage * tokens
            found[layer - 1] = max(int(left) if self.budget is None else round(left), 1)
        return found


def entered_with_fewer(layers: int) -> list[int]:
    """``STAGES`` for a model with this number of layers: at the same relative depth, and strictly increasing."""
    found = [0]
    for stage in STAGES:
        found.append(max(stage * layers // DEPTH, found[-1] + 1))
    return [layer for layer in found[1:] if layer < layers]


def ratio_for(share: Fraction, layers: int) -> Fraction:
    """The ratio for which the layers see this share of the tokens on average, found by bisection.

    For a model with too few layers to reach the share, the ratio is that for LLaVA-1.5.
    """
    starts = [0, *entered_with_fewer(layers), layers]
    spans = [end - start for start, end in pairwise(starts)]
    if share * layers <= spans[0]:
        return ratio_for(share, DEPTH)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        average = sum(span * middle**stage for stage, span in enumerate(spans)) / layers
        low, high = (middle, high) if average < share else (low, middle)
    return Fraction(high)


@method
class PyramidDrop(PruneInside):
    """Zero-shot with PyramidDrop: visual tokens are dropped at a quarter, a half and three quarters of the layers.

    Attributes:
        budget: mean number of visual tokens over the decoder layers, out of LLaVA-1.5's 576, or a share of them below
            1. It must be above a quarter of the tokens, because the first quarter of the layers sees all of them. None
            is 192, or the mean that follows from ``ratio``. A model with too few layers to reach the budget uses the
            ratio of LLaVA-1.5.
        ratio: instead of a budget, the share of the tokens that each cut keeps (lambda in the paper, which uses 0.5).
    """

    budget: Budget | None = None
    ratio: Annotated[float, Field(gt=0, lt=1), NUMBER] | None = None

    title: ClassVar[str] = "PyramidDrop"

    def __post_init__(self) -> None:
        if self.budget is not None and self.ratio is not None:
            raise ValueError(f"budget={self.budget} and ratio={self.ratio}: give one of them")
        if self.budget is None and self.ratio is None:
            object.__setattr__(self, "budget", 192)
        if self.budget is not None and share_of(self.budget) * 4 <= 1:
            raise ValueError(
                f"budget={self.budget}: the first quarter of the layers sees all tokens, so pyramiddrop averages more "
                f"than {FULL // 4} of {FULL}; choose a larger budget or another method"
            )

    @property
    def cut(self) -> Cut:
        """How many tokens are dropped after which layers."""
        return Pyramid(self.budget, self.ratio)


METHODS = {"pyramiddrop": PyramidDrop}

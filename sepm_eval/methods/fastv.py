"""FastV: after a few decoder layers, drop the visual tokens to which the prompt's last token attends least.

Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024, arXiv 2403.06764, and the authors' code
(pkunlp-icler/FastV at d165972). Tokens are dropped once, during prefill. The public scripts assume that the picture
begins one token later than it does; here its true position is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sepm_eval.backbone.interface import Cut
from sepm_eval.methods.budget import FULL, Budget, share_of, tokens_within
from sepm_eval.methods.inside import DEPTH, PruneInside
from sepm_eval.methods.options import NUMBER, method


@dataclass(frozen=True)
class AfterLayer:
    """FastV's cut: one cut by the attention of the layer before it; the kept tokens keep their positions.

    Attributes:
        layer: how many layers see all tokens (K).
        budget: see ``FastV``; None if ``keep`` is given.
        keep: how many tokens are kept after these layers, in the format of a budget; None if ``budget`` is given.
    """

    layer: int
    budget: int | float | None
    keep: int | float | None

    positions: ClassVar[Literal["closed", "kept"]] = "kept"
    ahead: ClassVar[bool] = False

    def left(self, layers: int, tokens: int) -> Mapping[int, int]:
        """See ``Cut.left``. In a model with too few layers to reach the budget, the count is that for LLaVA-1.5."""
        if self.keep is not None:
            return {self.layer - 1: tokens_within(self.keep, tokens)}
        assert self.budget is not None
        share = share_of(self.budget)
        depth = layers if share * layers > self.layer else DEPTH
        return {self.layer - 1: max(round((share * depth - self.layer) / (depth - self.layer) * tokens), 1)}


@method
class FastV(PruneInside):
    """Zero-shot with FastV: after ``layer`` layers, keep the visual tokens the prompt's last token attends to most.

    Most papers call the number of tokens kept after this layer the budget, and ignore that the layers before it see all
    tokens. Here this number is ``keep``, and ``budget`` is the mean over all layers.

    Attributes:
        budget: mean number of visual tokens over the decoder layers, out of LLaVA-1.5's 576, or a share of them below
            1. None is 192, or the mean that follows from ``keep``. A model with too few layers to reach the budget
            keeps after ``layer`` layers the number that LLaVA-1.5 would keep. Every answer records what was kept.
        keep: instead of a budget, how many tokens are kept after these layers, out of 576, or a share of them below 1.
        layer: K, how many decoder layers see all tokens.
    """

    budget: Budget | None = None
    keep: Budget | None = None
    layer: Annotated[int, Field(ge=1, lt=DEPTH), NUMBER] = 2

    title: ClassVar[str] = "FastV"

    def __post_init__(self) -> None:
        if self.budget is not None and self.keep is not None:
            raise ValueError(f"budget={self.budget} and keep={self.keep}: give one of them")
        if self.budget is None and self.keep is None:
            object.__setattr__(self, "budget", 192)
        if self.budget is not None and share_of(self.budget) * DEPTH <= self.layer:
            raise ValueError(
                f"budget={self.budget}: the first {self.layer} of LLaVA-1.5's {DEPTH} layers see all tokens, so fastv "
                f"with layer={self.layer} averages more than {self.layer * FULL // DEPTH} of {FULL}; choose a larger "
                "budget or a smaller layer"
            )

    @property
    def cut(self) -> Cut:
        """How many tokens are dropped after which layers."""
        return AfterLayer(self.layer, self.budget, self.keep)


METHODS = {"fastv": FastV}

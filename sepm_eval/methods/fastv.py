"""FastV: after a few decoder layers the visual tokens go that the prompt's last token attends to least.

Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024, arXiv 2403.06764, and the authors' code
(pkunlp-icler/FastV at d165972). Tokens are dropped once, while the prompt is read. The public scripts take the picture
to begin a token too late; here it begins where it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sepm_eval.backbone.interface import Cut
from sepm_eval.methods.budget import FULL, Budget, share_of, tokens_within
from sepm_eval.methods.inside import DEPTH, Inside
from sepm_eval.methods.options import NUMBER, method


@dataclass(frozen=True)
class AfterLayer:
    """FastV's cut: once, by the attention of the layer before it; the tokens that stay keep their positions.

    Attributes:
        layer: how many layers see all tokens (K).
        budget: see ``FastV``; None if ``keep`` is given.
        keep: how many are kept after these layers, as a budget.
    """

    layer: int
    budget: int | float | None
    keep: int | float | None

    positions: ClassVar[Literal["closed", "kept"]] = "kept"
    ahead: ClassVar[bool] = False

    def left(self, layers: int, tokens: int) -> Mapping[int, int]:
        """See ``Cut.left``. A model too shallow for the budget is given what LLaVA-1.5 would be given."""
        if self.keep is not None:
            return {self.layer - 1: tokens_within(self.keep, tokens)}
        assert self.budget is not None
        share = share_of(self.budget)
        depth = layers if share * layers > self.layer else DEPTH
        return {self.layer - 1: max(round((share * depth - self.layer) / (depth - self.layer) * tokens), 1)}


@method
class FastV(Inside):
    """Zero-shot with FastV: after ``layer`` layers only the tokens stay that the last one's last row attends to most.

    Papers mostly call the tokens kept after that layer the budget, which leaves the layers before it out of account:
    that is ``keep`` here.

    Attributes:
        budget: average number of visual tokens over the decoder layers, out of LLaVA-1.5's 576, or a share. None is
            192, or what ``keep`` gives. A model of so few layers that it cannot be reached keeps after ``layer`` layers
            what LLaVA-1.5 would; what was kept is recorded with every answer.
        keep: instead of a budget, how many tokens are kept after these layers, out of 576, or a share.
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
        """What is dropped where."""
        return AfterLayer(self.layer, self.budget, self.keep)


METHODS = {"fastv": FastV}

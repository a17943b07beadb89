"""One budget for all methods that prune visual tokens: how many the decoder reads, on average over its layers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, TypeAlias

from pydantic import Field

from sepm_eval.methods.options import NUMBER

FULL = 576
"""Visual tokens of LLaVA-1.5, in whose numbers (192, 128, 64) papers state budgets."""

_Tokens: TypeAlias = Annotated[int, Field(ge=1, le=FULL), NUMBER]
_Share: TypeAlias = Annotated[float, Field(gt=0, lt=1), NUMBER]

Budget: TypeAlias = _Tokens | _Share
"""An option: a whole number of tokens out of LLaVA-1.5's 576, or a share of them below 1.

It is the number of visual tokens in a decoder layer's input, averaged over the layers. A method that cuts before the
first layer keeps exactly so many.
"""


def share_of(budget: int | float) -> Fraction:
    """A budget as a share of the visual tokens; exact for a decimal share."""
    return Fraction(budget, FULL) if isinstance(budget, int) else Fraction(str(budget))


def tokens_within(budget: int | float, visual_tokens: int) -> int:
    """How many of a picture's visual tokens a budget allows: round(budget N_v / 576), halves to even, at least 1."""
    return max(round(share_of(budget) * visual_tokens), 1)

"""The budget of all methods that prune visual tokens: the mean number of visual tokens over the decoder layers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, TypeAlias

from pydantic import Field

from sepm_eval.methods.options import NUMBER

FULL = 576
"""Number of visual tokens of LLaVA-1.5; papers state budgets (192, 128, 64) out of this number."""

_Tokens: TypeAlias = Annotated[int, Field(ge=1, le=FULL), NUMBER]
_Share: TypeAlias = Annotated[float, Field(gt=0, lt=1), NUMBER]

Budget: TypeAlias = _Tokens | _Share
"""Type of an option: a whole number of tokens out of LLaVA-1.5's 576, or a share of them below 1.

It is the number of visual tokens in a decoder layer's input, averaged over the layers. A method that drops tokens
before the first layer keeps exactly this number.
"""


def share_of(budget: int | float) -> Fraction:
    """Convert a budget to a share of the visual tokens; exact for a decimal share."""
    return Fraction(budget, FULL) if isinstance(budget, int) else Fraction(str(budget))


def tokens_within(budget: int | float, visual_tokens: int) -> int:
    """How many of N_v visual tokens a budget allows: round(budget N_v / 576), halves to even, at least 1."""
    return max(round(share_of(budget) * visual_tokens), 1)

"""Eq. 9 and 10 of SEPM: which visual tokens stage 2 still sees."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def count_to_drop(beta: float, visual_tokens: int) -> int:
    """How many tokens to drop, floor(beta * n) (Eq. 9); exact for a decimal beta: 0.29 of 100 is 29, not 28."""
    return int(Fraction(str(beta)) * visual_tokens)


def keep_most_significant(significance: Tensor, beta: float, separators: Tensor | None = None) -> Tensor:
    """Drop the k visual tokens of least significance in a picture (Eq. 9-10).

    Separators count among the n tokens of which k is a share, but they are never chosen, because they show nothing.
    However large k is, one token that shows something stays.

    Args:
        significance: [n], of each visual token.
        beta: share of the tokens to drop.
        separators: [n] bool, which tokens are separators; None is none.

    Returns the keep mask, [n] bool; of equal tokens the first is dropped first (the reference's ``topk`` leaves ties
    open).
    """
    order = significance.argsort(stable=True)
    if separators is not None:
        order = order[~separators.to(order.device)[order]]
    keep = significance.new_ones(significance.shape).bool()
    keep[order[: min(count_to_drop(beta, len(significance)), len(order) - 1)]] = False
    return keep

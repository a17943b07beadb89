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
    """Drop the visual tokens of a picture with the least significance (Eq. 9-10).

    Separators count among the n tokens, a share of which is dropped, but they are never dropped themselves, because
    they show nothing of the picture. At least one token that is no separator is kept, however large the share is.

    Args:
        significance: [n], significance of each visual token.
        beta: share of the tokens to drop.
        separators: [n] bool, which tokens are separators; None if there are none.

    Returns:
        The keep mask, [n] bool. Of tokens with equal significance the first is dropped first; ``topk`` in the reference
        code leaves the order of ties open.
    """
    order = significance.argsort(stable=True)
    if separators is not None:
        order = order[~separators.to(order.device)[order]]
    keep = significance.new_ones(significance.shape).bool()
    keep[order[: min(count_to_drop(beta, len(significance)), len(order) - 1)]] = False
    return keep

"""Eq. 9 and 10 of SEPM: which visual tokens stage 2 still sees."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def count_to_drop(beta: float, visual_tokens: int) -> int:
    """How many tokens to drop, floor(beta * N_v) (Eq. 9); exact for a decimal beta: 0.29 of 100 is 29, not 28."""
    return int(Fraction(str(beta)) * visual_tokens)


def keep_most_significant(significance: Tensor, beta: float) -> Tensor:
    """Drop the k visual tokens of least significance (Eq. 9-10).

    significance: [B, N_v]. Returns the keep mask, [B, N_v] bool; of equal tokens the first is dropped first (the
    reference's ``topk`` leaves ties open).
    """
    keep = significance.new_ones(significance.shape).bool()
    dropped = significance.argsort(dim=-1, stable=True)[:, : count_to_drop(beta, significance.shape[-1])]
    return keep.scatter_(-1, dropped, False)

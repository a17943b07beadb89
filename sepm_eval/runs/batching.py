"""Which of the questions that are loaded are read together: those whose pictures give about as many visual tokens.

A batch is padded to its longest row, and padding costs as much as a token. Where all pictures give as many, the
questions are read as they come.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_PADDING = 0.05  # share of a batch's visual tokens, padding among them
AHEAD = 4  # from how many batches' worth of loaded questions the rows of a batch are chosen, if pictures differ


def shortest_first(counts: Sequence[int]) -> list[int]:
    """The order in which questions are read, as indices; questions with as many visual tokens stay in their order."""
    return sorted(range(len(counts)), key=counts.__getitem__)


def alike(counts: Sequence[int], most: int) -> int:
    """How many of the first questions make a batch.

    Args:
        counts: visual tokens of each question, in ascending order.
        most: how many may be read at once.

    Returns:
        At least 1; so many that at most ``MOST_PADDING`` of the batch is padding.
    """
    total = 0
    for taken, count in enumerate(counts[:most]):
        total += count
        if total < (1 - MOST_PADDING) * count * (taken + 1):
            return taken
    return min(most, len(counts))

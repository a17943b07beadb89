"""Grouping of loaded questions into batches: pictures with about the same number of visual tokens are read together.

A batch is padded to its longest row, and a padding token costs as much as any other token. If all pictures give the
same number of visual tokens, the questions are read in their original order.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_PADDING = 0.05  # largest share of padding among a batch's visual tokens, padding included
AHEAD = 4  # if pictures differ in size, this many batches of questions are loaded before a batch is chosen from them


def shortest_first(counts: Sequence[int]) -> list[int]:
    """Indices of the questions in ascending order of their visual tokens; questions with equal counts keep their order.

    Args:
        counts: visual tokens of each question.
    """
    return sorted(range(len(counts)), key=counts.__getitem__)


def alike(counts: Sequence[int], most: int) -> int:
    """How many of the first questions make up the next batch.

    Args:
        counts: visual tokens of each question, in ascending order.
        most: the largest allowed number of questions in a batch.

    Returns:
        The largest number, at least 1, for which at most ``MOST_PADDING`` of the batch is padding.
    """
    total = 0
    for taken, count in enumerate(counts[:most]):
        total += count
        if total < (1 - MOST_PADDING) * count * (taken + 1):
            return taken
    return min(most, len(counts))

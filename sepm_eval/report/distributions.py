"""How far apart two distributions over emotions are, and how well one half of the voters agrees with the other.

The functions take and return numbers only. A distribution is a row of an array [N, L]: N items, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sepm_eval.report.statistics import SEED

SPLITS = 100

Rows = NDArray[np.float64]


def scaled(weights: Rows) -> Rows:
    """Scale each row of weights [N, L] to sum to 1; a row without any weight becomes NaN."""
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)


def jensen_shannon(first: Rows, second: Rows) -> Rows:
    """Jensen-Shannon divergence in bits: 0 for equal distributions, 1 for distributions without a common label.

    It is the square of ``scipy.spatial.distance.jensenshannon`` (base 2), without that function's rounding problem: for
    nearly equal distributions scipy takes the root of a number that rounding may put below 0.

    Args:
        first: [N, L], rows sum to 1.
        second: [N, L] likewise.

    Returns:
        [N] numbers from 0 to 1.
    """
    middle = (first + second) / 2
    both = special.rel_entr(first, middle).sum(axis=1) + special.rel_entr(second, middle).sum(axis=1)
    return np.clip(both / (2 * np.log(2)), 0.0, 1.0)


def circular_emd(first: Rows, second: Rows) -> Rows:
    """Earth mover's distance on a circle: how many steps a vote has to be moved on average, the shortest way.

    On a circle, the cheapest plan moves some weight across each border between neighbouring places. These amounts are
    known up to one constant. Subtracting their median makes the sum of the amounts smallest (Rabin, Delon & Gousseau,
    Journal of Mathematical Imaging and Vision 41, 2011, 147-167).

    Args:
        first: [N, S] weights at S places in their order around the circle, evenly spaced; rows sum to 1.
        second: [N, S] likewise.

    Returns:
        [N] distances in steps between neighbouring places, from 0 to S / 2.
    """
    passing = np.cumsum(first - second, axis=1)
    return np.asarray(np.abs(passing - np.median(passing, axis=1, keepdims=True)).sum(axis=1))


def modes(votes: Rows) -> NDArray[np.bool_]:
    """Mark the label with the most votes of each item, or several labels if they tie: [N, L] bool."""
    return np.asarray(votes == votes.max(axis=1, keepdims=True))


@dataclass(frozen=True)
class Ceiling:
    """How well one half of the voters predicts the other half, averaged over items and random splits.

    Attributes:
        n: number of items.
        agreement: how often a label with the most votes in one half also has the most votes in the other half.
        jensen_shannon: divergence between the two halves' distributions, in bits.
        emd: earth mover's distance between them, in steps; None if the labels are on no wheel.
    """

    n: int
    agreement: float
    jensen_shannon: float
    emd: float | None


def split_halves(counts: NDArray[np.int64], places: NDArray[np.int64] | None) -> Ceiling | None:
    """Split the voters of every item into halves at random, ``SPLITS`` times with a fixed seed, and compare the halves.

    If the number of voters is odd, one half has one voter more. If several labels have the most votes of a half, each
    of them counts equally.

    Args:
        counts: [N, L] how many people chose each label.
        places: [L] the labels' places on a wheel of eight, for the earth mover's distance; None if they have none.

    Returns:
        The means over the items with at least two votes; None if there is no such item.
    """
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return None
    draw = np.random.default_rng(SEED)
    found = [_halved(row, draw, places) for row in counts]
    agreement, divergence, emd = (float(np.mean([one[part] for one in found])) for part in range(3))
    return Ceiling(len(counts), agreement, divergence, None if places is None else emd)


def _halved(
    row: NDArray[np.int64], draw: np.random.Generator, places: NDArray[np.int64] | None
) -> tuple[float, float, float]:
    """Mean agreement, divergence and distance between the halves of one item's voters; distance 0 without places."""
    first = draw.multivariate_hypergeometric(row, int(row.sum()) // 2, size=SPLITS)
    one, other = first.astype(float), (row - first).astype(float)
    most = modes(one)
    agreement = (most & modes(other)).sum(axis=1) / most.sum(axis=1)
    one, other = scaled(one), scaled(other)
    emd = 0.0 if places is None else circular_emd(on_wheel(one, places), on_wheel(other, places)).mean()
    return float(agreement.mean()), float(jensen_shannon(one, other).mean()), float(emd)


def on_wheel(rows: Rows, places: NDArray[np.int64], size: int = 8) -> Rows:
    """Put the weights of labels [N, L] at the labels' places [L] on a wheel: [N, size]."""
    found = np.zeros((len(rows), size))
    found[:, places] = rows
    return found

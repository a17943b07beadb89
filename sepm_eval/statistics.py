"""How far a number, or a difference between two, can be trusted. Numbers in, numbers out; no files, no models.

What a library offers is the library's: scipy (Wilson interval, bootstrap, normal quantiles), statsmodels (McNemar,
Holm) and scikit-learn (Brier score). Resampling starts from a fixed seed, so a report is the same twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
POWER = 0.8
RESAMPLES = 2000
_SEED = 20250713
_BATCH = 64  # resamples held in memory at once


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same items.

    Attributes:
        n: how many items.
        difference: accuracy of the second minus that of the first.
        interval: of the difference, by the paired bootstrap.
        gained: items that only the second got right (wrong -> right).
        lost: items that only the first got right (right -> wrong).
        p_value: of the exact McNemar test.
        needed: items a test needs to find a difference this large with 80 % power, if as many answers differ; None if
            the accuracies are equal.
    """

    n: int
    difference: float
    interval: Interval
    gained: int
    lost: int
    p_value: float
    needed: int | None


def wilson(right: int, n: int) -> Interval:
    """The Wilson score interval of an accuracy of right / n; the whole range if n is 0."""
    if not n:
        return Interval(0.0, 1.0)
    found = stats.binomtest(right, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compare two methods by which items they got right, [N] bool each, in the same order.

    Raises:
        ValueError: there is nothing to compare, or the lengths differ.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"two methods are compared on the same items, at least one, not {one.shape} and {other.shape}")
    gained, lost = int((~one & other).sum()), int((one & ~other).sum())
    table = [[int((one & other).sum()), lost], [gained, int((~one & ~other).sum())]]
    difference = (gained - lost) / one.size
    return Comparison(
        n=one.size,
        difference=difference,
        interval=_bootstrap((one.astype(np.int8), other.astype(np.int8)), _mean_difference, vectorized=True),
        gained=gained,
        lost=lost,
        p_value=float(mcnemar(table, exact=True).pvalue),
        needed=needed_items(difference, (gained + lost) / one.size),
    )


def needed_items(difference: float, discordant: float) -> int | None:
    """How many items McNemar's test needs to find a difference with 80 % power at the 5 % level.

    Args:
        difference: of the two accuracies.
        discordant: share of the items on which exactly one of the two is right.

    Connor, Biometrics 43 (1987), 207-211. None if there is no difference to be found.
    """
    if not difference:
        return None
    both_sides, one_side = stats.norm.ppf(1 - (1 - LEVEL) / 2), stats.norm.ppf(POWER)
    spread = math.sqrt(max(discordant - difference**2, 0.0))
    return math.ceil(((both_sides * math.sqrt(discordant) + one_side * spread) / difference) ** 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many tests a table makes (Holm, 1979), in the same order."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]] if p_values else []


def macro_f1_interval(targets: Sequence[str], answers: Sequence[str | None]) -> Interval:
    """Bootstrap interval of ``scoring.macro_f1`` over items; the labels counted are those of the whole set."""
    names = sorted(set(targets))
    place = {name: index for index, name in enumerate(names)}
    goal = np.array([place[target] for target in targets])
    given = np.array([place.get(answer or "", len(names)) for answer in answers])
    return _bootstrap((goal * (len(names) + 1) + given,), partial(_macro_f1, labels=len(names)), vectorized=False)


def _macro_f1(cells: NDArray[np.int64], labels: int) -> float:
    """Macro-F1 of items given as cells of the confusion matrix, its last column answers that are no label."""
    confusion = np.bincount(cells, minlength=labels * (labels + 1)).reshape(labels, labels + 1)
    hits, sizes = confusion.diagonal(), confusion.sum(1) + confusion[:, :labels].sum(0)
    return float(np.mean(np.divide(2 * hits, sizes, out=np.zeros(labels), where=sizes > 0)))


@dataclass(frozen=True)
class Calibration:
    """How well a stage's probabilities tell how often it is right.

    Attributes:
        n: how many items.
        accuracy: share of items whose polarity is right.
        ece: expected calibration error, over ten bins of equal width.
        brier: mean squared error of the probability of "positive".
        bins: (mean probability of the chosen polarity, accuracy, items) of each bin that has items.
    """

    n: int
    accuracy: float
    ece: float
    brier: float
    bins: tuple[tuple[float, float, int], ...]


def calibration(p_positive: ArrayLike, p_negative: ArrayLike, is_positive: ArrayLike) -> Calibration:
    """Calibration of the coarse stage.

    Args:
        p_positive: [N] probability of the answer "positive" over the whole vocabulary.
        p_negative: [N] the same of "negative". The two are scaled to sum to 1.
        is_positive: [N] bool, the polarity of the item's label.
    """
    from sklearn.metrics import brier_score_loss

    yes, no = np.asarray(p_positive, dtype=float), np.asarray(p_negative, dtype=float)
    truth = np.asarray(is_positive, dtype=bool)
    total = yes + no
    share = np.divide(yes, total, out=np.full(yes.shape, 0.5), where=total > 0)
    sure, right = np.maximum(share, 1 - share), (share >= 0.5) == truth
    groups = np.minimum((sure * 10).astype(int), 9)
    bins = tuple(
        (float(sure[groups == g].mean()), float(right[groups == g].mean()), int((groups == g).sum()))
        for g in range(10)
        if (groups == g).any()
    )
    ece = sum(size * abs(mean - accuracy) for mean, accuracy, size in bins) / truth.size
    brier = float(brier_score_loss(truth, share, labels=[False, True]))
    return Calibration(int(truth.size), float(right.mean()), float(ece), brier, bins)


def _mean_difference(first: NDArray[np.int8], second: NDArray[np.int8], axis: int) -> NDArray[np.float64]:
    return np.asarray(second.mean(axis) - first.mean(axis))


def _bootstrap(data: tuple[NDArray[np.generic], ...], statistic: object, *, vectorized: bool) -> Interval:
    """Percentile interval over resampled items."""
    if len(data[0]) < 2 or (len(data) == 2 and (data[0] == data[1]).all()):
        value = statistic(*data, axis=-1) if vectorized else statistic(*data)  # type: ignore[operator]
        return Interval(float(value), float(value))
    found = stats.bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=vectorized,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))

"""How far a number, or a difference between two numbers, can be trusted.

The functions take and return numbers only. They use a library where one has the method: scipy (Wilson interval),
statsmodels (McNemar, Holm) and scikit-learn (Brier score). Where items fall into kinds, the bootstrap draws how often
each kind occurs instead of drawing items one by one; this gives the same distribution, and its time does not grow with
the number of items. The seed is fixed, so a report made twice has the same numbers. What a test can find is in
``power.py``. docs/statistics.md explains what every number means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sepm_eval.report.power import detectable_difference, needed_items
from sepm_eval.report.small_sets import LEVEL, SMALL, Interval, bayesian_interval, mid_p
from sepm_eval.scoring import expected_calibration_error

RESAMPLES = 2000
SEED = 20250713
_DRAWN_AT_ONCE = 10**6  # most items that ``mean_interval`` draws in one step


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same items.

    Attributes:
        n: number of items.
        difference: accuracy of the second minus that of the first.
        interval: 95 % interval of the difference, by the paired bootstrap.
        gained: items that only the second got right (wrong -> right).
        lost: items that only the first got right (right -> wrong).
        p_value: the p-value of the exact McNemar test.
        needed: items this test needs to find a difference as large with 80 % power, if the same share of answers
            differs; None if the accuracies are equal.
        detectable: the smallest difference that this test on as many items finds with 80 % power, if as many answers
            differ; None if no difference is large enough (``power.detectable_difference``).
        mid_p: the p-value of McNemar's mid-p test; None if there are ``SMALL`` items or more.
        bayesian: interval of the difference, by ``bayesian_interval``; None if there are ``SMALL`` items or more.
    """

    n: int
    difference: float
    interval: Interval
    gained: int
    lost: int
    p_value: float
    needed: int | None
    detectable: float | None = None
    mid_p: float | None = None
    bayesian: Interval | None = None


def mean_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def wilson(right: int, n: int) -> Interval:
    """The Wilson score interval of an accuracy.

    Args:
        right: number of right answers.
        n: number of answers.

    Returns:
        The 95 % interval; from 0 to 1 if n is 0.
    """
    if not n:
        return Interval(0.0, 1.0)
    found = stats.binomtest(right, n).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compare two methods that answered the same items.

    Args:
        first: [N] bool, which items the first method got right.
        second: [N] bool, which items the second method got right, in the same order.

    Returns:
        The difference (second minus first), its interval, and the exact McNemar test; for fewer than ``SMALL`` items
        also the mid-p test and the Bayesian interval.

    Raises:
        ValueError: there are no items, or the lengths differ.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"two methods are compared on the same items, at least one, not {one.shape} and {other.shape}")
    gained, lost = int((~one & other).sum()), int((one & ~other).sum())
    table = [[int((one & other).sum()), lost], [gained, int((~one & ~other).sum())]]
    difference = (gained - lost) / one.size
    drawn, small = _resampled(np.array([gained, lost, one.size - gained - lost])), one.size < SMALL
    return Comparison(
        n=one.size,
        difference=difference,
        interval=_percentiles((drawn[:, 0] - drawn[:, 1]) / one.size),
        gained=gained,
        lost=lost,
        p_value=float(mcnemar(table, exact=True).pvalue),
        needed=needed_items(difference, (gained + lost) / one.size),
        detectable=detectable_difference(one.size, (gained + lost) / one.size),
        mid_p=mid_p(gained, lost) if small else None,
        bayesian=bayesian_interval(gained, lost, one.size) if small else None,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of tests in a table (Holm, 1979).

    Args:
        p_values: one for each test.

    Returns:
        The adjusted p-values, in the same order.
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]] if p_values else []


def macro_f1_interval(targets: Sequence[str], answers: Sequence[str | None]) -> Interval:
    """Bootstrap interval of ``scoring.macro_f1`` over items.

    The mean is always over the labels of the whole set, even if a resample has no item of one of them.

    Args:
        targets: [N] the items' labels.
        answers: [N] the labels answered; None is unparsed.

    Returns:
        The 95 % interval.
    """
    if not targets:
        return Interval(0.0, 1.0)
    names = sorted(set(targets))
    column = {name: index for index, name in enumerate(names)}
    goal = np.array([column[target] for target in targets])
    given = np.array([column.get(answer or "", len(names)) for answer in answers])
    cells = np.bincount(goal * (len(names) + 1) + given, minlength=len(names) * (len(names) + 1))
    return _percentiles(_macro_f1(_resampled(cells.reshape(len(names), len(names) + 1))))


def _macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Macro-F1 of confusion matrices [..., labels, labels + 1]; the last column counts answers that are no label."""
    labels = confusion.shape[-2]
    square = confusion[..., :labels]
    hits, sizes = np.diagonal(square, axis1=-2, axis2=-1), confusion.sum(-1) + square.sum(-2)
    return np.asarray(np.divide(2 * hits, sizes, out=np.zeros(hits.shape), where=sizes > 0).mean(-1))


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities of choices match how often the choices are right.

    Attributes:
        n: number of items.
        accuracy: share of items on which the choice is right.
        confidence: mean probability of what was chosen.
        ece: expected calibration error, over ten bins of equal width.
        brier: mean squared error of the probability that what was chosen is right.
    """

    n: int
    accuracy: float
    confidence: float
    ece: float
    brier: float


def calibration(p_positive: ArrayLike, p_negative: ArrayLike, is_positive: ArrayLike) -> Calibration:
    """Measure how well the probabilities of stage 1 match how often it is right.

    Args:
        p_positive: [N] probability of the answer "positive" over the whole vocabulary.
        p_negative: [N] probability of the answer "negative", likewise. The two are scaled to sum to 1.
        is_positive: [N] bool, whether the item's label is positive.

    Returns:
        Accuracy, expected calibration error and Brier score of the likelier polarity. The Brier score of "positive" is
        the same.
    """
    yes, no = np.asarray(p_positive, dtype=float), np.asarray(p_negative, dtype=float)
    total = yes + no
    share = np.divide(yes, total, out=np.full(yes.shape, 0.5), where=total > 0)
    return reliability(np.maximum(share, 1 - share), (share >= 0.5) == np.asarray(is_positive, dtype=bool))


def reliability(confidence: ArrayLike, right: ArrayLike) -> Calibration:
    """Measure how well the probability of what was chosen matches how often it is right.

    Args:
        confidence: [N] probability of what was chosen.
        right: [N] bool, whether it is right.

    Returns:
        Accuracy, expected calibration error and Brier score.
    """
    from sklearn.metrics import brier_score_loss

    sure, hits = np.asarray(confidence, dtype=float), np.asarray(right, dtype=bool)
    ece = expected_calibration_error(sure.tolist(), hits.tolist())
    brier = float(brier_score_loss(hits, sure, labels=[False, True]))
    return Calibration(int(hits.size), float(hits.mean()), float(sure.mean()), ece, brier)


def mean_interval(values: ArrayLike) -> Interval:
    """Bootstrap interval of a mean over items.

    Args:
        values: [N], one number for each item; there is at least one item.

    Returns:
        The 95 % interval.
    """
    numbers = np.asarray(values, dtype=float)
    draw, size = np.random.default_rng(SEED), max(1, _DRAWN_AT_ONCE // numbers.size)
    means = [
        numbers[draw.integers(numbers.size, size=(min(size, RESAMPLES - done), numbers.size))].mean(axis=1)
        for done in range(0, RESAMPLES, size)
    ]
    return _percentiles(np.concatenate(means))


def _resampled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw how often each kind of item occurs in bootstrap resamples: [RESAMPLES, *counts.shape].

    A resample has as many items as there are, drawn with replacement. Items of one kind are alike to every statistic
    here, so only the number of items of each kind is drawn, from a multinomial distribution.
    """
    n = int(counts.sum())
    drawn = np.random.default_rng(SEED).multinomial(n, (counts / n).ravel(), size=RESAMPLES)
    return drawn.reshape(RESAMPLES, *counts.shape)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    """The middle 95 % of a statistic's values over resampled items."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))

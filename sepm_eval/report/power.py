"""What the exact McNemar test can find: its power, the items it needs, and the smallest difference it detects.

The power is computed, not approximated. Of N items a number D differs, D ~ Binomial(N, discordant); of these the better
method wins W ~ Binomial(D, share). The test finds a difference if W or D - W is so small that twice its binomial
probability under a share of 1/2 is at most 5 %. The power is the probability of that, summed over D. scipy provides
the binomial distribution (``betainc`` is its cumulative form).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from sepm_eval.report.small_sets import LEVEL

POWER = 0.8
_REACH = 6  # standard deviations of D that are summed on each side; what lies beyond has a probability below 1e-8
_POINTS = 2000  # most values of D that are summed; of more than that, every third, fifth ... stands for all
_ROUGH = 4.0  # variance of D below which the power does not yet grow with every item (``needed_items``)


def power(n: int, difference: float, discordant: float) -> float:
    """The probability that the exact two-sided McNemar test finds a difference at the 5 % level.

    Args:
        n: number of items.
        difference: the difference between the two accuracies.
        discordant: share of the items that exactly one of the two methods gets right; at least the difference.

    Returns:
        The probability; 0 if no items differ.
    """
    if not n or not discordant:
        return 0.0
    return _found(*_differing(n, discordant), _share(difference, discordant))


@lru_cache(maxsize=4096)
def needed_items(difference: float, discordant: float) -> int | None:
    """How many items the exact McNemar test needs to find a difference with 80 % power at the 5 % level.

    With few items that differ, one item more can lower the power, as the test's level is not used up evenly. The number
    is the one from which on the power stays above 80 %. The search begins at the number for the test without
    correction (Connor, Biometrics 43 (1987), 207-211), which is too small.

    Args:
        difference: the difference between the two accuracies.
        discordant: share of the items that exactly one of the two methods got right.

    Returns:
        The number of items; None if the difference is 0.
    """
    if not difference:
        return None
    low, high = 0, _connor(abs(difference), discordant)
    step = math.ceil(1 / abs(difference))
    while power(high, difference, discordant) < POWER:
        low, high, step = high, high + step, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, difference, discordant) >= POWER else (middle, high)
    if high * discordant * (1 - discordant) < _ROUGH:
        further = range(high + math.ceil((2 * math.sqrt(high * discordant) + 6) / discordant), high, -1)
        return next((n + 1 for n in further if power(n, difference, discordant) < POWER), high)
    return high


@lru_cache(maxsize=4096)
def detectable_difference(n: int, discordant: float) -> float | None:
    """The smallest difference that the exact McNemar test finds with 80 % power at the 5 % level.

    Args:
        n: number of items.
        discordant: share of the items that exactly one of two methods gets right.

    Returns:
        The difference between the two accuracies. None if there is none: even if one method were right on all items
        that differ, the power would be below 80 %. Fewer than six that differ never suffice.
    """
    if not n or not discordant:
        return None
    differing = _differing(n, discordant)

    def excess(share: float) -> float:
        return _found(*differing, share) - POWER

    if excess(1.0) < 0:
        return None
    near = sum(_quantiles()) / math.sqrt(n * discordant) / 2  # above 1/2, of the test without correction
    low, high = 0.5 + 0.9 * near, min(0.5 + 1.2 * near, 1.0)
    if not excess(low) < 0 < excess(high):
        low, high = 0.5, 1.0
    return float(discordant * (2 * optimize.brentq(excess, low, high, xtol=1e-7) - 1))


def detectable_unpaired(right: int, n: int) -> float | None:
    """The smallest difference to another run over the same items that can be found, if its answers are not known.

    It is ``detectable_difference`` for a run of the same accuracy that is right independently of this one.

    Args:
        right: number of right answers of this run.
        n: number of its answers.

    Returns:
        The difference between the two accuracies; None if none can be found, or all answers are right, or all wrong.
    """
    return detectable_difference(n, 2 * right * (n - right) / n**2) if n else None


def _quantiles() -> tuple[float, float]:
    """Normal quantiles of a two-sided test at confidence level ``LEVEL``, and of a power of ``POWER``."""
    return float(stats.norm.ppf(1 - (1 - LEVEL) / 2)), float(stats.norm.ppf(POWER))


def _connor(difference: float, discordant: float) -> int:
    """Connor's number of items for the test without correction."""
    both_sides, one_side = _quantiles()
    spread = math.sqrt(max(discordant - difference**2, 0.0))
    return math.ceil(((both_sides * math.sqrt(discordant) + one_side * spread) / difference) ** 2)


def _share(difference: float, discordant: float) -> float:
    """The share of the items that differ which the better method wins."""
    return min((1 + abs(difference) / discordant) / 2, 1.0)


def _differing(n: int, discordant: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The numbers of items that may differ: the numbers D, their probabilities, and the test's bound for each.

    The bound is the largest number of wins of the worse method at which the test finds a difference; -1 if none is.
    """
    mean, reach = n * discordant, _REACH * math.sqrt(n * discordant * (1 - discordant)) + _REACH**2
    low, high = max(math.floor(mean - reach), 0), min(math.ceil(mean + reach), n)
    step = 2 * math.ceil((high - low) / _POINTS / 2 - 0.5) + 1  # odd, as even and odd numbers have unlike bounds
    differ = np.arange(low, high + 1, max(step, 1), dtype=float)
    weight = stats.binom.pmf(differ, n, discordant)
    tail, (both_sides, _) = (1 - LEVEL) / 2, _quantiles()
    guess = np.floor((differ - both_sides * np.sqrt(differ)) / 2) + 1  # a little too large
    bound = np.minimum(guess, differ - 1)
    while (over := (bound >= 0) & (_cumulative(bound, differ, 0.5) > tail)).any():
        bound[over] -= 1
    return differ, weight / weight.sum(), np.maximum(bound, -1)


def _found(differ: NDArray[np.float64], weight: NDArray[np.float64], bound: NDArray[np.float64], share: float) -> float:
    """The power, of what ``_differing`` returns and the share of the items that differ which one method wins."""
    return float(weight @ (_cumulative(bound, differ, share) + _cumulative(bound, differ, 1 - share)))


def _cumulative(k: NDArray[np.float64], n: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """The probability of at most k of n, for k below n; 0 for a negative k."""
    known = k >= 0
    below = special.betainc(np.where(known, n - k, 1.0), np.where(known, k + 1, 1.0), 1 - p)
    return np.where(known, below, 0.0)

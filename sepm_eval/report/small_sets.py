"""Statistics for comparing two methods on few items: McNemar's mid-p test and a Bayesian interval.

scipy provides the beta and binomial distributions, and root finding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

LEVEL = 0.95
SMALL = 300
"""Below this number of items, statistics made for few items are shown beside the others: with fewer than "a few
hundred" items, intervals from large-sample theory are too narrow (Bowyer et al., arXiv 2503.01747)."""
_NODES = 256  # points of the integral over the posterior of d (see ``bayesian_interval``)


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def mid_p(gained: int, lost: int) -> float:
    """McNemar's test with the mid-p value: tables as extreme as the observed one count half.

    The exact test never exceeds its level, but stays far below it with few items, so it misses differences. The mid-p
    test finds more of them and hardly ever exceeds the level (Fagerland, Lydersen & Laake, BMC Medical Research
    Methodology 13:91, 2013).

    Args:
        gained: items that only the second method got right.
        lost: items that only the first got right.

    Returns:
        The two-sided p-value; 1 if no item differs.
    """
    differ, rarer = gained + lost, min(gained, lost)
    if not differ:
        return 1.0
    seen = float(stats.binom.pmf(rarer, differ, 0.5))
    return 1 - seen / 2 if gained == lost else 2 * float(stats.binom.cdf(rarer, differ, 0.5)) - seen


def bayesian_interval(gained: int, lost: int, n: int) -> Interval:
    """A Bayesian interval of the difference between two methods on the same items, from two beta-binomial models.

    One model is of d, the share of items that exactly one of the two methods gets right; the other is of w, the share
    of these items that the second method gets right. Each has Jeffreys' prior, Beta(1/2, 1/2). The difference in
    accuracy is d x (2 w - 1).

    Args:
        gained: items that only the second method got right.
        lost: items that only the first got right.
        n: all items.

    Returns:
        The middle 95 % of the posterior distribution of the difference.
    """
    differ = gained + lost
    shares = special.betaincinv(differ + 0.5, n - differ + 0.5, (np.arange(_NODES) + 0.5) / _NODES)

    def excess(difference: float, tail: float) -> float:
        """Posterior probability that the difference is smaller, averaged over d, minus the probability of a tail."""
        won = np.clip((difference / shares + 1) / 2, 0, 1)
        return float(special.betainc(gained + 0.5, lost + 0.5, won).mean()) - tail

    low, high = (optimize.brentq(excess, -1, 1, args=(tail,), xtol=1e-6) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(low), float(high))

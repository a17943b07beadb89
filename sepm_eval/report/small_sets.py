"""What a comparison of two methods on few items can be trusted with: the mid-p test and a Bayesian interval.

scipy does the work: beta and binomial distributions, and root finding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

LEVEL = 0.95
SMALL = 300
"""Below so many items numbers made for few stand beside the others: with fewer than "a few hundred" intervals that rest
on many are too narrow (Bowyer et al., arXiv 2503.01747)."""
_NODES = 256  # of the integral over the posterior of a share


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def mid_p(gained: int, lost: int) -> float:
    """McNemar's test with the mid-p value: tables as extreme as the one seen count half.

    The exact test never exceeds its level, and stays far below it with few items, so it misses differences that this
    one finds, which hardly ever exceeds it (Fagerland, Lydersen & Laake, BMC Medical Research Methodology 13:91, 2013).

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

    The share of items that exactly one of the two gets right has one model, the share of these that the second gets
    right the other, each with Jeffreys' prior, Beta(1/2, 1/2). The difference is share x (2 x share of the second - 1).

    Args:
        gained: items that only the second method got right.
        lost: items that only the first got right.
        n: all items.

    Returns:
        The middle 95 % of the posterior distribution.
    """
    differ = gained + lost
    shares = special.betaincinv(differ + 0.5, n - differ + 0.5, (np.arange(_NODES) + 0.5) / _NODES)

    def excess(difference: float, tail: float) -> float:
        """Posterior probability of a smaller difference, averaged over the share that differs, minus a tail's."""
        won = np.clip((difference / shares + 1) / 2, 0, 1)
        return float(special.betainc(gained + 0.5, lost + 0.5, won).mean()) - tail

    low, high = (optimize.brentq(excess, -1, 1, args=(tail,), xtol=1e-6) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(low), float(high))

"""The power of the exact McNemar test, and what follows from it: by definition, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sepm_eval.report import power, statistics
from sepm_eval.report.comparing import power_note


def by_definition(n, difference, discordant):
    """Every table that may come up: its probability, and scipy's p-value of it."""
    found = 0.0
    for differ in range(n + 1):
        for won in range(differ + 1):
            if differ and stats.binomtest(won, differ).pvalue <= 0.05:
                chance = stats.binom.pmf(won, differ, (1 + difference / discordant) / 2)
                found += stats.binom.pmf(differ, n, discordant) * chance
    return found


@pytest.mark.parametrize(
    ("n", "difference", "discordant"),
    [(5, 1.0, 1.0), (6, 1.0, 1.0), (20, 0.25, 0.25), (30, 0.2, 0.4), (40, 0.1, 0.9), (25, 0.0, 0.5)],
)
def test_the_power_is_the_tests(n, difference, discordant):
    expected = by_definition(n, difference, discordant)
    assert power.power(n, difference, discordant) == pytest.approx(expected, abs=1e-9)
    assert power.power(n, -difference, discordant) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("n", "discordant"), [(7, 1.0), (300, 0.02), (3000, 0.5), (53_489, 0.4), (53_489, 0.0002)])
def test_the_bound_is_where_the_test_finds_a_difference(n, discordant):
    differ, weight, bound = power._differing(n, discordant)
    assert bound.tolist() == (stats.binom.ppf(0.025, differ, 0.5) - 1).tolist()
    assert weight.sum() == pytest.approx(1)
    assert stats.binom.cdf(differ[0] - 1, n, discordant) + stats.binom.sf(differ[-1], n, discordant) < 1e-8


def test_leaving_out_values_changes_nothing_that_is_seen(monkeypatch):
    whole = power.power(53_489, 0.0077, 0.4)
    monkeypatch.setattr(power, "_POINTS", 300)
    assert power.power(53_489, 0.0077, 0.4) == pytest.approx(whole, abs=1e-3)


def found(n, difference, discordant, draws=4000):
    """How often scipy's binomial test finds the difference in drawn tables."""
    draw = np.random.default_rng(1)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    tables, times = np.unique(draw.multinomial(n, shares, size=draws)[:, :2], axis=0, return_counts=True)
    sure = [bool(one + other) and stats.binomtest(one, one + other).pvalue <= 0.05 for one, other in tables.tolist()]
    return times[sure].sum() / draws


@pytest.mark.parametrize(("difference", "discordant"), [(0.06, 0.18), (0.3, 0.4), (0.4, 0.6), (0.0625, 0.3)])
def test_as_many_items_as_needed_give_the_power(difference, discordant):
    """Simulated with the exact test, which the report uses: four cases out of five, not 73 to 78 %."""
    n = power.needed_items(difference, discordant)
    assert found(n, difference, discordant) == pytest.approx(power.power(n, difference, discordant), abs=0.02)
    assert power.power(n, difference, discordant) >= 0.8 > power.power(n - 1, difference, discordant)


@pytest.mark.parametrize(("n", "discordant"), [(20, 0.4), (60, 0.15), (280, 0.12), (280, 0.4)])
def test_the_detectable_difference_is_found_with_that_power(n, discordant):
    difference = power.detectable_difference(n, discordant)
    assert power.power(n, difference, discordant) == pytest.approx(0.8, abs=1e-4)
    assert found(n, difference, discordant) == pytest.approx(0.8, abs=0.02)


@given(st.integers(1, 60), st.integers(1, 60))
def test_more_items_than_needed_are_enough(differ, won):
    """Also where an item more lowers the power, because the test does not use up its level evenly."""
    n, discordant = 60, differ / 60
    difference = min(won, differ) / n
    n = power.needed_items(difference, discordant)
    assert power.power(n - 1, difference, discordant) < 0.8
    assert min(power.power(n + more, difference, discordant) for more in range(0, n, max(1, n // 40))) >= 0.8


def test_an_item_more_can_lower_the_power():
    """A share of 0.8 of all items: 20 items would do, 21 and 22 would not."""
    assert [power.power(n, 0.6, 1.0) >= 0.8 for n in (19, 20, 21, 22, 23)] == [False, True, False, False, True]
    assert power.needed_items(0.6, 1.0) == 23


def test_few_items_are_never_enough_for_what_the_test_did_not_find():
    """4 of 4 flipped have p = 0.125; Connor's formula had 4 items needed. The test never finds fewer than 6 flips."""
    four = statistics.compare([False] * 4, [True] * 4)
    assert (four.p_value, four.needed, four.detectable) == (0.125, 6, None)
    assert power_note(four) == "too few: 6 needed"
    for n in range(1, 21):
        for gained in range(1, n + 1):
            for lost in range(min(gained, n - gained + 1)):
                if stats.binomtest(gained, gained + lost).pvalue > 0.05:
                    assert power.needed_items((gained - lost) / n, (gained + lost) / n) > n
    six = statistics.compare([False] * 6, [True] * 6)
    assert (six.needed, power_note(six)) == (6, "enough (6 needed)")


def test_what_cannot_be_detected():
    assert power.needed_items(0.0, 0.3) is None
    assert power.detectable_difference(0, 0.2) is None
    assert power.detectable_difference(100, 0.0) is None
    assert power.detectable_difference(20, 0.05) is None
    assert [power.detectable_difference(n, 1.0) is None for n in (4, 5, 6)] == [True, True, False]
    assert power.detectable_unpaired(0, 0) is None
    assert power.detectable_unpaired(30, 30) is None
    assert power.power(0, 0.1, 0.2) == power.power(10, 0.0, 0.0) == 0.0


def test_very_many_items_are_those_of_the_approximation():
    """51 against 50 flips of 53,489: 42 million items; the two formulas agree to a few thousandths."""
    difference, discordant = 1 / 53_489, 101 / 53_489
    assert power.needed_items(difference, discordant) == pytest.approx(power._connor(difference, discordant), rel=5e-3)


def test_a_single_run_is_taken_to_be_right_independently_of_the_other():
    """Abstract's 228 paintings at 28 %: two such runs differ in 40 % of the answers."""
    difference = power.detectable_unpaired(64, 228)
    assert difference == power.detectable_difference(228, 2 * (64 / 228) * (164 / 228))
    assert difference == pytest.approx(0.121, abs=5e-4)


@pytest.mark.parametrize(("n", "told"), [(124, "enough (124 needed)"), (123, "too few: 124 needed")])
def test_whether_the_items_suffice_is_said(n, told):
    result = statistics.Comparison(n, 0.0625, statistics.Interval(0, 0.2), 1, 0, 1.0, needed=124)
    assert power_note(result) == told

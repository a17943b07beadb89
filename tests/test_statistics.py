"""Statistics against published worked examples and independent formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sepm_eval.report import statistics
from sepm_eval.scoring import macro_f1


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_newcombes(right, n, low, high):
    """Newcombe, Statistics in Medicine 17 (1998), 857-872, Table I, method 3."""
    found = statistics.wilson(right, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_of_nothing_nothing_is_known():
    assert statistics.wilson(0, 0) == statistics.Interval(0.0, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        statistics.compare([], [])
    with pytest.raises(ValueError, match="same items"):
        statistics.compare([True], [True, False])


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_mcnemar_is_the_sign_test(gained, lost, same):
    """Exact McNemar is the two-sided binomial test on the items where the two differ."""
    first = [False] * gained + [True] * (lost + same + 1)
    second = [True] * gained + [False] * lost + [True] * (same + 1)
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    found = statistics.compare(first, second)
    assert found.p_value == pytest.approx(expected)
    assert (found.gained, found.lost) == (gained, lost)
    assert found.difference == pytest.approx((gained - lost) / len(first))


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []


def test_bootstrap_agrees_with_the_normal_interval():
    """For many items the paired bootstrap is the interval of a mean of -1, 0 and 1."""
    draw = np.random.default_rng(3)
    first = draw.random(4000) < 0.5
    second = np.where(draw.random(4000) < 0.2, draw.random(4000) < 0.6, first)
    steps = second.astype(int) - first.astype(int)
    half = 1.959964 * steps.std(ddof=1) / np.sqrt(len(steps))
    found = statistics.compare(first, second)
    assert found.interval.low == pytest.approx(steps.mean() - half, abs=0.1 * half)
    assert found.interval.high == pytest.approx(steps.mean() + half, abs=0.1 * half)
    assert statistics.compare(first, second) == found  # the same each time


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "d", None])), min_size=2, max_size=30)
)
def test_the_resampled_macro_f1_is_the_reported_one(pairs):
    """The statistic that is resampled is scikit-learn's, computed from counts."""
    targets, answers = zip(*pairs, strict=True)
    names = sorted(set(targets))
    confusion = np.zeros((len(names), len(names) + 1), dtype=int)
    for target, answer in pairs:
        confusion[names.index(target), names.index(answer) if answer in names else len(names)] += 1
    assert statistics._macro_f1(confusion) == pytest.approx(macro_f1(targets, answers))


def test_the_bootstrap_is_scipys():
    """Counts drawn at once, and items drawn one by one: the same intervals up to what chance leaves of 2,000 draws."""
    draw = np.random.default_rng(5)
    first, second = draw.random(300) < 0.5, draw.random(300) < 0.6
    found = statistics.compare(first, second).interval
    options = {"paired": True, "n_resamples": 20000, "method": "percentile", "rng": np.random.default_rng(1)}
    difference = lambda one, other, axis: other.mean(axis) - one.mean(axis)  # noqa: E731
    expected = stats.bootstrap((first, second), difference, **options).confidence_interval
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    targets, answers = draw.integers(0, 4, 300), draw.integers(0, 5, 300)
    cells = lambda some: np.bincount(some, minlength=20).reshape(4, 5)  # noqa: E731
    value = lambda some, axis: np.apply_along_axis(lambda row: statistics._macro_f1(cells(row)), axis, some)  # noqa: E731
    expected = stats.bootstrap((targets * 5 + answers,), value, **{**options, "n_resamples": 4000}).confidence_interval
    names = [["a", "b", "c", "d", None][one] for one in (*targets, *answers)]
    found = statistics.macro_f1_interval(names[:300], names[300:])
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)


def test_a_bootstrap_of_equal_answers_has_no_width():
    same = statistics.compare([True, False], [True, False])
    assert (same.interval.low, same.interval.high, same.needed) == (0.0, 0.0, None)
    assert statistics.macro_f1_interval([], []) == statistics.Interval(0.0, 1.0)


def test_macro_f1_interval_holds_the_value_and_shrinks():
    draw = np.random.default_rng(0)
    targets = draw.choice(["a", "b", "c"], 90)
    answers = np.where(draw.random(90) < 0.7, targets, "a")
    value = macro_f1(list(targets), list(answers))
    few = statistics.macro_f1_interval(list(targets), list(answers))
    many = statistics.macro_f1_interval(list(targets) * 20, list(answers) * 20)
    assert few.low < value < few.high
    assert many.low < value < many.high
    assert (many.high - many.low) < (few.high - few.low) / 3


def test_calibration_by_hand():
    """Four answers at 0.9, three of them right, and two at 0.6, one right."""
    positive = [0.9, 0.9, 0.9, 0.1, 0.6, 0.4]
    found = statistics.calibration(positive, [1 - p for p in positive], [True, True, False, False, True, True])
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.ece == pytest.approx((4 * abs(0.9 - 0.75) + 2 * abs(0.6 - 0.5)) / 6)
    assert found.brier == pytest.approx((3 * 0.01 + 0.81 + 0.16 + 0.36) / 6)


def test_probabilities_are_scaled_to_the_two_letters():
    few = statistics.calibration([0.09, 0.01], [0.01, 0.09], [True, False])
    many = statistics.calibration([0.9, 0.1], [0.1, 0.9], [True, False])
    assert few == many


def test_equal_probabilities_are_read_as_positive():
    assert statistics.calibration([0.5], [0.5], [True]).accuracy == 1.0
    assert statistics.calibration([0.5], [0.5], [False]).accuracy == 0.0

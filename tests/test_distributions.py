"""Distances between distributions, against scipy and hand-made votes, and people against people."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog
from scipy.spatial import distance

from sepm_eval.emotions import EMOTION6, MIKELS, WHEELS
from sepm_eval.report import distributions

WHEEL = {label: place for place, label in enumerate(WHEELS["Mikels"])}


def drawn(n, labels=8, seed=0):
    """Random distributions, some with labels nobody chose."""
    draw = np.random.default_rng(seed)
    found = draw.dirichlet(np.full(labels, 0.4), n) * (draw.random((n, labels)) < 0.8)
    return distributions.scaled(found + 1e-12 * (found.sum(axis=1, keepdims=True) == 0))


def onto(**weights):
    """One distribution over Mikels' wheel, by label."""
    row = np.zeros((1, 8))
    for label, weight in weights.items():
        row[0, WHEEL[label]] = weight
    return row / row.sum()


def test_the_wheels_hold_each_label_once():
    assert set(WHEELS["Mikels"]) == set(MIKELS)
    assert set(EMOTION6) < set(WHEELS["Plutchik"])
    assert all(len(set(wheel)) == 8 for wheel in WHEELS.values())


def test_jensen_shannon_is_scipys():
    first, second = drawn(200), drawn(200, seed=1)
    expected = distance.jensenshannon(first, second, base=2, axis=1) ** 2
    assert distributions.jensen_shannon(first, second) == pytest.approx(expected)
    assert distributions.jensen_shannon(first, first).max() == 0.0


def test_jensen_shannon_by_hand():
    """Half and half against all on one side: the entropy of 3/4 and 1/4, minus half a bit."""
    found = distributions.jensen_shannon(onto(awe=1, fear=1), onto(awe=1))
    assert found[0] == pytest.approx(stats.entropy([0.75, 0.25], base=2) - 0.5)
    assert distributions.jensen_shannon(onto(awe=1), onto(fear=1))[0] == pytest.approx(1.0)


def cheapest(first, second):
    """The cost of the best plan to carry one distribution to the other, as a linear programme over all plans."""
    size = len(first)
    steps = np.array([[min(abs(i - j), size - abs(i - j)) for j in range(size)] for i in range(size)])
    rows = [np.kron(np.eye(size)[i], np.ones(size)) for i in range(size)]
    columns = [np.kron(np.ones(size), np.eye(size)[j]) for j in range(size)]
    found = linprog(steps.ravel(), A_eq=np.array(rows + columns), b_eq=np.concatenate([first, second]))
    return found.fun


@pytest.mark.parametrize("labels", [8, 7, 3])
def test_circular_emd_is_the_cheapest_plan(labels):
    first, second = drawn(30, labels, seed=2), drawn(30, labels, seed=3)
    expected = [cheapest(*pair) for pair in zip(first, second, strict=True)]
    assert distributions.circular_emd(first, second) == pytest.approx(expected, abs=1e-8)


def test_circular_emd_is_the_least_of_scipys_on_the_circle_cut_open():
    first, second = drawn(50, seed=4), drawn(50, seed=5)
    line = np.arange(8)
    for one, other, found in zip(first, second, distributions.circular_emd(first, second), strict=True):
        cut = [stats.wasserstein_distance(line, line, np.roll(one, turn), np.roll(other, turn)) for turn in range(8)]
        assert found == pytest.approx(min(cut))


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        ({"amusement": 1}, {"anger": 1}, 1.0),  # neighbours across the end of the list
        ({"amusement": 1}, {"fear": 1}, 4.0),  # opposite
        ({"awe": 1}, {"awe": 1, "excitement": 1}, 0.5),
        ({"awe": 1, "disgust": 1}, {"excitement": 1, "anger": 1}, 1.0),
        ({"fear": 3, "sadness": 1}, {"fear": 1, "sadness": 3}, 0.5),
    ],
)
def test_circular_emd_of_hand_made_votes(first, second, steps):
    assert distributions.circular_emd(onto(**first), onto(**second))[0] == pytest.approx(steps)
    assert distributions.circular_emd(onto(**second), onto(**first))[0] == pytest.approx(steps)


def test_modes_may_be_several():
    assert distributions.modes(np.array([[1.0, 3, 3], [2, 0, 0]])).tolist() == [
        [False, True, True],
        [True, False, False],
    ]


def test_rows_without_weight_are_not_a_number():
    found = distributions.scaled(np.array([[1.0, 3], [0, 0]]))
    assert found[0].tolist() == [0.25, 0.75]
    assert np.isnan(found[1]).all()


PLACES = np.array([WHEEL[label] for label in MIKELS])


def every_half(counts):
    """Mean agreement, divergence and distance over every way to halve the voters of one item."""
    voters = [label for label, count in enumerate(counts) for _ in range(count)]
    found = []
    for chosen in combinations(range(len(voters)), len(voters) // 2):
        one = np.bincount([voters[i] for i in chosen], minlength=8).astype(float)
        other = np.array(counts) - one
        most, others = one == one.max(), other == other.max()
        halves = one[None] / one.sum(), other[None] / other.sum()
        wheel = [distributions.on_wheel(half, PLACES) for half in halves]
        js = distance.jensenshannon(halves[0][0], halves[1][0], base=2) ** 2
        found.append(((most & others).sum() / most.sum(), js, distributions.circular_emd(*wheel)[0]))
    return np.mean(found, axis=0)


@pytest.mark.parametrize("counts", [[4, 2, 1, 1, 0, 0, 0, 0], [0, 3, 0, 0, 3, 0, 1, 0], [1, 1, 0, 0, 0, 0, 0, 0]])
def test_the_ceiling_is_the_mean_over_all_ways_to_halve_the_voters(counts):
    """Drawn 100 times of each of 60 alike items, against all there are."""
    found = distributions.split_halves(np.array([counts] * 60), PLACES)
    agreement, js, emd = every_half(counts)
    assert found.n == 60
    assert found.agreement == pytest.approx(agreement, abs=0.02)
    assert found.jensen_shannon == pytest.approx(js, abs=0.02)
    assert found.emd == pytest.approx(emd, abs=0.04)


def test_the_ceiling_of_people_who_all_agree():
    counts = np.eye(8, dtype=int)[:3] * 5
    assert distributions.split_halves(counts, PLACES) == distributions.Ceiling(3, 1.0, 0.0, 0.0)
    assert distributions.split_halves(counts, None).emd is None


def test_the_ceiling_is_the_same_twice_and_needs_two_votes():
    counts = np.random.default_rng(6).multinomial(14, np.full(8, 0.125), size=20)
    assert distributions.split_halves(counts, PLACES) == distributions.split_halves(counts, PLACES)
    alone = np.vstack([counts, np.eye(8, dtype=int)[:1]])
    assert distributions.split_halves(alone, PLACES).n == 20
    assert distributions.split_halves(np.eye(8, dtype=int), PLACES) is None

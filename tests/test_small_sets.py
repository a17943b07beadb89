"""The mid-p test and the Bayesian interval: published examples and simulation."""

from __future__ import annotations

import re

import make_runs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.report import power, small_sets, statistics, tables
from sepm_eval.runs.results import read_runs


@pytest.mark.parametrize(
    ("gained", "lost", "exact", "mid_p"),
    [
        (1, 7, 0.070, 0.039),  # airway hyper-responsiveness before and after transplantation (Bentur et al., 2009)
        (6, 16, 0.053, 0.035),  # complete response before and after consolidation (Cavo et al., 2012)
    ],
)
def test_the_mid_p_test_is_fagerlands(gained, lost, exact, mid_p):
    """Fagerland, Lydersen & Laake, BMC Medical Research Methodology 13:91 (2013)."""
    first = [False] * gained + [True] * lost + [True] * 5
    second = [True] * gained + [False] * lost + [True] * 5
    found = statistics.compare(first, second)
    assert (found.p_value, found.mid_p) == (pytest.approx(exact, abs=6e-4), pytest.approx(mid_p, abs=6e-4))


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_mid_p_value_counts_equally_extreme_tables_half(gained, lost):
    """By its definition, from every table there could have been."""
    differ = gained + lost
    chances = stats.binom.pmf(np.arange(differ + 1), differ, 0.5)
    rarer = np.abs(2 * np.arange(differ + 1) - differ)
    seen = abs(gained - lost)
    expected = chances[rarer > seen].sum() + chances[rarer == seen].sum() / 2 if differ else 1.0
    assert small_sets.mid_p(gained, lost) == pytest.approx(expected)
    assert small_sets.mid_p(gained, lost) == small_sets.mid_p(lost, gained)


def tables_of(n):
    """Every pair of gained and lost there can be among n items."""
    return np.array([(gained, lost) for gained in range(n + 1) for lost in range(n + 1 - gained)])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_the_mid_p_test_keeps_its_level_and_finds_more(share):
    """Exactly, by the chance of every table of 60 items: less than 5 % where nothing differs, and more than exact."""
    tables = tables_of(60)
    cells = np.column_stack([tables, 60 - tables.sum(1)])
    mid = np.array([small_sets.mid_p(*table) for table in tables]) <= 0.05
    differ, rarer = tables.sum(1), tables.min(1)
    exact = np.minimum(2 * stats.binom.cdf(rarer, differ, 0.5), 1) <= 0.05
    same = stats.multinomial.pmf(cells, 60, [share / 2, share / 2, 1 - share])
    better = stats.multinomial.pmf(cells, 60, [0.8 * share, 0.2 * share, 1 - share])
    assert same[exact].sum() < same[mid].sum() <= 0.05
    assert better[mid].sum() > better[exact].sum()


@pytest.mark.parametrize(("gained", "lost", "n"), [(7, 1, 21), (60, 40, 228), (3, 0, 10), (0, 0, 20), (20, 0, 20)])
def test_the_bayesian_interval_is_that_of_draws_from_the_posterior(gained, lost, n):
    draw = np.random.default_rng(4)
    shares = draw.beta(gained + lost + 0.5, n - gained - lost + 0.5, 400_000)
    expected = np.quantile(shares * (2 * draw.beta(gained + 0.5, lost + 0.5, 400_000) - 1), [0.025, 0.975])
    found = small_sets.bayesian_interval(gained, lost, n)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.004)
    mirrored = small_sets.bayesian_interval(lost, gained, n)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-5)


@pytest.mark.parametrize(("gained", "lost"), [(7, 1), (6, 16), (12, 12), (30, 18)])
def test_the_bayesian_tail_is_half_the_mid_p_value(gained, lost):
    """With Jeffreys' prior the posterior chance that the worse is better is nearly the one-sided mid-p value.

    For the exact test and the priors that belong to it this is Altham's equality (Biometrika 58, 1971, 561-576).
    """
    tail = stats.beta.cdf(0.5, max(gained, lost) + 0.5, min(gained, lost) + 0.5)
    assert tail == pytest.approx(small_sets.mid_p(gained, lost) / 2, abs=0.01) or gained == lost
    assert gained != lost or tail == pytest.approx(0.5)


def test_of_many_items_the_bayesian_interval_is_the_published_one():
    """Approval of a prime minister asked twice (Agresti, Categorical Data Analysis, matched pairs): -0.06 to -0.02."""
    found = small_sets.bayesian_interval(86, 150, 1600)
    assert (round(found.low, 2), round(found.high, 2)) == (-0.06, -0.02)
    half = 1.959964 * ((86 + 150 - (86 - 150) ** 2 / 1600) ** 0.5) / 1600
    assert (found.low, found.high) == pytest.approx((-0.04 - half, -0.04 + half), abs=2e-4)


def covered(shares, wins, n, draws):
    """How often the interval holds the true difference, of drawn tables; each different table is worked out once."""
    draw = np.random.default_rng(11)
    shares, wins = np.broadcast_to(shares, draws), np.broadcast_to(wins, draws)
    differ = draw.binomial(n, shares)
    gained = draw.binomial(differ, wins)
    different, which = np.unique(np.column_stack([gained, differ - gained]), axis=0, return_inverse=True)
    intervals = [small_sets.bayesian_interval(*table, n) for table in different]
    low, high = np.array([(one.low, one.high) for one in intervals])[which.ravel()].T
    true = shares * (2 * wins - 1)
    return float(((low <= true) & (true <= high)).mean())


@pytest.mark.parametrize("n", [20, 40])
def test_the_bayesian_interval_covers_95_percent(n):
    """Over differences as its priors expect them, whatever the number of items: 95 % +- 1."""
    draw = np.random.default_rng(7)
    found = covered(draw.beta(0.5, 0.5, 20_000), draw.beta(0.5, 0.5, 20_000), n, 20_000)
    assert found == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("share", "win"), [(0.2, 0.5), (0.3, 0.6), (0.4, 0.7)])
def test_it_covers_95_percent_of_the_same_difference_again_and_again(share, win):
    """As a confidence interval is held to it: one true difference, such as methods have, of 100 items; 95 % +- 1."""
    assert covered(share, win, 100, 20_000) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("n", "small"), [(299, True), (300, False)])
def test_few_items_are_noticed(n, small):
    first, second = np.zeros(n, dtype=bool), np.arange(n) < 20
    found = statistics.compare(first, second)
    assert (found.mid_p is not None, found.bayesian is not None) == (small, small)
    assert found.detectable == power.detectable_difference(n, 20 / n)
    if small:
        assert found.mid_p == small_sets.mid_p(20, 0)
        assert found.bayesian == small_sets.bayesian_interval(20, 0, n)


@pytest.mark.parametrize("n", [32, 304])
def test_a_report_and_compare_name_what_they_show(tmp_path, monkeypatch, n):
    """Of few items both intervals by their names and the mid-p value; of many the bootstrap interval alone, as ever."""
    monkeypatch.setitem(make_runs.N, "emoset", n)
    for method, skill in (("zero_shot", 0.5), ("sepm", 0.6)):
        make_runs.run(tmp_path, "sepm_llava", make_runs.LLAVA, method, "emoset", skill, "20261101_120000")
    runs = read_runs([tmp_path])
    table = tables.comparisons(runs)
    ((*_, difference, _, _, p, _, detectable, _),) = table.rows
    (record,) = table.records
    assert float(detectable.text) == pytest.approx(record["detectable"], abs=0.05)
    output = CliRunner().invoke(app, ["compare", str(tmp_path), "--a", "zero_shot", "--b", "sepm"]).output
    assert f"smallest detectable difference: {detectable.text} points" in output
    if n < statistics.SMALL:
        assert [detail.split()[0] for detail in difference.details] == ["bootstrap", "Bayesian"]
        assert p.details == (f"mid-p {record['p_mid']:.3f}",)
        told = re.search(r"fewer than 300 items: Bayesian 95 % interval \[(.*), (.*)\]", output)
        assert [float(end) for end in told.groups()] == pytest.approx(
            [record["bayesian_low"], record["bayesian_high"]], abs=0.006
        )
        assert f"; mid-p {record['p_mid']:.4g}" in output
        assert any("Below 300 items" in note for note in table.notes)
    else:
        assert [detail[0] for detail in difference.details] == ["["]
        assert p.details == ()
        assert record["p_mid"] is record["bayesian_low"] is record["bayesian_high"] is None
        assert "Bayesian" not in output + "".join(table.notes)
        assert "mid-p" not in output
    first, *_ = tables.runs_table(runs).records
    assert first["detectable"] == 100 * power.detectable_unpaired(first["right"], n)

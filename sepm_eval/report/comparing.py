"""Compare every method with zero-shot of the same model on the same items: accuracy difference and flipped items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sepm_eval.report import statistics
from sepm_eval.report.table import (
    RUN_COLUMNS,
    Cell,
    Mapped,
    Table,
    count_cell,
    interval_text,
    items_of,
    labels_of,
    run_cells,
    shown_note,
    spread,
)
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.outcomes import Outcome, Run
from sepm_eval.runs.pairs import DifferentItems, paired

Pairs = Sequence[tuple[Outcome, Outcome]]

SMALL_NOTE = (
    f"Below {statistics.SMALL} items there stand beside them the mid-p McNemar test, which misses fewer differences "
    "than the exact one, and a Bayesian interval (two beta-binomial models, Jeffreys' priors)."
)


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """Find the zero-shot run that a run is compared with.

    That run has the default options, and the same model, polarities and items. A stock model is compared with our
    zero-shot run whose model is shown under the same name.

    Returns:
        The zero-shot run, or None if there is none.
    """
    return next((one for one in zero_shots(run, runs) if one.exam == run.exam), None)


def zero_shots(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Find the zero-shot runs of a run's model on its task, over any set of items."""
    plain = [one for one in runs if one.task == run.task and one.method == "zero_shot" and one.settings == one.defaults]
    if not run.entry.startswith(OUR_ENTRIES):
        return [one for one in plain if one.model == run.model and not one.identity.polarity]
    model, polarity = run.identity.of_model.digest, run.identity.polarity
    return [one for one in plain if one.identity.of_model.digest == model and one.identity.polarity == polarity]


@dataclass(frozen=True)
class Compared:
    """A run compared with zero-shot of the same model on the same items.

    Attributes:
        run: the run.
        base: the zero-shot run.
        result: the comparison; its difference is the run's accuracy minus zero-shot's.
        p_holm: the p-value of ``result``, adjusted by Holm's method for all comparisons of the report.
    """

    run: Run
    base: Run
    result: statistics.Comparison
    p_holm: float


Told: TypeAlias = "tuple[list[Compared], list[str]]"


def compared(runs: Sequence[Run]) -> Told:
    """Compare every run with zero-shot of the same model on the same items.

    Returns:
        The comparisons, in the order of the runs; and for each run whose zero-shot run was asked other items or
        questions, a sentence that says why the two are not compared.
    """
    found: list[tuple[Run, Run, statistics.Comparison]] = []
    refused = []
    for run in runs:
        others = zero_shots(run, runs)
        if not others or any(one is run for one in others):
            continue
        base = baseline_of(run, runs) or others[0]
        try:
            pairs = paired(base, run)
        except DifferentItems as error:
            refused.append(f"Not compared: {error}.")
            continue
        if pairs:
            found.append((run, base, compare_pairs(pairs)))
    adjusted = statistics.holm([result.p_value for _, _, result in found])
    return [Compared(*one, p_holm) for one, p_holm in zip(found, adjusted, strict=True)], refused


def comparisons(runs: Sequence[Run], told: Told | None = None) -> Table | None:
    """Make the table that compares every method with zero-shot on the same items.

    Args:
        runs: the runs of the report.
        told: the result of ``compared(runs)``, if the caller already has it.

    Returns:
        The table, or None if there is nothing to compare.
    """
    found, refused = told or compared(runs)
    if not found:
        return None
    rows, records = zip(*map(_line, found), strict=True)
    columns = (
        *(*RUN_COLUMNS, "N", "difference", "wrong → right", "right → wrong", "p", "p (Holm)"),
        *("detectable", "power"),
    )
    notes = (
        "Difference in accuracy to zero-shot of the same model on the same items, in points, with a paired bootstrap "
        "interval; exact McNemar test; p of the exact test adjusted by Holm over this table.",
        *([SMALL_NOTE] if any(one.result.bayesian for one in found) else []),
        "Detectable: the smallest difference, in points, that a test of as many items finds with 80 % power if as many "
        "answers differ; “none” where so few differ that it finds no difference.",
        "Power: how many items a test needs to find a difference this large with 80 % power.",
        *refused,
    )
    return Table("comparisons", "Against zero-shot", columns, rows, notes, records)


def _line(one: Compared) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """One row of the table of comparisons, as cells and as a record."""
    run, result, p_holm = one.run, one.result, one.p_holm
    points, intervals = 100 * result.difference, [interval_text(result.interval, 100, 2)]
    detectable = None if result.detectable is None else 100 * result.detectable
    if result.bayesian is not None:
        intervals = [f"bootstrap {intervals[0]}", f"Bayesian {interval_text(result.bayesian, 100, 2)}"]
    mid_p = () if result.mid_p is None else (f"mid-p {_p(result.mid_p)}",)
    cells = (
        *(*run_cells(run), count_cell(result.n)),
        Cell(f"{points:+.2f}", tuple(intervals), points),
        count_cell(result.gained, items_of(run, flip="wrong → right")),
        count_cell(result.lost, items_of(run, flip="right → wrong")),
        *(Cell(_p(result.p_value), mid_p, result.p_value), Cell(_p(p_holm), value=p_holm)),
        detectable_cell(detectable),
        Cell(power_note(result), value=result.needed),
    )
    record = {
        **{**labels_of(run), "n": result.n},
        **{"difference": points, "difference_low": 100 * result.interval.low},
        **{"difference_high": 100 * result.interval.high, "wrong_to_right": result.gained},
        **{"right_to_wrong": result.lost, "p_mcnemar": result.p_value, "p_holm": p_holm},
        "p_mid": result.mid_p,
        "bayesian_low": None if result.bayesian is None else 100 * result.bayesian.low,
        "bayesian_high": None if result.bayesian is None else 100 * result.bayesian.high,
        "detectable": detectable,
        "needed_n": result.needed,
    }
    return cells, record


def compare_pairs(pairs: Pairs) -> statistics.Comparison:
    """Compare two runs, given their outcomes item by item."""
    return statistics.compare([a.score.correct for a, _ in pairs], [b.score.correct for _, b in pairs])


def power_note(result: statistics.Comparison) -> str:
    """Say in words whether there are enough items to find a difference as large as the observed one."""
    if result.needed is None:
        return "no difference seen"
    if result.n >= result.needed:
        return f"enough ({result.needed} needed)"
    return f"too few: {result.needed:,} needed"


def detectable_cell(points: float | None) -> Cell:
    """A cell with the smallest difference that could be found, in points; "none" if no difference could."""
    return Cell("none") if points is None else Cell(f"{points:.1f}", value=points)


def flips(runs: Sequence[Run]) -> Table | None:
    """Make the table of items that only the method or only zero-shot got right.

    Returns:
        The table, with a few items of every kind as rows and all items as records; None if there is no such item.
    """
    found = []
    for run in runs:
        base = baseline_of(run, runs)
        if base is None or base is run:
            continue
        for before, after in paired(base, run):
            if before.score.correct != after.score.correct:
                found.append((run, before, after))
    if not found:
        return None
    records = Mapped(_flip, found)
    rows = []
    for place in spread(records, ("column", "model_id", "method", "flip")):
        run, record = found[place][0], records[place]
        item = Cell(record["item"], items=items_of(run, item=record["item"]))
        rows.append((*run_cells(run), item, *(Cell(record[key]) for key in ("label", "zero_shot", "answer", "flip"))))
    columns = (*RUN_COLUMNS, "item", "label", "zero-shot", "answer", "flip")
    notes = (shown_note(len(rows), len(records), "flips.csv"),)
    return Table("flips", "Flips against zero-shot", columns, tuple(rows), notes, records)


def _flip(found: tuple[Run, Outcome, Outcome]) -> dict[str, Any]:
    """The record of a flipped item: the run, zero-shot's answer and the answer of the run's method."""
    run, before, after = found
    return {
        **{**labels_of(run), "item": after.item, "label": after.target},
        **{"zero_shot": before.score.label or "unparsed", "answer": after.score.label or "unparsed"},
        "flip": "wrong → right" if after.score.correct else "right → wrong",
    }


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"

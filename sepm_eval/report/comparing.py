"""Every method against zero-shot of the same model on the same items: the difference, and the items that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sepm_eval.report import statistics
from sepm_eval.report.table import Cell, Table, count_cell, interval_text, labels_of, shown_note, spread
from sepm_eval.runs.outcomes import OUR_ENTRIES, DifferentItems, Outcome, Run, paired

Pairs = Sequence[tuple[Outcome, Outcome]]


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """The zero-shot run that a run is compared with.

    It has the default options, and the same model, polarities and items. A stock model is compared with our zero-shot
    run of the same shown name.

    Returns:
        That run, or None if there is none.
    """
    return next((one for one in zero_shots(run, runs) if one.exam == run.exam), None)


def zero_shots(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Zero-shot runs of a run's model on its task, whatever their items."""
    plain = [one for one in runs if one.task == run.task and one.method == "zero_shot" and one.settings == one.defaults]
    if not run.entry.startswith(OUR_ENTRIES):
        return [one for one in plain if one.model == run.model and not one.identity.polarity]
    model, polarity = run.identity.of_model.digest, run.identity.polarity
    return [one for one in plain if one.identity.of_model.digest == model and one.identity.polarity == polarity]


def comparisons(runs: Sequence[Run]) -> Table | None:
    """The table that compares every method with zero-shot on the same items.

    Returns:
        The table, or None if there is nothing to compare.
    """
    found: list[tuple[Run, statistics.Comparison]] = []
    refused = []
    for run in runs:
        others = zero_shots(run, runs)
        if not others or any(one is run for one in others):
            continue
        base = baseline_of(run, runs)
        try:
            pairs = paired(base or others[0], run)
        except DifferentItems as error:
            refused.append(f"Not compared: {error}.")
            continue
        if pairs:
            found.append((run, compare_pairs(pairs)))
    if not found:
        return None
    adjusted = statistics.holm([result.p_value for _, result in found])
    lines = [_line(run, result, p_holm) for (run, result), p_holm in zip(found, adjusted, strict=True)]
    rows, records = zip(*lines, strict=True)
    columns = ("task", "model", "method", "N", "difference", "wrong → right", "right → wrong", "p", "p (Holm)", "power")
    notes = (
        "Difference in accuracy to zero-shot of the same model on the same items, in points, with a paired bootstrap "
        "interval; exact McNemar test; p adjusted by Holm over this table.",
        "Power: how many items a test needs to find a difference this large with 80 % power.",
        *refused,
    )
    return Table("comparisons", "Against zero-shot", columns, rows, notes, records)


def _line(run: Run, result: statistics.Comparison, p_holm: float) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """A row of the table of comparisons, and the same as a record."""
    points = 100 * result.difference
    cells = (
        *(Cell(run.column), Cell(run.model), Cell(run.variant), count_cell(result.n)),
        Cell(f"{points:+.2f}", (interval_text(result.interval, 100, 2),), points),
        *(count_cell(result.gained), count_cell(result.lost)),
        *(Cell(_p(result.p_value), value=result.p_value), Cell(_p(p_holm), value=p_holm)),
        Cell(power_note(result), value=result.needed),
    )
    record = {
        **{**labels_of(run), "n": result.n},
        **{"difference": points, "difference_low": 100 * result.interval.low},
        **{"difference_high": 100 * result.interval.high, "wrong_to_right": result.gained},
        **{"right_to_wrong": result.lost, "p_mcnemar": result.p_value, "p_holm": p_holm},
        "needed_n": result.needed,
    }
    return cells, record


def compare_pairs(pairs: Pairs) -> statistics.Comparison:
    """Compare two runs, given their outcomes item by item."""
    return statistics.compare([a.score.correct for a, _ in pairs], [b.score.correct for _, b in pairs])


def power_note(result: statistics.Comparison) -> str:
    """Say in words whether there are enough items for the difference that was seen."""
    if result.needed is None:
        return "no difference seen"
    if result.n >= result.needed:
        return f"enough ({result.needed} needed)"
    return f"too few: {result.needed:,} needed"


def flips(runs: Sequence[Run]) -> Table | None:
    """The table of items that only one of method and zero-shot got right.

    Returns:
        The table, or None if there is no such item.
    """
    records = []
    for run in runs:
        base = baseline_of(run, runs)
        if base is None or base is run:
            continue
        about = labels_of(run)
        for before, after in paired(base, run):
            if before.score.correct == after.score.correct:
                continue
            way = "wrong → right" if after.score.correct else "right → wrong"
            said = (before.score.label or "unparsed", after.score.label or "unparsed")
            records.append(
                {
                    **{**about, "item": after.item, "label": after.target},
                    **{"zero_shot": said[0], "answer": said[1], "flip": way},
                }
            )
    if not records:
        return None
    shown = spread(records, ("column", "model_id", "method", "flip"))
    keys = ("column", "model", "method", "item", "label", "zero_shot", "answer", "flip")
    rows = tuple(tuple(Cell(str(record[key])) for key in keys) for record in shown)
    columns = ("task", "model", "method", "item", "label", "zero-shot", "answer", "flip")
    notes = (shown_note(len(rows), len(records), "flips.csv"),)
    return Table("flips", "Flips against zero-shot", columns, rows, notes, tuple(records))


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"

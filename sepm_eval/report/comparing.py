"""Every method against zero-shot of the same model on the same items: the difference, and the items that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sepm_eval.report import statistics
from sepm_eval.report.table import Cell, Table, count_cell, interval_text, labels_of, shown_note, spread
from sepm_eval.runs.outcomes import OUR_ENTRIES, DifferentItems, Outcome, Run, paired

Pairs = Sequence[tuple[Outcome, Outcome]]

SMALL_NOTE = (
    f"Below {statistics.SMALL} items there stand beside them the mid-p McNemar test, which misses fewer differences "
    "than the exact one, and a Bayesian interval (two beta-binomial models, Jeffreys' priors)."
)


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
    columns = (
        *("task", "model", "method", "N", "difference", "wrong → right", "right → wrong", "p", "p (Holm)"),
        *("detectable", "power"),
    )
    notes = (
        "Difference in accuracy to zero-shot of the same model on the same items, in points, with a paired bootstrap "
        "interval; exact McNemar test; p of the exact test adjusted by Holm over this table.",
        *([SMALL_NOTE] if any(result.bayesian for _, result in found) else []),
        "Detectable: the smallest difference, in points, that a test of as many items finds with 80 % power if as many "
        "answers differ; “none” where so few differ that it finds no difference.",
        "Power: how many items a test needs to find a difference this large with 80 % power.",
        *refused,
    )
    return Table("comparisons", "Against zero-shot", columns, rows, notes, records)


def _line(run: Run, result: statistics.Comparison, p_holm: float) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """A row of the table of comparisons, and the same as a record."""
    points, intervals = 100 * result.difference, [interval_text(result.interval, 100, 2)]
    if result.bayesian is not None:
        intervals = [f"bootstrap {intervals[0]}", f"Bayesian {interval_text(result.bayesian, 100, 2)}"]
    mid_p = () if result.mid_p is None else (f"mid-p {_p(result.mid_p)}",)
    cells = (
        *(Cell(run.column), Cell(run.model), Cell(run.variant), count_cell(result.n)),
        Cell(f"{points:+.2f}", tuple(intervals), points),
        *(count_cell(result.gained), count_cell(result.lost)),
        *(Cell(_p(result.p_value), mid_p, result.p_value), Cell(_p(p_holm), value=p_holm)),
        detectable_cell(result.detectable),
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
        "detectable": None if result.detectable is None else 100 * result.detectable,
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


def detectable_cell(share: float | None) -> Cell:
    """The smallest difference that could be found, in points."""
    return Cell("none") if share is None else Cell(f"{100 * share:.1f}", value=100 * share)


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

"""Many models in one ranked table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepm_eval import statistics
from sepm_eval.report.table import Cell, Table, interval_text
from sepm_eval.report.write import Page, sources, write_page
from sepm_eval.results import Run


def leaderboard(runs: Sequence[Run]) -> Table:
    """Models and methods, best first, by the mean accuracy over the tasks that all of them have.

    A run over another item list than most, or one that is incomplete, is shown and not ranked.
    """
    lists = {
        task: _usual_list([run for run in runs if run.task == task]) for task in dict.fromkeys(r.task for r in runs)
    }
    rows: dict[tuple[str, str, str], dict[str, Run]] = {}
    for run in runs:
        if run.item_list == lists[run.task]:
            rows.setdefault((run.entry, run.model, run.variant), {})[run.task] = run
    ranked = {key: own for key, own in rows.items() if all(run.complete for run in own.values())}
    common = [task for task in lists if ranked and all(task in own for own in ranked.values())]
    mean = {
        key: sum(own[task].accuracy or 0.0 for task in common) / len(common) for key, own in ranked.items() if common
    }
    order = sorted(rows, key=lambda key: (-mean.get(key, -1.0), key))
    cells, records = [], []
    for key in order:
        entry, model, variant = key
        place = sum(mean[other] > mean[key] for other in mean) + 1 if key in mean else None
        line = [
            Cell("-" if place is None else str(place), value=place),
            Cell(model, (entry,)),
            Cell(variant),
            Cell("-" if key not in mean else f"{mean[key]:.2f}", value=mean.get(key)),
        ]
        for task in lists:
            line.append(_cell(rows[key].get(task)))
        cells.append(tuple(line))
        shares = {task: rows[key][task].accuracy if task in rows[key] else None for task in lists}
        records.append({"rank": place, "model": model, "method": variant, "mean": mean.get(key), **shares})
    notes = [
        f"Ranked by the unweighted mean over {', '.join(common)}." if common else "No task was run with all of them.",
        "Only complete runs are ranked; two accuracies whose intervals overlap may be equal.",
        *(f"{task}: item list {name!r}; runs over other lists are left out." for task, name in lists.items()),
    ]
    columns = ("rank", "model", "method", "mean %", *lists)
    return Table("leaderboard", "Leaderboard", columns, tuple(cells), tuple(notes), tuple(records))


def write_leaderboard(runs: Sequence[Run], out: Path) -> Path:
    """Write leaderboard.html, leaderboard.md and its CSV; the path of the page."""
    table = leaderboard(runs)
    summary = f"{len(table.rows)} models and methods."
    page = Page("Image-emotion leaderboard", summary, [table], sources=sources(runs))
    return write_page(page, out, "leaderboard")


def _usual_list(runs: Sequence[Run]) -> str:
    names = [run.item_list for run in runs]
    return max(dict.fromkeys(names), key=names.count)


def _cell(run: Run | None) -> Cell:
    if run is None or not run.scored:
        return Cell("-")
    details = (f"{run.right}/{len(run.scored)}", interval_text(statistics.wilson(run.right, len(run.scored)), 100))
    return Cell(f"{run.accuracy:.2f}", details if run.complete else (*details, "incomplete"), run.accuracy)

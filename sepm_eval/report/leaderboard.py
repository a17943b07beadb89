"""Many models in one ranked table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepm_eval.plurals import counted
from sepm_eval.report import statistics
from sepm_eval.report.pages import Page, write_page
from sepm_eval.report.table import (
    DETECTABLE,
    Cell,
    Table,
    detectable,
    detectable_text,
    interval_text,
    main_columns,
    mean_note,
    state,
)
from sepm_eval.report.write import sources, superseded
from sepm_eval.runs.outcomes import Run


def leaderboard(runs: Sequence[Run]) -> Table:
    """Rank models and methods, best first, by mean accuracy over the sets of items that all ranked ones were asked.

    For each task, only the set of items that most complete runs were asked counts (``main_columns``). A model and
    method without a run over any such set, or with an incomplete one, is shown with its N and has no rank.
    """
    columns = list(dict.fromkeys(run.column for run in runs))
    main = list(main_columns(runs).values())
    rows: dict[tuple[str, str], dict[str, Run]] = {}  # a run that plain generation answered has another variant
    for run in runs:
        rows.setdefault((run.identity.digest, run.variant), {})[run.column] = run
    ranked = {}
    for key, own in rows.items():
        here = [own[column] for column in main if column in own]
        if here and all(run.complete for run in here):
            ranked[key] = own
    common = [column for column in main if ranked and all(column in own for own in ranked.values())]
    shares = {key: [own[column].accuracy or 0.0 for column in common] for key, own in ranked.items()}
    mean = {key: sum(values) / len(values) for key, values in shares.items() if values}
    first = {key: next(iter(own.values())) for key, own in rows.items()}
    cells, records = [], []
    for key in sorted(rows, key=lambda key: (-mean.get(key, -1.0), first[key].title, first[key].entry, key)):
        own, run = rows[key], first[key]
        rank = sum(mean[other] > mean[key] for other in mean) + 1 if key in mean else None
        line = [
            Cell(run.called),
            Cell(run.model, (run.entry,)),
            Cell("-" if rank is None else str(rank), value=rank),
            Cell("-" if key not in mean else f"{mean[key]:.2f}", value=mean.get(key)),
        ]
        cells.append((*line, *(_cell(own.get(column)) for column in columns)))
        about = {"rank": rank, "model": run.model, "model_id": run.identity.key, "entry": run.entry}
        single = {column: own[column].accuracy if column in own else None for column in columns}
        told = {f"detectable {column}": detectable(own[column]) if column in own else None for column in columns}
        records.append({**about, "method": run.variant, "mean": mean.get(key), **single, **told})
    notes = [
        f"Ranked by the mean. {mean_note(common, columns)}" if common else "No task was run completely with all.",
        "Only complete runs over the same items are ranked; two accuracies whose intervals overlap may be equal.",
        DETECTABLE,
    ]
    headers = ("method", "model", "rank", "mean %", *columns)
    return Table("leaderboard", "Leaderboard", headers, tuple(cells), tuple(notes), tuple(records))


def write_leaderboard(runs: Sequence[Run], out: Path) -> Path:
    """Write leaderboard.html, leaderboard.md and the table as CSV.

    Args:
        runs: the runs to rank.
        out: the folder to write to.

    Returns:
        The path of the HTML page.
    """
    table = leaderboard(runs)
    summary = f"{counted(len(table.rows), 'row')}: models with their methods."
    page = Page("Image-emotion leaderboard", summary, [table], warnings=superseded(runs), sources=sources(runs))
    return write_page(page, out, "leaderboard")


def _cell(run: Run | None) -> Cell:
    if run is None or not run.scored:
        return Cell("-")
    interval = interval_text(statistics.wilson(run.right, len(run.scored)), 100)
    details = (f"{run.right}/{len(run.scored)}", interval, detectable_text(run))
    return Cell(f"{run.accuracy:.2f}", details if run.complete else (*details, state(run)), run.accuracy)

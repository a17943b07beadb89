"""Published tables in the layout of their paper, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sepm_eval.report import paper
from sepm_eval.report.table import (
    DETECTABLE,
    Cell,
    Table,
    detectable,
    detectable_text,
    main_columns,
    mean_note,
    model_key,
    record_of,
    state,
)
from sepm_eval.runs.outcomes import Run

_Rows = Sequence[tuple[paper.PaperRow, Sequence[Run]]]


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """Make the papers' tables, one for each model, where these runs fill them.

    The tables of the SEPM paper are made for every model, those of another paper only for the models that it has
    figures of.
    """
    found = []
    for table in paper.TABLES:
        for model in dict.fromkeys(run.model for run in runs):
            mine = [run for run in runs if run.model == model]
            if table.paper is not paper.SEPM and table.paper.model_of(mine[0]) is None:
                continue
            if made := _paper_table(table, mine):
                found.append(made)
    return found


def _paper_table(table: paper.PaperTable, runs: Sequence[Run]) -> Table | None:
    by_row = [(row, [run for run in runs if row.is_that_of(run)]) for row in table.rows]
    if table.average:
        by_row += _other_methods(table, runs)
    by_row = [(row, own) for row, own in by_row if own]
    if len(by_row) < 2 or not (table.average or any(_is_ablation(row, table) for row, _ in by_row)):
        return None  # there is nothing to compare, or another table has it already
    model, columns = runs[0].model, _columns(table, by_row)
    averaged = _averaged(table, by_row) if table.average else []
    best = {
        column: max((run.accuracy or 0.0 for _, own in by_row for run in own if _counts(run, column)), default=None)
        for column in columns
    }
    rows, records = [], []
    for row, own in by_row:
        here = {run.column: run for run in own}
        cells = [Cell(row.label)]
        for column, task in columns.items():
            run = here.get(column)
            figure = row.accuracy.get(table.paper.model_of(run) or "", {}).get(task) if run else None
            n = None if figure is None else table.paper.n_of(task, figure)
            cells.append(_accuracy_cell(run, figure, n, best[column]))
            if run is not None:
                about = {"table": table.name, "row": row.label}
                told = {"complete": run.complete, "detectable": detectable(run), **_beside(run, figure, n)}
                records.append({**about, **record_of(run), **told})
        if averaged:
            cells.append(_average_cell(row, [here.get(column) for column in averaged], table))
        rows.append(tuple(cells))
    headers = ("method", *columns, *(["average"] if averaged else []))
    notes = _notes(table, columns, averaged, records)
    key = f"{table.name.lower().replace(' ', '').replace(',', '_')}_{model_key(runs)}"
    title = f"{table.name} · {model}: {table.caption}"
    return Table(key, title, headers, tuple(rows), tuple(notes), tuple(records))


def _is_ablation(row: paper.PaperRow, table: paper.PaperTable) -> bool:
    """Whether a row is an ablation: the paper's main table of methods has no row with the same method and options."""
    main = [other for one in paper.TABLES if one.paper is table.paper and one.average for other in one.rows]
    return not any((row.method, row.settings) == (other.method, other.settings) for other in main)


def _columns(table: paper.PaperTable, by_row: _Rows) -> dict[str, str]:
    """The sets of items that the runs are over, each with its task; the paper's tasks come first."""
    here = {run.column: run.task for _, own in by_row for run in own}
    order = {task: column for column, task in enumerate(table.tasks)}
    return dict(sorted(here.items(), key=lambda pair: order.get(pair[1], len(order))))


def _averaged(table: paper.PaperTable, by_row: _Rows) -> list[str]:
    """The sets of items to average over, one for each of the paper's tasks; none if a task has no complete run."""
    main = main_columns([run for _, own in by_row for run in own])
    return [main[task] for task in table.tasks] if set(table.tasks) <= main.keys() else []


def _notes(
    table: paper.PaperTable, columns: Mapping[str, str], averaged: Sequence[str], records: Sequence[dict[str, object]]
) -> list[str]:
    notes = [DETECTABLE]
    if averaged:
        notes.append(f"Average: over the paper's five tasks. {mean_note(averaged, list(columns))}")
    if any(not record["complete"] for record in records):
        notes.append("Best of a column is the best of its complete runs; no other is in an average.")
    with_figure = [record for record in records if record["paper"] is not None]
    for record in with_figure:
        if record["paper_n"] not in (None, record["n"]):
            notes.append(f"{record['column']}: N is {record['n']} here and {record['paper_n']} in the paper.")
    if with_figure:
        notes.append(f"Paper: the accuracy printed there ({table.paper.source}), and ours minus it in points.")
        if any(record["paper_can_be_of_these"] is False for record in with_figure):
            notes.append(
                "“no k/N”: no count of right answers out of N gives the printed figure, rounded or cut, so it cannot "
                "be of the items that it stands beside."
            )
        if any(record["paper_n"] is None for record in with_figure):
            notes.append("The paper does not publish its item lists; where N may differ, so may the figures.")
        notes.extend(table.paper.remarks)
    else:
        notes.append("The paper has no figures for this model and these tasks.")
    return list(dict.fromkeys(notes))


def _other_methods(table: paper.PaperTable, runs: Sequence[Run]) -> list[tuple[paper.PaperRow, list[Run]]]:
    """Rows for stock models and for methods that the paper does not have, with their default options."""
    known = {row.method for row in table.rows}
    others = [run for run in runs if run.method not in known and run.variant == run.method]
    labels = {run.method: run.called for run in others}
    return [
        (paper.PaperRow(label, name, {}, {}), [run for run in others if run.method == name])
        for name, label in labels.items()
    ]


def _counts(run: Run, column: str) -> bool:
    """Whether a run may be the best of a column: it belongs to the column, and it is complete."""
    return run.column == column and run.complete


def _accuracy_cell(run: Run | None, figure: float | None, n: int | None, best: float | None) -> Cell:
    if run is None:
        return Cell("-")
    share = run.accuracy
    if share is None:
        return Cell("none scored")
    details = [f"{run.right}/{len(run.scored)}"]
    if figure is not None:
        of = "" if n is None else f" of {n}"
        mark = "" if paper.can_be_of(figure, run.available) else f", no k/{run.available}"
        details.append(f"paper {figure:.2f}{of} ({round(share, 2) - figure:+.2f}){mark}")
    details.append(detectable_text(run))
    if not run.complete:
        details.append(state(run))
    return Cell(f"{share:.2f}", tuple(details), share, best=run.complete and share == best)


def _average_cell(row: paper.PaperRow, own: Sequence[Run | None], table: paper.PaperTable) -> Cell:
    runs = [run for run in own if run is not None and run.complete and run.accuracy is not None]
    if len(runs) < len(table.tasks):
        return Cell("-")
    mean = sum(run.accuracy or 0.0 for run in runs) / len(runs)
    printed = row.accuracy.get(table.paper.model_of(runs[0]) or "")
    if printed is None:
        return Cell(f"{mean:.2f}", (), mean)
    figure = sum(printed[task] for task in table.tasks) / len(table.tasks)
    return Cell(f"{mean:.2f}", (f"paper {figure:.2f} ({round(mean, 2) - round(figure, 2):+.2f})",), mean)


def _beside(run: Run, figure: float | None, n: int | None) -> dict[str, float | None]:
    """The paper's figure, its N, whether it can be a share of this run's items, and our accuracy minus it in points."""
    share = run.accuracy
    difference = None if figure is None or share is None else round(share, 2) - figure
    possible = None if figure is None else paper.can_be_of(figure, run.available)
    return {"paper": figure, "paper_n": n, "paper_can_be_of_these": possible, "difference": difference}

"""Tables 1-3 in the paper's shape, with the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from sepm_eval.report import paper
from sepm_eval.report.table import Cell, Table, file_key, record_of
from sepm_eval.results import Run


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """One table for each model, as far as there are runs for them."""
    found = []
    for table in paper.TABLES:
        for model in dict.fromkeys(run.model for run in runs):
            mine = [run for run in runs if run.model == model]
            if made := _paper_table(table, model, mine):
                found.append(made)
    return found


def _paper_table(table: paper.PaperTable, model: str, runs: Sequence[Run]) -> Table | None:
    by_row = [(row, [run for run in runs if row.is_that_of(run)]) for row in table.rows]
    if table.name == paper.TABLES[0].name:
        by_row += _other_methods(table, runs)
    by_row = [(row, own) for row, own in by_row if own]
    if len(by_row) < 2:
        return None  # nothing to compare
    every = [run for _, own in by_row for run in own]
    here = dict.fromkeys(run.task for run in every)
    tasks = [task for task in table.tasks if task in here] + [task for task in here if task not in table.tasks]
    average = table.average and set(tasks) >= set(table.tasks)
    rows, records, notes = [], [], []
    best = {
        task: max((run.accuracy for run in every if run.task == task and run.accuracy is not None), default=None)
        for task in tasks
    }
    for row, own in by_row:
        cells, values = [Cell(row.label)], {}
        for task in tasks:
            run = next((run for run in own if run.task == task), None)
            figure = row.accuracy.get(paper.paper_model(run) or "", {}).get(task) if run else None
            cells.append(_accuracy_cell(run, figure, best.get(task)))
            if run is None:
                continue
            values[task] = run.accuracy
            records.append(
                {"table": table.name, "model": model, "row": row.label, **record_of(run), **_beside(run, figure)}
            )
            if task in paper.ITEMS and figure is not None and len(run.scored) != paper.ITEMS[task]:
                notes.append(f"{task}: N is {len(run.scored)} here and {paper.ITEMS[task]} in the paper.")
        if average:
            cells.append(_average_cell(row, own, values, table.tasks))
        rows.append(tuple(cells))
    if any(record["paper"] is not None for record in records):
        notes.append("Paper: the accuracy printed there, and ours minus it in points.")
        if any(record["paper"] is not None and record["task"] not in paper.ITEMS for record in records):
            notes.append("The paper does not publish its item lists; where N may differ, so may the figures.")
    else:
        notes.append("The paper has no figures for this model and these tasks.")
    columns = ("method", *tasks, *(["average"] if average else []))
    key = f"{table.name.lower().replace(' ', '')}_{file_key(model)}"
    title = f"{table.name} · {model}: {table.caption}"
    return Table(key, title, columns, tuple(rows), tuple(dict.fromkeys(notes)), tuple(records))


def _other_methods(table: paper.PaperTable, runs: Sequence[Run]) -> list[tuple[paper.Row, list[Run]]]:
    """Lines for stock models and for methods the paper does not have, with their default settings."""
    known = {row.method for row in table.rows}
    others = [run for run in runs if run.method not in known and run.variant == run.method]
    labels = dict.fromkeys(run.method for run in others)
    return [(paper.Row(name, name, {}, {}), [run for run in others if run.method == name]) for name in labels]


def _accuracy_cell(run: Run | None, figure: float | None, best: float | None) -> Cell:
    if run is None:
        return Cell("-", (f"paper {figure:.2f}",) if figure is not None else ())
    share = run.accuracy
    if share is None:
        return Cell("none scored")
    details = [f"{run.right}/{len(run.scored)}"]
    if figure is not None:
        details.append(f"paper {figure:.2f} ({round(share, 2) - figure:+.2f})")
    if not run.complete:
        details.append("incomplete")
    return Cell(f"{share:.2f}", tuple(details), share, best=share == best)


def _average_cell(row: paper.Row, own: Sequence[Run], values: dict[str, float | None], tasks: Sequence[str]) -> Cell:
    if any(values.get(task) is None for task in tasks):
        return Cell("-")
    mean = sum(values[task] or 0.0 for task in tasks) / len(tasks)
    printed = row.accuracy.get(paper.paper_model(own[0]) or "")
    if printed is None:
        return Cell(f"{mean:.2f}", (), mean)
    figure = sum(printed[task] for task in tasks) / len(tasks)
    return Cell(f"{mean:.2f}", (f"paper {figure:.2f} ({round(mean, 2) - round(figure, 2):+.2f})",), mean)


def _beside(run: Run, figure: float | None) -> dict[str, float | None]:
    """The paper's figure, and ours minus it, in points."""
    share = run.accuracy
    return {"paper": figure, "difference": None if figure is None or share is None else round(share, 2) - figure}

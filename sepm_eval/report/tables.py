"""Every table of a report, as text for people and as records for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sepm_eval.report import statistics
from sepm_eval.report.comparing import Told, comparisons, detectable_cell, flips
from sepm_eval.report.paper_tables import paper_tables
from sepm_eval.report.proofs import controls, pruning_table
from sepm_eval.report.stages import calibration, costs
from sepm_eval.report.table import (
    DETECTABLE,
    RUN_COLUMNS,
    Cell,
    Mapped,
    Table,
    column_key,
    count_cell,
    detectable,
    groups,
    interval_text,
    items_of,
    labels_of,
    model_key,
    polarities,
    record_of,
    run_cells,
    shown_note,
    spread,
    state,
    variant_key,
)
from sepm_eval.report.votes import answers, votes
from sepm_eval.runs.outcomes import Outcome, Run
from sepm_eval.scoring import macro_f1

_SHOWN_CHARACTERS = 300  # of an answer or a fault


def runs_table(runs: Sequence[Run]) -> Table:
    """The table of all runs: accuracy and macro-F1 with their intervals, and how much was not answered."""
    rows, records = [], []
    for run in runs:
        n, share = len(run.scored), run.accuracy
        accuracy = statistics.wilson(run.right, n)
        targets, answers = [one.target for one in run.scored], [one.score.label for one in run.scored]
        f1 = macro_f1(targets, answers) if n else None
        width = statistics.macro_f1_interval(targets, answers)
        rows.append(
            (
                *run_cells(run, entry=True),
                Cell(f"{run.right}/{n}", value=n),
                Cell("none scored" if share is None else f"{share:.2f}", (interval_text(accuracy, 100),), share),
                detectable_cell(detectable(run)),
                Cell("-" if f1 is None else f"{f1:.3f}", (interval_text(width, 1, 3),), f1),
                *(count_cell(run.count(one), items_of(run, status=one)) for one in ("unparsed", "failed")),
                Cell(state(run)),
            )
        )
        records.append(
            {
                **record_of(run),
                **{"accuracy_low": accuracy.low * 100, "accuracy_high": accuracy.high * 100},
                "detectable": detectable(run),
                **{"macro_f1": f1, "macro_f1_low": width.low, "macro_f1_high": width.high},
                **{"unparsed": run.count("unparsed"), "failed": run.count("failed"), "missing": run.missing},
                **{"complete": run.complete, "part": run.part},
            }
        )
    columns = (*RUN_COLUMNS, "right/N", "accuracy %", "detectable", "macro-F1", "unparsed", "failed", "state")
    notes = (
        "Accuracy with its 95 % Wilson interval, macro-F1 with a bootstrap interval over items.",
        DETECTABLE,
        "An unparsed answer names no option and counts as wrong. A failed question was not answered and is not scored.",
    )
    return Table("runs", "All runs", columns, tuple(rows), notes, tuple(records))


def per_class(runs: Sequence[Run]) -> list[Table]:
    """Tables of the accuracy of every label: one for each model and set of items, with one column for each method."""
    found = []
    for mine in groups(runs):
        shown = main_runs(mine)
        if not shown:
            continue
        total = {id(run): Counter(one.target for one in run.scored) for run in mine}
        right = {id(run): Counter(one.target for one in run.scored if one.score.correct) for run in mine}
        rows, records = [], []
        for label in shown[0].options.labels:
            sides = dict.fromkeys(polarities(run)[label] for run in shown)
            cells = [Cell(label), Cell(" / ".join(sides))]
            for run in mine:
                n, hits = total[id(run)][label], right[id(run)][label]
                share = 100 * hits / n if n else None
                if any(run is one for one in shown):
                    details = (f"{hits}/{n}",) if n else ()
                    items = items_of(run, label=label)
                    cells.append(Cell("-" if share is None else f"{share:.1f}", details, share, items=items))
                records.append(
                    {
                        **{**labels_of(run), "label": label, "polarity": polarities(run)[label]},
                        **{"right": hits, "n": n, "accuracy": share},
                    }
                )
            rows.append(tuple(cells))
        columns = ("label", "polarity", *(run.called for run in shown))
        key = f"per_class_{model_key(mine)}_{column_key(mine[0])}"
        title = f"Accuracy by label · {mine[0].model}, {mine[0].column}"
        found.append(Table(key, title, columns, tuple(rows), (), tuple(records)))
    return found


def main_runs(runs: Sequence[Run]) -> list[Run]:
    """Choose one run for each method: the one with default options if there is one, otherwise the first.

    So the runs of a sweep over an option take one column, not twenty.
    """
    chosen: dict[str, Run] = {}
    for run in runs:
        if run.scored and (run.method not in chosen or run.variant == run.method):
            chosen[run.method] = run
    return list(chosen.values())


def unanswered(runs: Sequence[Run], status: str) -> Table | None:
    """Make the table of questions without a usable answer.

    Args:
        runs: the runs of the report.
        status: "unparsed" or "failed".

    Returns:
        The table, with what the model said or what went wrong for each question; None if there are no such questions.
    """
    found = [(run, one) for run in runs for one in run.outcomes if one.score.status == status]
    if not found:
        return None
    records = Mapped(_untold, found)
    rows = []
    for place in spread(records, ("column", "model_id", "method")):
        run, record = found[place][0], records[place]
        item = Cell(_short(record["item"]), items=items_of(run, item=record["item"]))
        rows.append((*run_cells(run), item, *(Cell(_short(record[key])) for key in ("label", "output"))))
    title = {"unparsed": "Unparsed answers", "failed": "Failed questions"}[status]
    columns = (*RUN_COLUMNS, "item", "label", "answer" if status == "unparsed" else "fault")
    notes = (shown_note(len(rows), len(records), f"{status}.csv"),)
    return Table(status, title, columns, tuple(rows), notes, records)


def _untold(found: tuple[Run, Outcome]) -> dict[str, Any]:
    """The record of a question without a usable answer."""
    run, outcome = found
    fault = outcome.record.error if outcome.record is not None else None
    return {**labels_of(run), "item": outcome.item, "label": outcome.target, "output": str(fault or outcome.output)}


def confusion(run: Run) -> Table:
    """The table of how often each label (row) got each answer (column); one more column counts unparsed answers."""
    labels = run.options.labels
    answers = [*labels, "unparsed"] if run.count("unparsed") else list(labels)
    counts = Counter((one.target, one.score.label or "unparsed") for one in run.scored)
    rows, records = [], []
    for label in labels:
        total = sum(counts[label, answer] for answer in answers)
        cells = [Cell(label)]
        for answer in answers:
            count = counts[label, answer]
            items = items_of(run, label=label, answer=answer) if count else None
            cells.append(Cell(str(count), value=count, items=items, shade=count / total if total else 0.0))
        rows.append(tuple(cells))
        records.append({**labels_of(run), "label": label, **{f"answered_{one}": counts[label, one] for one in answers}})
    key = f"confusion_{model_key([run])}_{column_key(run)}_{variant_key(run)}"
    notes = ("How often each label (row) got each answer (column); shades are shares of a row.",)
    return Table(key, f"Confusion of {run.called}", ("label", *answers), tuple(rows), notes, tuple(records))


def all_tables(runs: Sequence[Run], told: Told | None = None) -> list[Table]:
    """Make all tables over several models or sets of items.

    Args:
        runs: the runs of the report.
        told: the result of ``compared(runs)``, if the caller already has it.

    Returns:
        The tables that the runs have data for, in the order of the report.
    """
    made: Iterable[Table | None] = (
        *paper_tables(runs),
        comparisons(runs, told),
        votes(runs),
        answers(runs),
        costs(runs),
        controls(runs),
        runs_table(runs),
        pruning_table(runs),
        calibration(runs),
    )
    return [table for table in made if table is not None]


def detail_tables(runs: Sequence[Run]) -> list[Table]:
    """All tables about single labels and items that the runs of one model over one set of items have data for."""
    made: Iterable[Table | None] = (
        *per_class(runs),
        *(confusion(run) for run in main_runs(runs)),
        flips(runs),
        unanswered(runs, "unparsed"),
        unanswered(runs, "failed"),
    )
    return [table for table in made if table is not None]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} … ({len(text)} characters)"

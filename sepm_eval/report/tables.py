"""Every table of a report, as text for people and as records for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sepm_eval.report import statistics
from sepm_eval.report.comparing import comparisons, detectable_cell, flips
from sepm_eval.report.paper_tables import paper_tables
from sepm_eval.report.proofs import controls, fired
from sepm_eval.report.stages import calibration, costs
from sepm_eval.report.table import (
    Cell,
    Table,
    column_key,
    count_cell,
    groups,
    interval_text,
    labels_of,
    model_key,
    polarities,
    record_of,
    shown_note,
    spread,
    state,
)
from sepm_eval.report.votes import answers, votes
from sepm_eval.runs.outcomes import Run
from sepm_eval.scoring import macro_f1


def runs_table(runs: Sequence[Run]) -> Table:
    """The table of all runs: accuracy and macro-F1 with their intervals, and how much was not answered."""
    rows, records = [], []
    for run in runs:
        n, share = len(run.scored), run.accuracy
        accuracy = statistics.wilson(run.right, n)
        targets, answers = [one.target for one in run.scored], [one.score.label for one in run.scored]
        f1 = macro_f1(targets, answers) if n else None
        width = statistics.macro_f1_interval(targets, answers)
        detectable = statistics.detectable_unpaired(run.right, n)
        rows.append(
            (
                Cell(run.column, (run.item_list,)),
                Cell(run.model, (run.entry,)),
                Cell(run.variant),
                Cell(f"{run.right}/{n}", value=n),
                Cell("none scored" if share is None else f"{share:.2f}", (interval_text(accuracy, 100),), share),
                detectable_cell(detectable),
                Cell("-" if f1 is None else f"{f1:.3f}", (interval_text(width, 1, 3),), f1),
                count_cell(run.count("unparsed")),
                count_cell(run.count("failed")),
                Cell(state(run)),
            )
        )
        records.append(
            {
                **record_of(run),
                **{"accuracy_low": accuracy.low * 100, "accuracy_high": accuracy.high * 100},
                "detectable": None if detectable is None else 100 * detectable,
                **{"macro_f1": f1, "macro_f1_low": width.low, "macro_f1_high": width.high},
                **{"unparsed": run.count("unparsed"), "failed": run.count("failed"), "missing": run.missing},
                **{"complete": run.complete, "part": run.part},
            }
        )
    columns = (
        *("task", "model", "method", "right/N", "accuracy %", "detectable", "macro-F1", "unparsed", "failed", "state"),
    )
    notes = (
        "Accuracy with its 95 % Wilson interval, macro-F1 with a bootstrap interval over items.",
        "Detectable: the smallest difference, in points, to a run over the same items that a paired test finds with "
        "80 % power if the two are right independently of one another. Between runs that agree more than that smaller "
        "differences can be told: see the table of comparisons.",
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
                    cells.append(Cell("-" if share is None else f"{share:.1f}", details, share))
                records.append(
                    {
                        **{**labels_of(run), "label": label, "polarity": polarities(run)[label]},
                        **{"right": hits, "n": n, "accuracy": share},
                    }
                )
            rows.append(tuple(cells))
        columns = ("label", "polarity", *(run.variant for run in shown))
        key = f"per_class_{model_key(mine)}_{column_key(mine[0])}"
        title = f"Accuracy by label · {mine[0].model}, {mine[0].column}"
        found.append(Table(key, title, columns, tuple(rows), (), tuple(records)))
    return found


def main_runs(runs: Sequence[Run]) -> list[Run]:
    """Choose one run for each method: the one with default options if there is one, otherwise the first.

    So a sweep over an option takes one column, not twenty.
    """
    chosen: dict[str, Run] = {}
    for run in runs:
        if run.scored and (run.method not in chosen or run.variant == run.method):
            chosen[run.method] = run
    return list(chosen.values())


def unanswered(runs: Sequence[Run], status: str) -> Table | None:
    """The table of questions without a usable answer.

    Args:
        runs: what is reported.
        status: "unparsed" or "failed".

    Returns:
        Each with what the model said or what went wrong; None if there are none.
    """
    records = []
    for run in runs:
        about = labels_of(run)
        for outcome in run.outcomes:
            if outcome.score.status == status:
                fault = outcome.record.error if outcome.record is not None else None
                told = {"item": outcome.item, "label": outcome.target, "output": fault or outcome.output}
                records.append({**about, **told})
    if not records:
        return None
    shown = spread(records, ("column", "model_id", "method"))
    keys = ("column", "model", "method", "item", "label", "output")
    rows = tuple(tuple(Cell(_short(str(record[key]))) for key in keys) for record in shown)
    title = {"unparsed": "Unparsed answers", "failed": "Failed questions"}[status]
    columns = ("task", "model", "method", "item", "label", "answer" if status == "unparsed" else "fault")
    notes = (shown_note(len(rows), len(records), f"{status}.csv"),)
    return Table(status, title, columns, rows, notes, tuple(records))


def all_tables(runs: Sequence[Run]) -> list[Table]:
    """All tables that these runs have data for, in the order of the report."""
    made: Iterable[Table | None] = (
        *paper_tables(runs),
        runs_table(runs),
        comparisons(runs),
        votes(runs),
        answers(runs),
        calibration(runs),
        controls(runs),
        fired(runs),
        costs(runs),
        *per_class(runs),
        flips(runs),
        unanswered(runs, "unparsed"),
        unanswered(runs, "failed"),
    )
    return [table for table in made if table is not None]


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"

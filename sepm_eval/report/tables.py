"""Every table of a report, as text for people and as records for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sepm_eval import statistics
from sepm_eval.emotions import POLARITY
from sepm_eval.report.paper_tables import paper_tables
from sepm_eval.report.table import Cell, Table, count_cell, file_key, interval_text, record_of
from sepm_eval.results import DifferentItems, Run, paired
from sepm_eval.scoring import macro_f1

SHOWN = 40  # rows of a list of single items


def runs_table(runs: Sequence[Run]) -> Table:
    """Every run: accuracy and macro-F1 with their intervals, and what was not answered."""
    rows, records = [], []
    for run in runs:
        n, share = len(run.scored), run.accuracy
        accuracy = statistics.wilson(run.right, n)
        f1 = macro_f1([o.target for o in run.scored], [o.score.label for o in run.scored]) if n else None
        spread = statistics.macro_f1_interval([o.target for o in run.scored], [o.score.label for o in run.scored])
        rows.append(
            (
                Cell(run.task, (run.item_list,)),
                Cell(run.model, (run.entry,)),
                Cell(run.variant),
                Cell(f"{run.right}/{n}", value=n),
                Cell("none scored" if share is None else f"{share:.2f}", (interval_text(accuracy, 100),), share),
                Cell("-" if f1 is None else f"{f1:.3f}", (interval_text(spread, 1, 3),), f1),
                count_cell(run.count("unparsed")),
                count_cell(run.count("failed")),
                Cell("complete" if run.complete else _state(run)),
            )
        )
        records.append(
            {
                **record_of(run),
                "accuracy_low": accuracy.low * 100,
                "accuracy_high": accuracy.high * 100,
                "macro_f1": f1,
                "macro_f1_low": spread.low,
                "macro_f1_high": spread.high,
                "unparsed": run.count("unparsed"),
                "failed": run.count("failed"),
                "missing": run.missing,
                "complete": run.complete,
            }
        )
    columns = (
        *("task", "model", "method", "right/N", "accuracy %", "macro-F1"),
        *("unparsed", "failed", "state"),
    )
    notes = (
        "Accuracy with its 95 % Wilson interval, macro-F1 with a bootstrap interval over items.",
        "An unparsed answer names no option and counts as wrong. A failed question was not answered and is not scored.",
    )
    return Table("runs", "All runs", columns, tuple(rows), notes, tuple(records))


def comparisons(runs: Sequence[Run]) -> Table | None:
    """Every method against zero-shot of the same model on the same items."""
    found: list[tuple[Run, statistics.Comparison]] = []
    notes = []
    for run in runs:
        base = baseline_of(run, runs)
        if base is None or base is run:
            continue
        try:
            pairs = paired(base, run)
        except DifferentItems as error:
            notes.append(f"Not compared: {error}.")
            continue
        if pairs:
            found.append((run, compare_pairs(pairs)))
    if not found:
        return None
    adjusted = statistics.holm([result.p_value for _, result in found])
    rows, records = [], []
    for (run, result), p_holm in zip(found, adjusted, strict=True):
        points = 100 * result.difference
        rows.append(
            (
                Cell(run.task),
                Cell(run.model),
                Cell(run.variant),
                Cell(f"{result.n}", value=result.n),
                Cell(
                    f"{100 * result.difference:+.2f}",
                    (interval_text(result.interval, 100, 2),),
                    100 * result.difference,
                ),
                count_cell(result.gained),
                count_cell(result.lost),
                Cell(_p(result.p_value), value=result.p_value),
                Cell(_p(p_holm), value=p_holm),
                Cell(power_note(result), value=result.needed),
            )
        )
        records.append(
            {
                **{"task": run.task, "model": run.model, "method": run.variant, "n": result.n},
                **{"difference": points, "difference_low": 100 * result.interval.low},
                **{"difference_high": 100 * result.interval.high, "wrong_to_right": result.gained},
                **{"right_to_wrong": result.lost, "p_mcnemar": result.p_value, "p_holm": p_holm},
                "needed_n": result.needed,
            }
        )
    columns = (
        *("task", "model", "method", "N", "difference", "wrong → right", "right → wrong"),
        *("p", "p (Holm)", "power"),
    )
    notes = [
        "Difference in accuracy to zero-shot of the same model on the same items, in points, with a paired bootstrap "
        "interval; exact McNemar test; p adjusted by Holm over this table.",
        "Power: how many items a test needs to find a difference this large with 80 % power.",
        *notes,
    ]
    return Table("comparisons", "Against zero-shot", columns, tuple(rows), tuple(notes), tuple(records))


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """Zero-shot with the same model on the same task and item list."""
    same = (one for one in runs if (one.task, one.item_list, one.model) == (run.task, run.item_list, run.model))
    return next((one for one in same if one.method == "zero_shot" and one.variant == "zero_shot"), None)


def compare_pairs(pairs: Sequence[Any]) -> statistics.Comparison:
    """Statistics of outcomes side by side."""
    return statistics.compare([a.score.correct for a, _ in pairs], [b.score.correct for _, b in pairs])


def power_note(result: statistics.Comparison) -> str:
    """In words, whether the items suffice for the difference that was seen."""
    if result.needed is None:
        return "no difference seen"
    if result.n >= result.needed:
        return f"enough ({result.needed} needed)"
    return f"too few: {result.needed:,} needed"


def per_class(runs: Sequence[Run]) -> list[Table]:
    """Accuracy of every label: a table for each model and task, a column for each method."""
    found = []
    for model, task in dict.fromkeys((run.model, run.task) for run in runs):
        mine = [run for run in runs if (run.model, run.task) == (model, task)]
        shown = main_runs(mine)
        if not shown:
            continue
        rows, records = [], []
        for label in shown[0].options.labels:
            cells = [Cell(label), Cell(POLARITY[label])]
            for run in mine:
                hits = [outcome.score.correct for outcome in run.scored if outcome.target == label]
                share = 100 * sum(hits) / len(hits) if hits else None
                if run in shown:
                    details = (f"{sum(hits)}/{len(hits)}",) if hits else ()
                    cells.append(Cell("-" if share is None else f"{share:.1f}", details, share))
                records.append(
                    {
                        **{"task": task, "model": model, "method": run.variant, "label": label},
                        **{"polarity": POLARITY[label], "right": sum(hits), "n": len(hits), "accuracy": share},
                    }
                )
            rows.append(tuple(cells))
        columns = ("label", "polarity", *(run.variant for run in shown))
        key, title = f"per_class_{file_key(model)}_{task}", f"Accuracy by label · {model}, {task}"
        found.append(Table(key, title, columns, tuple(rows), (), tuple(records)))
    return found


def main_runs(runs: Sequence[Run]) -> list[Run]:
    """One run a method: with its default settings if there is one, or the first. Not all of a sweep."""
    chosen: dict[str, Run] = {}
    for run in runs:
        if run.scored and (run.method not in chosen or run.variant == run.method):
            chosen[run.method] = run
    return list(chosen.values())


def calibration(runs: Sequence[Run]) -> Table | None:
    """How often stage 1 is right about the polarity, and whether its probabilities say so."""
    rows, records = [], []
    for run in runs:
        stage = coarse_stage(run)
        if stage is None:
            continue
        found = statistics.calibration(*stage)
        sure = [o for o in run.scored if o.record and o.record.get("ambiguous") is False]
        ambiguous = found.n - len(sure)
        rows.append(
            (
                *(Cell(run.task), Cell(run.model), Cell(run.variant), Cell(str(found.n), value=found.n)),
                Cell(f"{100 * found.accuracy:.2f}", value=found.accuracy),
                Cell(f"{found.ece:.3f}", value=found.ece),
                Cell(f"{found.brier:.3f}", value=found.brier),
                Cell(f"{100 * ambiguous / found.n:.1f}", value=ambiguous / found.n),
            )
        )
        records.append(
            {
                **{"task": run.task, "model": run.model, "method": run.variant, "n": found.n},
                **{"polarity_accuracy": 100 * found.accuracy, "ece": found.ece, "brier": found.brier},
                "ambiguous": ambiguous,
            }
        )
    if not rows:
        return None
    columns = ("task", "model", "method", "N", "polarity right %", "ECE", "Brier", "ambiguous %")
    notes = (
        "Stage 1: probabilities of positive and negative, scaled to sum to 1. ECE over ten bins; Brier score of "
        "“positive”. Ambiguous: stage 2 was shown all labels because the confidence was at most alpha.",
    )
    return Table("calibration", "The coarse stage", columns, tuple(rows), notes, tuple(records))


def coarse_stage(run: Run) -> tuple[list[float], list[float], list[bool]] | None:
    """p(positive), p(negative) and the true polarity of every item that has a journal record with a first stage."""
    known = [o for o in run.scored if o.record and o.record.get("p_positive") is not None]
    if not known:
        return None
    sides = {**POLARITY}
    for outcome in known:
        assert outcome.record is not None
        sides |= outcome.record.get("method", {}).get("polarity", {})
    records = [outcome.record for outcome in known if outcome.record]
    positive = [sides[outcome.target] == "positive" for outcome in known]
    return [r["p_positive"] for r in records], [r["p_negative"] for r in records], positive


def costs(runs: Sequence[Run]) -> Table | None:
    """Visual tokens the language model reads a question: what a prefill costs is nearly proportional to them."""
    rows, records = [], []
    for run in runs:
        known = [o.record for o in run.scored if o.record and o.record.get("visual_tokens")]
        if not known:
            continue
        stages = sum(len(record.get("prompts", ())) for record in known) / len(known)
        read = sum(_visual_tokens_read(record) for record in known) / len(known)
        base = baseline_of(run, runs)
        plain = [o.record for o in base.scored if o.record and o.record.get("visual_tokens")] if base else []
        unit = sum(_visual_tokens_read(record) for record in plain) / len(plain) if plain else None
        times = None if not unit else read / unit
        rows.append(
            (
                *(Cell(run.task), Cell(run.model), Cell(run.variant), Cell(f"{stages:.1f}", value=stages)),
                Cell(f"{read:.1f}", value=read),
                Cell("-" if times is None else f"{times:.2f}", value=times),
            )
        )
        records.append(
            {
                **{"task": run.task, "model": run.model, "method": run.variant, "reads": stages},
                **{"visual_tokens": read, "times_zero_shot": times},
            }
        )
    if not rows:
        return None
    columns = ("task", "model", "method", "prompts read", "visual tokens read", "times zero-shot")
    notes = (
        "Per question, from the journals, before any token is pruned inside the model (SparseVLM). `sepm-eval run "
        "--dry-run` gives operations.",
    )
    return Table("cost", "Cost of a question", columns, tuple(rows), notes, tuple(records))


def _visual_tokens_read(record: Any) -> int:
    """Visual tokens over all stages; the fast variant reads them in the first only."""
    reads, tokens, dropped = len(record["prompts"]), record["visual_tokens"], len(record.get("dropped") or ())
    if record.get("method", {}).get("reuse"):
        return int(tokens)
    return int(tokens * reads - dropped)


def flips(runs: Sequence[Run]) -> Table | None:
    """Items that a method answers otherwise than zero-shot, one of the two rightly."""
    rows, records = [], []
    for run in runs:
        base = baseline_of(run, runs)
        if base is None or base is run:
            continue
        try:
            pairs = paired(base, run)
        except DifferentItems:
            continue
        for before, after in pairs:
            if before.score.correct == after.score.correct:
                continue
            way = "wrong → right" if after.score.correct else "right → wrong"
            said = (before.score.label or "unparsed", after.score.label or "unparsed")
            records.append(
                {
                    **{"task": run.task, "model": run.model, "method": run.variant, "item": after.item},
                    **{"label": after.target, "zero_shot": said[0], "answer": said[1], "flip": way},
                }
            )
    for record in _spread(records, ("task", "model", "method", "flip"), SHOWN):
        rows.append(tuple(Cell(str(value)) for value in record.values()))
    if not rows:
        return None
    columns = ("task", "model", "method", "item", "label", "zero-shot", "answer", "flip")
    notes = (_shown(len(rows), len(records), "flips.csv"),)
    return Table("flips", "Flips against zero-shot", columns, tuple(rows), notes, tuple(records))


def unanswered(runs: Sequence[Run], status: str) -> Table | None:
    """Outcomes that are "unparsed" or "failed", with what the model said or what went wrong."""
    records = []
    for run in runs:
        for outcome in run.outcomes:
            if outcome.score.status == status:
                said = outcome.output
                if outcome.record is not None and outcome.record.get("error"):
                    said = outcome.record["error"]
                records.append(
                    {
                        **{"task": run.task, "model": run.model, "method": run.variant},
                        **{"item": outcome.item, "label": outcome.target, "output": said},
                    }
                )
    if not records:
        return None
    shown = _spread(records, ("task", "model", "method"), SHOWN)
    rows = tuple(tuple(Cell(_short(str(value))) for value in record.values()) for record in shown)
    title = {"unparsed": "Unparsed answers", "failed": "Failed questions"}[status]
    columns = ("task", "model", "method", "item", "label", "answer" if status == "unparsed" else "fault")
    notes = (_shown(len(rows), len(records), f"{status}.csv"),)
    return Table(status, title, columns, rows, notes, tuple(records))


def all_tables(runs: Sequence[Run]) -> list[Table]:
    """All tables there is something to show in, in the order of the report."""
    made: Iterable[Table | None] = (
        *paper_tables(runs),
        runs_table(runs),
        comparisons(runs),
        calibration(runs),
        costs(runs),
        *per_class(runs),
        flips(runs),
        unanswered(runs, "unparsed"),
        unanswered(runs, "failed"),
    )
    return [table for table in made if table is not None]


def _state(run: Run) -> str:
    if run.missing or run.count("failed"):
        return f"incomplete: {run.missing} missing, {run.count('failed')} failed"
    return f"first {run.asked} of {run.available} items"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _spread(records: Sequence[dict[str, Any]], by: Sequence[str], most: int) -> list[dict[str, Any]]:
    """At most so many records, taken in turn from every group, in their order."""
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        places[tuple(record[key] for key in by)].append(index)
    turns = sorted((turn, index) for group in places.values() for turn, index in enumerate(group))
    return [records[index] for index in sorted(index for _, index in turns[:most])]


def _shown(shown: int, total: int, file: str) -> str:
    return f"All {total}." if shown == total else f"{shown} of {total}; all are in {file}."


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"

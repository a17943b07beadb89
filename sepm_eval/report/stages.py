"""What the journals tell: how good the coarse stage is, and what a question costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sepm_eval.report import statistics
from sepm_eval.report.comparing import baseline_of
from sepm_eval.report.table import Cell, Table, count_cell, labels_of, polarities
from sepm_eval.runs.outcomes import Record, Run
from sepm_eval.runs.pricing import operations


def calibration(runs: Sequence[Run]) -> Table | None:
    """The table of how often stage 1 is right about the polarity, and whether its probabilities tell.

    Returns:
        The table, or None if no run has a stage 1.
    """
    rows, records = [], []
    for run in runs:
        stage = coarse_stage(run)
        if stage is None:
            continue
        found = statistics.calibration(*stage)
        sure = sum(one.record is not None and one.record.ambiguous is False for one in run.scored)
        ambiguous = found.n - sure
        rows.append(
            (
                *(Cell(run.column), Cell(run.model), Cell(run.variant), count_cell(found.n)),
                Cell(f"{100 * found.accuracy:.2f}", value=found.accuracy),
                Cell(f"{found.ece:.3f}", value=found.ece),
                Cell(f"{found.brier:.3f}", value=found.brier),
                Cell(f"{100 * ambiguous / found.n:.1f}", value=ambiguous / found.n),
            )
        )
        records.append(
            {
                **{**labels_of(run), "n": found.n, "polarity_accuracy": 100 * found.accuracy},
                **{"ece": found.ece, "brier": found.brier, "ambiguous": ambiguous},
            }
        )
    if not rows:
        return None
    columns = ("task", "model", "method", "N", "polarity right %", "ECE", "Brier", "ambiguous %")
    notes = (
        "Stage 1: probabilities of positive and negative, scaled to sum to 1. ECE over ten bins; Brier score of "
        "“positive”. Ambiguous: stage 2 was shown all labels because the confidence was at most alpha; of dan, several "
        "emotions were about as likely, which its paper calls the trigger rate.",
    )
    return Table("calibration", "The coarse stage", columns, tuple(rows), notes, tuple(records))


def coarse_stage(run: Run) -> tuple[list[float], list[float], list[bool]] | None:
    """What stage 1 said of every item whose journal record has it.

    Returns:
        p(positive), p(negative), and whether the item's label is positive, [N] each; None if no record has it.
    """
    sides, yes, no, truth = polarities(run), [], [], []
    for outcome in run.scored:
        record = outcome.record
        if record is not None and record.p_positive is not None and record.p_negative is not None:
            yes.append(record.p_positive)
            no.append(record.p_negative)
            truth.append(sides[outcome.target] == "positive")
    return (yes, no, truth) if truth else None


def costs(runs: Sequence[Run]) -> Table | None:
    """The table of what a question costs: visual tokens read, and operations, beside what it brings.

    Returns:
        The table, or None if no record says how many tokens were read.
    """
    lines = [_cost(run, runs) for run in runs if _known(run)]
    if not lines:
        return None
    rows, records = zip(*lines, strict=True)
    columns = (
        *("task", "model", "method", "prompts read", "visual tokens read", "times zero-shot", "a layer"),
        *("prefill TFLOP", "writing TFLOP", "accuracy %"),
    )
    notes = (
        "Per question, over all its prompts, from the journals, before any token is pruned inside the model. A layer: "
        "visual tokens given to a decoder layer with the last prompt, on average, which is what a budget is about.",
        "Operations from the model's shapes, where they are known, with lengths of texts estimated from their "
        "characters: up to the answer's first token, and of what was written in the last answer.",
    )
    return Table("cost", "Cost of a question", columns, rows, notes, records)


def _cost(run: Run, runs: Sequence[Run]) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """A row of the table of costs, and the same as a record."""
    known, base, spent = _known(run), baseline_of(run, runs), operations(run)
    plain = _known(base) if base else []
    left = [record.tokens_left for record in known if record.tokens_left is not None]
    found = {
        "reads": sum(len(record.tokens_read) for record in known) / len(known),
        "visual_tokens": _mean_read(known),
        "times_zero_shot": _mean_read(known) / _mean_read(plain) if plain else None,
        "tokens_a_layer": sum(left) / len(left) if left else None,
        "prefill_tflop": spent.prefill / 1e12 if spent else None,
        "writing_tflop": spent.writing / 1e12 if spent else None,
        "accuracy": run.accuracy,
    }
    forms = (".1f", ".1f", ".2f", ".1f", ".3g", ".3g", ".2f")
    numbers = (
        Cell("-" if value is None else format(value, form), value=value)
        for value, form in zip(found.values(), forms, strict=True)
    )
    return (Cell(run.column), Cell(run.model), Cell(run.variant), *numbers), {**labels_of(run), **found}


def _known(run: Run) -> list[Record]:
    """The journal records that say how many visual tokens were read; a question without its picture reads none."""
    return [one.record for one in run.scored if one.record is not None and one.record.tokens_read]


def _mean_read(records: Sequence[Record]) -> float:
    return sum(sum(record.tokens_read) for record in records) / len(records)

"""What the journals tell: how good the coarse stage is, and what a question costs."""

from __future__ import annotations

from collections.abc import Sequence

from sepm_eval.report import statistics
from sepm_eval.report.comparing import baseline_of
from sepm_eval.report.table import Cell, Table, count_cell, labels_of, polarities
from sepm_eval.runs.outcomes import Record, Run


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
        "“positive”. Ambiguous: stage 2 was shown all labels because the confidence was at most alpha.",
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
    """The table of how many visual tokens the language model reads for a question.

    The time to read a prompt is nearly proportional to them.

    Returns:
        The table, or None if no record says it.
    """
    rows, records = [], []
    for run in runs:
        known = _known(run)
        if not known:
            continue
        prompts = sum(len(record.tokens_read) for record in known) / len(known)
        read = _mean_read(known)
        left = [record.tokens_left for record in known if record.tokens_left is not None]
        mean = sum(left) / len(left) if left else None
        base = baseline_of(run, runs)
        plain = _known(base) if base else []
        times = read / _mean_read(plain) if plain else None
        rows.append(
            (
                *(Cell(run.column), Cell(run.model), Cell(run.variant), Cell(f"{prompts:.1f}", value=prompts)),
                Cell(f"{read:.1f}", value=read),
                Cell("-" if times is None else f"{times:.2f}", value=times),
                Cell("-" if mean is None else f"{mean:.1f}", value=mean),
            )
        )
        told = {"reads": prompts, "visual_tokens": read, "times_zero_shot": times, "tokens_a_layer": mean}
        records.append({**labels_of(run), **told})
    if not rows:
        return None
    columns = ("task", "model", "method", "prompts read", "visual tokens read", "times zero-shot", "a layer")
    notes = (
        "Per question, over all its prompts, from the journals, before any token is pruned inside the model. A layer: "
        "visual tokens given to a decoder layer with the last prompt, on average, which is what a budget is about. "
        "`sepm-eval run --dry-run` gives operations.",
    )
    return Table("cost", "Cost of a question", columns, tuple(rows), notes, tuple(records))


def _known(run: Run) -> list[Record]:
    """The journal records that say how many visual tokens were read."""
    return [one.record for one in run.scored if one.record is not None and any(one.record.tokens_read)]


def _mean_read(records: Sequence[Record]) -> float:
    return sum(sum(record.tokens_read) for record in records) / len(records)

"""Tables made from the journals: how good the coarse stage is, and what a question costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sepm_eval.report import statistics
from sepm_eval.report.comparing import baseline_of
from sepm_eval.report.table import RUN_COLUMNS, Cell, Table, count_cell, labels_of, polarities, run_cells
from sepm_eval.runs.outcomes import Record, Run
from sepm_eval.runs.pricing import operations


def calibration(runs: Sequence[Run]) -> Table | None:
    """Make the table of how often stage 1 is right about the polarity, and how well its probabilities are calibrated.

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
                *(*run_cells(run), count_cell(found.n)),
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
    columns = (*RUN_COLUMNS, "N", "polarity right %", "ECE", "Brier", "ambiguous %")
    notes = (
        "Stage 1: probabilities of positive and negative, scaled to sum to 1. ECE over ten bins; Brier score of "
        "“positive”. Ambiguous: stage 2 was shown all labels because the confidence was at most alpha; of DAN, several "
        "emotions were about equally likely, which its paper calls the trigger rate.",
    )
    return Table("calibration", "The coarse stage", columns, tuple(rows), notes, tuple(records))


def coarse_stage(run: Run) -> tuple[list[float], list[float], list[bool]] | None:
    """Collect the results of stage 1 for every item whose journal record has them.

    Returns:
        p(positive), p(negative), and whether the item's label is positive, [N] each; None if no record has them.
    """
    sides, yes, no, truth = polarities(run), [], [], []
    for outcome in run.scored:
        record = outcome.record
        if record is not None and record.p_positive is not None and record.p_negative is not None:
            yes.append(record.p_positive)
            no.append(record.p_negative)
            truth.append(sides[outcome.target] == "positive")
    return (yes, no, truth) if truth else None


@dataclass(frozen=True)
class Cost:
    """The average cost of a question of a run.

    Attributes:
        prefill: floating-point operations up to the answer's first token; None if the model's shapes are not known.
        writing: operations of the decoding steps of the last answer; None if the model's shapes are not known.
        times_zero_shot: the sum of both, divided by that of zero-shot of the same model on the same items; None if
            either is not known.
        tokens: visual tokens of a picture, before any was dropped; None if no journal says so.
        tokens_left: how many of these a decoder layer is given with the last prompt, on average over the layers.
        seconds: time that the model spent on an answer, the median over the answers; None if no journal says so.
    """

    prefill: float | None
    writing: float | None
    times_zero_shot: float | None
    tokens: float | None
    tokens_left: float | None
    seconds: float | None

    @property
    def operations(self) -> float | None:
        """Operations of prefill and writing together; None if they are not known."""
        return None if self.prefill is None or self.writing is None else self.prefill + self.writing


def cost_of(run: Run, runs: Sequence[Run]) -> Cost:
    """Compute what a question of a run costs.

    Args:
        run: the run.
        runs: those it is reported with, zero-shot among them.

    Returns:
        Means over its answers, the median for seconds; what is not known is None.
    """
    spent, base = operations(run), baseline_of(run, runs)
    plain = operations(base) if base is not None else None
    over = (spent.prefill + spent.writing) / (plain.prefill + plain.writing) if spent and plain else None
    known = [one.record for one in run.scored if one.record is not None]
    seconds = [record.seconds for record in known if record.seconds is not None]
    return Cost(
        prefill=spent.prefill if spent else None,
        writing=spent.writing if spent else None,
        times_zero_shot=over,
        tokens=statistics.mean_known([record.visual_tokens for record in known]),
        tokens_left=statistics.mean_known([record.tokens_left for record in known]),
        seconds=float(np.median(seconds)) if seconds else None,
    )


def costs(runs: Sequence[Run]) -> Table | None:
    """Make the table of what a question costs, in operations and in seconds, beside the accuracy.

    Returns:
        The table, or None if no cost of any run is known.
    """
    lines = [_cost(run, runs) for run in runs if run.scored]
    lines = [line for line in lines if any(cell.value is not None for cell in line[0][len(RUN_COLUMNS) + 1 :])]
    if not lines:
        return None
    rows, records = zip(*lines, strict=True)
    columns = (
        *(*RUN_COLUMNS, "accuracy %", "prefill TFLOP", "writing TFLOP", "times zero-shot"),
        *("visual tokens kept", "seconds"),
    )
    notes = (
        "Per question, over all its prompts. Operations from the model's shapes, where they are known, with lengths of "
        "texts estimated from their characters: prefill up to the answer's first token, writing the answer out.",
        "Visual tokens kept: given to a decoder layer with the last prompt, on average, of those the picture has; what "
        "a budget is about. Tokens are not cost: operations are.",
        "Seconds: the median over the answers of what the model spent, on the machine of the run, in batches as they "
        "were; what variants on one model shared counts for each. Loading pictures is not in it.",
    )
    return Table("cost", "Cost of a question", columns, rows, notes, records)


def _cost(run: Run, runs: Sequence[Run]) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """One row of the table of costs, as cells and as a record."""
    found = cost_of(run, runs)
    kept = "-" if found.tokens_left is None else f"{found.tokens_left:.1f}"
    cells = (
        *run_cells(run),
        _cell(run.accuracy, ".2f"),
        _cell(None if found.prefill is None else found.prefill / 1e12, ".3g"),
        _cell(None if found.writing is None else found.writing / 1e12, ".3g"),
        _cell(found.times_zero_shot, ".2f"),
        Cell(kept if found.tokens is None else f"{kept} of {found.tokens:.1f}", value=found.tokens_left),
        _cell(found.seconds, ".3g"),
    )
    known = _known(run)
    record = {
        **labels_of(run),
        "prompts_read": statistics.mean_known([len(record.tokens_read) for record in known]),
        "visual_tokens_read": statistics.mean_known([sum(record.tokens_read) for record in known]),
        "visual_tokens": found.tokens,
        "tokens_a_layer": found.tokens_left,
        "prefill_tflop": None if found.prefill is None else found.prefill / 1e12,
        "writing_tflop": None if found.writing is None else found.writing / 1e12,
        "operations_times_zero_shot": found.times_zero_shot,
        "seconds": found.seconds,
        "accuracy": run.accuracy,
    }
    return cells, record


def _cell(value: float | None, form: str) -> Cell:
    return Cell("-" if value is None else format(value, form), value=value)


def _known(run: Run) -> list[Record]:
    """The journal records that say how many visual tokens were read; a question without its picture reads none."""
    return [one.record for one in run.scored if one.record is not None and one.record.tokens_read]

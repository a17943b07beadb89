"""Whether visual tokens were really dropped, and the noise floor: what the text alone and the option order do."""

from __future__ import annotations

from collections.abc import Sequence

from sepm_eval.report.comparing import baseline_of
from sepm_eval.report.statistics import mean_known
from sepm_eval.report.table import RUN_COLUMNS, Cell, Table, count_cell, labels_of, run_cells
from sepm_eval.runs.method_checks import never_pruned
from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.pairs import paired

NOISE_FLOOR = ("blind", "permute")
"""Methods whose difference to zero-shot says how far other differences can be chance."""


def pruning_table(runs: Sequence[Run]) -> Table | None:
    """Make the table of whether each method that drops visual tokens really dropped some, and what that changed.

    A method that does not always drop tokens, such as DAN, is in the table only if it dropped some.

    Returns:
        The table, or None if no run has such a method.
    """
    rows, records = [], []
    for run in runs:
        lost, told = run.pruned
        if not told or not (run.drops or lost):
            continue
        known = [one.record for one in run.scored if one.record is not None]
        before = mean_known([one.visual_tokens for one in known])
        left = mean_known([one.tokens_left for one in known])
        share = lost / told
        differ = changed(run, runs)
        rows.append(
            (
                *run_cells(run),
                count_cell(told),
                *(_number(before), _number(left), _percent(share), _percent(differ)),
                Cell("NEVER DROPPED A TOKEN: no result" if never_pruned(run) else "yes"),
            )
        )
        found = {"n": told, "tokens_before": before, "tokens_left": left, "pictures_pruned": share}
        records.append({**labels_of(run), **found, "answers_changed": differ, "fired": bool(lost)})
    if not rows:
        return None
    columns = (*RUN_COLUMNS, "N", "tokens", "left", "pictures pruned %", "answers changed %", "fired")
    notes = (
        "Whether visual tokens were dropped, from the journals. Tokens: of a picture. Left: given to a decoder layer "
        "with the last prompt, on average. Answers changed: other labels than zero-shot's of the same model on the "
        "same items.",
    )
    return Table("pruning", "Did pruning happen", columns, tuple(rows), notes, tuple(records))


def controls(runs: Sequence[Run]) -> Table | None:
    """Make the table of what accuracy the text alone gives, and how much another order of the options changes.

    Returns:
        The table, or None if no run has one of these methods.
    """
    rows, records = [], []
    for run in runs:
        if run.method not in NOISE_FLOOR or run.accuracy is None:
            continue
        base = baseline_of(run, runs)
        plain = base.accuracy if base is not None else None
        difference = run.accuracy - plain if plain is not None else None
        differ, guessed = changed(run, runs), chance(run)
        rows.append(
            (
                *run_cells(run),
                count_cell(len(run.scored)),
                *(_percent(guessed), _percent(run.accuracy / 100)),
                Cell("-" if difference is None else f"{difference:+.2f}", value=difference),
                _percent(differ),
            )
        )
        found = {"n": len(run.scored), "chance": 100 * guessed, "accuracy": run.accuracy, "difference": difference}
        records.append({**labels_of(run), **found, "answers_changed": differ})
    if not rows:
        return None
    columns = (*RUN_COLUMNS, "N", "chance %", "accuracy %", "to zero-shot", "answers changed %")
    notes = (
        "The noise floor. Without the picture, or with its mean colour: the accuracy from the text alone. With the "
        "options in another order: a difference between methods that is no larger than this one is no evidence. "
        "Chance: one over the number of options, each item counted with its own question.",
    )
    return Table("controls", "Controls", columns, tuple(rows), notes, tuple(records))


def chance(run: Run) -> float:
    """Compute the accuracy that guessing is expected to have.

    Each item counts with its own question's options, whose number differs in benchmarks with own questions.

    Args:
        run: a run with at least one scored item.

    Returns:
        The mean of 1 / number of options over the scored items.
    """
    return sum(1 / len(one.options.labels) for one in run.scored) / len(run.scored)


def changed(run: Run, runs: Sequence[Run]) -> float | None:
    """The share of answers whose label differs from zero-shot's; None if there is no zero-shot run to compare with."""
    base = baseline_of(run, runs)
    pairs = paired(base, run) if base is not None and base is not run else []
    return sum(one.score.label != other.score.label for one, other in pairs) / len(pairs) if pairs else None


def _number(value: float | None) -> Cell:
    return Cell("-" if value is None else f"{value:.1f}", value=value)


def _percent(share: float | None) -> Cell:
    return Cell("-" if share is None else f"{100 * share:.1f}", value=share)

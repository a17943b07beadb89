"""For items that people voted on: how near a model and other people are to the votes.

Also, for every run whose probabilities are known: whether they match how often its answers are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sepm_eval.emotions import WHEELS
from sepm_eval.report import distributions, statistics
from sepm_eval.report.table import RUN_COLUMNS, Cell, Table, count_cell, interval_text, labels_of, run_cells
from sepm_eval.runs.outcomes import Outcome, Run

PEOPLE, HALVES = "people", "one half of the voters against the other"


@dataclass(frozen=True)
class Voted:
    """What people and a model said of the items that people voted on.

    Attributes:
        votes: [N, L] votes for the labels on offer, as counts or shares; no item is without a vote.
        chosen: [N] index of the label answered; -1 if none was.
        probabilities: [N, L] the model's probabilities, scaled to sum to 1; NaN if they are not known.
        outside: share of people's votes that went to labels not on offer, averaged over the items.
        counted: whether the votes are counts of people: whole numbers, at least two votes for each item.
        wheel: name of the wheel of emotions that has all labels on offer; "" if there is none.
        places: [L] place of each label on the wheel; None if there is no wheel.
    """

    votes: NDArray[np.float64]
    chosen: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    outside: float
    counted: bool
    wheel: str
    places: NDArray[np.int64] | None


def voted(outcomes: Sequence[Outcome]) -> Voted | None:
    """Collect what a model and people said of the items that people voted on.

    Returns:
        The two side by side; None if there are no votes for labels on offer, or not all items offer the same labels.
    """
    told = [(one, one.votes) for one in outcomes if one.votes]
    if len({one.options for one, _ in told}) != 1:
        return None
    labels = told[0][0].options.labels
    rows = [[votes.get(label, 0) for label in labels] for _, votes in told]
    mine = [(one, row) for (one, _), row in zip(told, rows, strict=True) if any(row)]
    if not mine:
        return None
    inside = [sum(row) / sum(votes.values()) for (_, votes), row in zip(told, rows, strict=True)]
    whole = all(float(vote).is_integer() for _, votes in told for vote in votes.values())
    wheel = next((name for name, around in WHEELS.items() if set(labels) <= set(around)), "")
    return Voted(
        votes=np.array([row for _, row in mine], dtype=float),
        chosen=np.array([labels.index(one.score.label) if one.score.label else -1 for one, _ in mine]),
        probabilities=distributions.scaled(np.array([_probabilities(one) or [0.0] * len(labels) for one, _ in mine])),
        outside=1 - sum(inside) / len(inside),
        counted=whole and all(sum(votes.values()) >= 2 for _, votes in told),
        wheel=wheel,
        places=np.array([WHEELS[wheel].index(label) for label in labels]) if wheel else None,
    )


def _probabilities(outcome: Outcome) -> list[float]:
    """The journal's probability of each label on offer, over the whole vocabulary; empty if it has none."""
    record = outcome.record
    known = dict(zip(record.labels, record.probabilities, strict=True)) if record is not None else {}
    labels = outcome.options.labels
    return [known[label] for label in labels] if set(labels) <= known.keys() else []


def votes(runs: Sequence[Run]) -> Table | None:
    """Make the table of how near models are to people's votes, with one row for people themselves.

    Returns:
        The table, or None if nobody voted.
    """
    found = [(run, mine) for run in runs if (mine := voted(run.scored)) is not None]
    if not found:
        return None
    lines, notes = [], []
    for column in dict.fromkeys(run.column for run, _ in found):
        here = [(run, mine) for run, mine in found if run.column == column]
        if len({run.votes for run, _ in here}) > 1:
            notes.append(
                f"{column}: the logs of its runs hold different votes, so it is left out. Run the older again."
            )
            continue
        lines += [_line(run, mine) for run, mine in here]
        people = _people(here[0][0])
        if isinstance(people, str):
            notes.append(f"{column}: {people}, so people are not compared with people.")
        else:
            lines.append(people)
        if (outside := here[0][1].outside) >= 0.0005:  # a smaller share would be shown as 0.0, or is a rounding error
            notes.append(
                f"{column}: {100 * outside:.1f} % of the votes are for labels that are not on offer, and left out."
            )
    rows, records = zip(*lines, strict=True) if lines else ((), ())
    columns = (*RUN_COLUMNS, "N", "accuracy %", "people's choice %", "JS", "EMD")
    return Table("votes", "What people voted", columns, rows, (*_NOTES, *notes), records)


_NOTES = (
    "N: items with a vote for a label on offer. People's choice: how often the answer is a label that got the most "
    "votes, with its 95 % Wilson interval.",
    "JS, EMD: Jensen-Shannon divergence (bits, from 0 to 1) and earth mover's distance (steps on the wheel named, from "
    "0 to 4) between the model's option probabilities and the votes, with bootstrap intervals over items; smaller is "
    "nearer. They need a journal with probabilities, which stock models do not have.",
    f"{PEOPLE.capitalize()}, {HALVES}: the same numbers for people, divided at random {distributions.SPLITS} times. "
    "Half of the votes say less than all, so a model can come nearer to these.",
)


def _line(run: Run, mine: Voted) -> tuple[tuple[Cell, ...], dict[str, Any]]:
    """One row of the table of votes, as cells and as a record."""
    n = len(mine.votes)
    hits = distributions.modes(mine.votes)[np.arange(n), mine.chosen] & (mine.chosen >= 0)
    agreed, interval = int(hits.sum()), statistics.wilson(int(hits.sum()), n)
    known = ~np.isnan(mine.probabilities).any(axis=1)
    likely, said = mine.probabilities[known], distributions.scaled(mine.votes[known])
    distance = distributions.jensen_shannon(likely, said)
    carried = None
    if mine.places is not None:
        carried = distributions.circular_emd(*(distributions.on_wheel(one, mine.places) for one in (likely, said)))
    part = () if known.all() or not known.any() else (f"of {int(known.sum())}",)
    cells = (
        *(*run_cells(run), count_cell(n)),
        Cell("none scored" if run.accuracy is None else f"{run.accuracy:.2f}", (), run.accuracy),
        Cell(f"{100 * agreed / n:.2f}", (interval_text(interval, 100),), agreed / n),
        _mean_cell(distance, part),
        _mean_cell(carried, (*part, mine.wheel)),
    )
    record = {
        **{**labels_of(run), "n": n, "accuracy": run.accuracy, "peoples_choice": 100 * agreed / n},
        **{"peoples_choice_low": 100 * interval.low, "peoples_choice_high": 100 * interval.high},
        **{"n_probabilities": int(known.sum()), "jensen_shannon": _mean(distance), "emd": _mean(carried)},
        **{"wheel": mine.wheel, "votes_outside": 100 * mine.outside},
    }
    return cells, record


def _people(run: Run) -> tuple[tuple[Cell, ...], dict[str, Any]] | str:
    """The row that compares people with people.

    Args:
        run: a run over the items. Items whose question failed count too, because people saw them.

    Returns:
        The row, as cells and as a record; or, if people cannot be compared with people, a text that says why.
    """
    mine = voted(run.outcomes)
    if mine is None:
        return "its items offer different labels"
    if not mine.counted:
        return "the votes are known as shares, not as counts of people"
    ceiling = distributions.split_halves(mine.votes.astype(np.int64), mine.places)
    if ceiling is None:
        return "no item has two votes for labels on offer"
    emd = Cell("-") if ceiling.emd is None else Cell(f"{ceiling.emd:.3f}", (mine.wheel,), ceiling.emd)
    cells = (
        *(Cell(HALVES), Cell(PEOPLE), Cell(run.column), count_cell(ceiling.n), Cell("-")),
        Cell(f"{100 * ceiling.agreement:.2f}", value=ceiling.agreement),
        Cell(f"{ceiling.jensen_shannon:.3f}", value=ceiling.jensen_shannon),
        emd,
    )
    record = {
        **{**labels_of(run), "model": PEOPLE, "model_id": "", "method": HALVES, "n": ceiling.n, "accuracy": None},
        **{"peoples_choice": 100 * ceiling.agreement, "peoples_choice_low": None, "peoples_choice_high": None},
        **{"n_probabilities": None, "jensen_shannon": ceiling.jensen_shannon, "emd": ceiling.emd},
        **{"wheel": mine.wheel, "votes_outside": 100 * mine.outside},
    }
    return cells, record


def answers(runs: Sequence[Run]) -> Table | None:
    """Make the table of whether the probability of an answer matches how often it is right.

    Returns:
        The table, or None if no journal holds probabilities.
    """
    lines = [line for run in runs if (line := _confidence(run)) is not None]
    if not lines:
        return None
    rows, records = zip(*lines, strict=True)
    columns = (*RUN_COLUMNS, "N", "right %", "mean probability %", "ECE", "Brier", "letters %")
    notes = (
        "The probability of the option that was answered, scaled so that those of all options sum to 1, against "
        "whether it is right: expected calibration error over ten bins, and Brier score. Unparsed answers have no "
        "option and are left out.",
        "Letters: how much of the first token's probability is on letters of options before scaling. Where it is "
        "small, the model does not begin with its answer, and the probabilities say little.",
    )
    return Table("answer_calibration", "Confidence of the answer", columns, rows, notes, records)


def _confidence(run: Run) -> tuple[tuple[Cell, ...], dict[str, Any]] | None:
    """One row of the table of answers' probabilities, as cells and as a record; None if none are known."""
    told = [(one, known) for one in run.scored if one.score.label and sum(known := _probabilities(one))]
    if not told:
        return None
    sure = [known[one.options.labels.index(one.score.label or "")] / sum(known) for one, known in told]
    found = statistics.reliability(sure, [one.score.correct for one, _ in told])
    letters = sum(sum(known) for _, known in told) / len(told)
    cells = (
        *(*run_cells(run), count_cell(found.n)),
        *(Cell(f"{100 * value:.2f}", value=value) for value in (found.accuracy, found.confidence)),
        *(Cell(f"{value:.3f}", value=value) for value in (found.ece, found.brier)),
        Cell(f"{100 * letters:.1f}", value=letters),
    )
    record = {
        **{**labels_of(run), "n": found.n, "right": 100 * found.accuracy, "mean_probability": 100 * found.confidence},
        **{"ece": found.ece, "brier": found.brier, "letters": 100 * letters},
    }
    return cells, record


def _mean(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None or not values.size else float(values.mean())


def _mean_cell(values: NDArray[np.float64] | None, details: Sequence[str]) -> Cell:
    """A cell with the mean over items and its interval; "-" if there are no values."""
    mean = _mean(values)
    if values is None or mean is None:
        return Cell("-")
    return Cell(f"{mean:.3f}", (interval_text(statistics.mean_interval(values), 1, 3), *details), mean)

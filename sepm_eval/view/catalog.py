"""All that the list of items needs, as one value: which items there are, and what each run answered.

It is sent to the page as JSON. 50,000 items and some runs are a few megabytes, because an answer is one character and
the number of a label. Prompts, texts and probabilities are sent later, for the items that are opened (``details.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sepm_eval.report.comparing import baseline_of, zero_shots
from sepm_eval.report.table import largest_confidence
from sepm_eval.report.text import visible
from sepm_eval.runs.outcomes import Outcome, Run

# The verdict on an outcome, as one character; ``state.js`` uses the same characters.
RIGHT, WRONG, UNPARSED, FAILED, OPEN = "rwufo"


@dataclass(frozen=True)
class Entry:
    """A run and its place among the others.

    Attributes:
        run: the run.
        live: whether it is still being answered.
        base: number of the zero-shot run that it is compared with; None if there is none, or if it is that run itself.
        items: the number of the item of each of its outcomes, in their order.
    """

    run: Run
    live: bool
    base: int | None
    items: tuple[int, ...]


@dataclass
class Items:
    """All items, numbered in the order in which they were first seen; the number of an item never changes.

    Attributes:
        keys: task, id, label and digest of the picture's file for each item; the label is "" if it is not known, the
            digest if no run says it.
        pictures: the picture's file for each item, as the runs name it; "" if none does.
    """

    keys: list[tuple[str, str, str, str]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    _numbers: dict[tuple[str, str, str, str], int] = field(default_factory=dict, repr=False)
    _unsigned: dict[tuple[str, str, str], int] = field(default_factory=dict, repr=False)

    def number(self, task: str, outcome: Outcome) -> int:
        """The number of an outcome's item; a new item is added.

        Outcomes of a run that is still going on have no digest. Such an outcome is taken to be of the known item with
        the same task, id and label, if there is one.
        """
        key, name = (task, outcome.item, outcome.target, outcome.sha256), (task, outcome.item, outcome.target)
        number = self._numbers.get(key) if outcome.sha256 else self._unsigned.get(name)
        if number is None and name in self._unsigned and not self.keys[self._unsigned[name]][3]:
            number = self._numbers[key] = self._unsigned[name]  # the run has ended, and its log has the digest
            self.keys[number] = key
        elif number is None:
            number = self._numbers[key] = len(self.keys)
            self._unsigned.setdefault(name, number)
            self.keys.append(key)
            self.pictures.append("")
        if outcome.picture and not self.pictures[number]:
            self.pictures[number] = outcome.picture
        return number


@dataclass(frozen=True)
class Catalog:
    """All runs with all their items.

    Attributes:
        entries: the runs.
        items: their items.
        notes: what the reader must know, such as files that could not be read.
    """

    entries: tuple[Entry, ...]
    items: Items
    notes: tuple[str, ...] = ()

    def answers_of(self) -> dict[int, list[tuple[int, Outcome]]]:
        """For each item, the outcomes of all runs that have it, each with the number of its run."""
        found: dict[int, list[tuple[int, Outcome]]] = {}
        for number, entry in enumerate(self.entries):
            for item, outcome in zip(entry.items, entry.run.outcomes, strict=True):
                found.setdefault(item, []).append((number, outcome))
        return found

    def as_json(self) -> dict[str, Any]:
        """The data from which the page makes its list. Control characters in texts are escaped."""
        labels: dict[str, int] = {}
        sets: dict[tuple[int, ...], int] = {}
        runs = [_run_json(entry, labels, sets) for entry in self.entries]
        tasks: dict[str, int] = {}
        rows = [
            (visible(item), _number(tasks, task), _number(labels, label) if label else -1)
            for task, item, label, _ in self.items.keys
        ]
        return {
            **{"notes": [visible(note, "\n") for note in self.notes], "runs": runs},
            **{"labels": list(map(visible, labels)), "tasks": list(map(visible, tasks))},
            **{"ids": [row[0] for row in rows], "task": [row[1] for row in rows], "label": [row[2] for row in rows]},
            "sets": [_ranges(items) for items in sets],
        }


def catalog(
    finished: Sequence[Run], live: Sequence[Run] = (), notes: Iterable[str] = (), items: Items | None = None
) -> Catalog:
    """Put runs side by side.

    Args:
        finished: runs as ``read_runs`` returns them.
        live: runs that are still being answered.
        notes: what the reader must know.
        items: the items of an earlier catalogue, which keep their numbers.
    """
    items = items or Items()
    runs = [*finished, *live]
    numbers = {id(run): number for number, run in enumerate(runs)}
    entries = []
    for run in runs:
        going_on = any(run is one for one in live)
        base = _live_base(run, live, finished) if going_on else baseline_of(run, finished)
        entries.append(
            Entry(
                run,
                going_on,
                None if base is None or base is run else numbers[id(base)],
                tuple(items.number(run.task, outcome) for outcome in run.outcomes),
            )
        )
    return Catalog(tuple(entries), items, tuple(notes))


def verdict(outcome: Outcome) -> str:
    """The verdict on an outcome, as one of the characters above."""
    if outcome.score.status == "failed":
        return FAILED
    if not outcome.target:
        return OPEN
    if outcome.score.status == "unparsed":
        return UNPARSED
    return RIGHT if outcome.score.correct else WRONG


def _live_base(run: Run, live: Sequence[Run], finished: Sequence[Run]) -> Run | None:
    """The zero-shot run of the same model: one that is still being answered, or else a finished one."""
    return next(iter([*zero_shots(run, live), *zero_shots(run, finished)]), None)


def _run_json(entry: Entry, labels: dict[str, int], sets: dict[tuple[int, ...], int]) -> dict[str, Any]:
    run = entry.run
    told: dict[str, Any] = {
        **{
            "model": visible(run.model),
            "method": visible(run.variant),
            "called": visible(run.called),
            "items": visible(run.column),
        },
        **{"entry": visible(run.entry), "live": entry.live, "base": -1 if entry.base is None else entry.base},
        "set": _number(sets, entry.items),
        "codes": "".join(map(verdict, run.outcomes)),
        "answers": [-1 if one.score.label is None else _number(labels, one.score.label) for one in run.outcomes],
    }
    records = [one.record for one in run.outcomes]
    if any(record is not None and record.confidence is not None for record in records):
        told["confidence"] = [None if r is None else share(r.confidence) for r in records]
        told["ambiguous"] = "".join("1" if r is not None and r.ambiguous else "0" for r in records)
        told["alpha"], told["largest"] = run.settings.get("alpha"), largest_confidence(run)
    return told


def share(value: Any) -> float | None:
    """Round a number from a journal, such as a probability; None for anything else that a journal may hold there."""
    return round(value, 9) if type(value) in (int, float) and math.isfinite(value) else None


def _number(table: dict[Any, int], key: Any) -> int:
    return table.setdefault(key, len(table))


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Write numbers as ranges of consecutive ones: the first one, and how many there are."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][0] + found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return found

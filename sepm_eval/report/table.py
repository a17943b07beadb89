"""What a report's tables are made of, how numbers are written in them, and which runs may stand side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sepm_eval.emotions import POLARITY
from sepm_eval.report.statistics import Interval, detectable_unpaired
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.plan import slug

_LONGEST_PART = 60  # characters of a model, a column or a method in a file's name


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what stands in it.
        details: smaller lines below.
        value: a number to sort by.
        best: whether it is the best of its column.
        items: which items it is about, as ``items_of`` says; a page that has somewhere to show items links it to them.
        page: the address of a page it leads to, "" if none.
        shade: how dark its ground is, from 0 to 1; None is not shaded.
    """

    text: str
    details: tuple[str, ...] = ()
    value: float | None = None
    best: bool = False
    items: Mapping[str, str] | None = None
    page: str = ""
    shade: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: name of its CSV file.
        title: above it.
        columns: headers.
        rows: as many cells each.
        notes: below it.
        records: the same for programs, one dictionary a line of the CSV; without any there is no CSV.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    records: Sequence[dict[str, Any]] = field(default=(), repr=False)


class Mapped(Sequence[dict[str, Any]]):
    """Records that are made when they are looked at: of single items there may be a million."""

    def __init__(self, record: Callable[[Any], dict[str, Any]], things: Sequence[Any]) -> None:
        self._record, self._things = record, things

    def __len__(self) -> int:
        return len(self._things)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._record(one) for one in self._things[place]]
        return self._record(self._things[place])


def labels_of(run: Run) -> dict[str, Any]:
    """The columns that tell a run from every other one, for every CSV."""
    return {
        **{"task": run.task, "items": run.exam[:8], "column": run.column},
        **{"model": run.model, "model_id": run.identity.key, "method": run.variant},
    }


def record_of(run: Run) -> dict[str, Any]:
    """The columns that describe a run, for every CSV that has one line a run."""
    return {
        **labels_of(run),
        **{"item_list": run.item_list, "entry": run.entry},
        **{"right": run.right, "n": len(run.scored), "accuracy": run.accuracy},
    }


RUN_COLUMNS = ("method", "model", "benchmark")
"""The first columns of every table that has one line a run."""


def run_cells(run: Run, *, entry: bool = False) -> tuple[Cell, Cell, Cell]:
    """The first cells of a run's line, which go with ``RUN_COLUMNS``.

    Args:
        run: the run.
        entry: also say the harness's name of the model, and which list of items it was.

    Returns:
        What people call the method, the model, and the set of items.
    """
    more = ((run.entry,), (run.item_list,)) if entry else ((), ())
    return Cell(run.called), Cell(run.model, more[0]), Cell(run.column, more[1], items=items_of(run))


def items_of(run: Run, **which: str) -> dict[str, str]:
    """Which items a cell or a point is about, for whoever shows items.

    Args:
        run: the run.
        which: what else they have in common: ``item`` (an id), ``label``, ``answer`` (a label, or "unparsed"),
            ``status`` ("answered", "unparsed", "failed"), ``flip`` ("wrong → right", "right → wrong") or ``confidence``
            of stage 1 ("0.05:0.075", from and to).

    Returns:
        The run's own ``labels_of`` and these.
    """
    return {**labels_of(run), **which}


def count_cell(value: int, items: Mapping[str, str] | None = None) -> Cell:
    """A cell that holds a whole number, and of which items."""
    return Cell(str(value), value=value, items=items if value else None)


def interval_text(interval: Interval, unit: float, digits: int = 1) -> str:
    """An interval in brackets.

    Args:
        interval: its two ends.
        unit: what they are multiplied by, such as 100 for percent.
        digits: behind the decimal point.

    Returns:
        Such as "[12.3, 45.6]".
    """
    return f"[{unit * interval.low:.{digits}f}, {unit * interval.high:.{digits}f}]"


def detectable(run: Run) -> float | None:
    """The smallest difference to a run over the same items that could be found, in points; see ``DETECTABLE``."""
    share = detectable_unpaired(run.right, len(run.scored))
    return None if share is None else 100 * share


def detectable_text(run: Run) -> str:
    """The same beside an accuracy."""
    found = detectable(run)
    return f"detectable {'none' if found is None else f'{found:.1f}'}"


DETECTABLE = (
    "Detectable: the smallest difference, in points, to a run over the same items that a paired test finds with 80 % "
    "power if the two are right independently of one another. Between runs that agree more than that smaller "
    "differences can be told: see the table of comparisons."
)


def when(date: datetime) -> str:
    """A time as pages show it: "2026-11-24 08:00 UTC"."""
    return date.strftime("%Y-%m-%d %H:%M UTC")


def state(run: Run) -> str:
    """Whether a run answered everything that its task asks; if not, what is missing."""
    lacking = [f"{run.missing} missing"] if run.missing else []
    lacking += [f"{run.count('failed')} failed"] if run.count("failed") else []
    if run.complete:
        return "complete"
    part = [] if run.asked == run.available else [run.part]
    return "; ".join([*part, *([f"incomplete: {', '.join(lacking)}"] if lacking else [])])


def groups(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs grouped by model and set of items. One table or figure never mixes two groups."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.model, run.column), []).append(run)
    return list(found.values())


def polarities(run: Run) -> Mapping[str, str]:
    """The polarity of every label in a run, including those set by hand; "unknown" of a label unknown here."""
    return {**dict.fromkeys(run.options.labels, "unknown"), **POLARITY, **run.identity.polarity}


def largest_confidence(run: Run) -> float:
    """The largest confidence that stage 1 can have: the variance of 0 and 1, over N, or as in the code N - 1."""
    return 0.5 if run.settings.get("preset") == "code" else 0.25


def model_key(runs: Sequence[Run]) -> str:
    """The part of a file's name that stands for a model: its whole name and a digest of its identity.

    Args:
        runs: all of one shown name. Where a stock model stands beside ours of the same checkpoint, the digest is ours.

    Returns:
        A name that no other model has.
    """
    first = next((run for run in runs if run.entry.startswith(OUR_ENTRIES)), runs[0])
    return f"{_short(first.model)}-{first.identity.key}"


def column_key(run: Run) -> str:
    """The part of a file's name that stands for a set of items: the task, with a digest if it has several sets."""
    return slug(run.task) if run.column == run.task else f"{_short(run.column)}-{run.exam[:8]}"


def variant_key(run: Run) -> str:
    """The part of a file's name that stands for a method, with a digest if its options are not the defaults."""
    told = _short(run.variant)
    return told if run.variant == run.method else f"{told}-{run.identity.digest[:8]}"


def page_key(runs: Sequence[Run]) -> str:
    """The part of a file's name that stands for the runs of one model over one set of items."""
    return f"{model_key(runs)}_{column_key(runs[0])}"


def without_best(table: Table) -> Table:
    """The same table without a best value: of figures that are no result, none is better than another."""
    rows = tuple(tuple(replace(cell, best=False) for cell in row) for row in table.rows)
    return replace(table, rows=rows)


def main_columns(runs: Sequence[Run]) -> dict[str, str]:
    """Choose for each task the set of items that means and ranks are taken over.

    It is the set that most complete runs were asked; of equal ones the larger, then the first by name.

    Returns:
        The set's name by task, without tasks that have no complete run.
    """
    found = {}
    for task in dict.fromkeys(run.task for run in runs):
        mine = [run for run in runs if run.task == task and run.complete]
        names = sorted({run.column for run in mine})
        if names:
            sizes = {run.column: len(run.outcomes) for run in mine}
            found[task] = max(names, key=lambda name: (sum(run.column == name for run in mine), sizes[name]))
    return found


def mean_note(columns: Sequence[str], shown: Sequence[str]) -> str:
    """The note below a table: which tasks a mean is taken over, and which of those shown are not in it."""
    others = [column for column in shown if column not in columns]
    outside = f"; {', '.join(others)} {'is' if len(others) == 1 else 'are'} not in it" if others else ""
    return f"The mean is over {', '.join(columns)}, each counting the same{outside}."


def _short(text: str) -> str:
    return slug(text)[:_LONGEST_PART].strip("-")


SHOWN = 40  # rows of a list of single items


def spread(records: Sequence[Mapping[str, Any]], by: Sequence[str], most: int = SHOWN) -> list[int]:
    """Take a few records from a long list, in turn from every group, so that each group is seen.

    Args:
        records: the whole list.
        by: the keys that make a group.
        most: how many to take.

    Returns:
        The places of those chosen in the list, ascending.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(tuple(record[key] for key in by), []).append(index)
    turns = sorted((turn, index) for group in groups.values() for turn, index in enumerate(group[:most]))
    return sorted(index for _, index in turns[:most])


def shown_note(shown: int, total: int, file: str) -> str:
    """The note that says how many records a table shows, and which file has the others."""
    return f"All {total}." if shown == total else f"{shown} of {total}; all are in {file}."

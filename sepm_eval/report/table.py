"""The tables of a report, how numbers are written in them, and which runs may be shown side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sepm_eval.emotions import POLARITY
from sepm_eval.report.power import detectable_unpaired
from sepm_eval.report.statistics import Interval
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.plan import slug

_LONGEST_PART = 60  # most characters of a model, column or method in a file's name


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: the text in it.
        details: smaller lines below the text.
        value: a number to sort by.
        best: whether it is the best of its column.
        items: the items it is about, from ``items_of``; a page that has somewhere to show items links the cell to them.
        page: the address of a page that the cell links to; "" if none.
        shade: how dark its background is, from 0 to 1; None means no shade.
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
        key: name of its CSV file, without the ending.
        title: heading above it.
        columns: headers of the columns.
        rows: the rows, each with a cell for every column.
        notes: sentences below it.
        records: the same data for programs, one dictionary for each line of the CSV; without records there is no CSV.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    records: Sequence[dict[str, Any]] = field(default=(), repr=False)


class Mapped(Sequence[dict[str, Any]]):
    """Records that are made only when they are looked at, because there may be a million of single items."""

    def __init__(self, record: Callable[[Any], dict[str, Any]], things: Sequence[Any]) -> None:
        self._record, self._things = record, things

    def __len__(self) -> int:
        return len(self._things)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._record(one) for one in self._things[place]]
        return self._record(self._things[place])


def labels_of(run: Run) -> dict[str, Any]:
    """The columns by which every CSV identifies a run."""
    return {
        **{"task": run.task, "items": run.exam[:8], "column": run.column},
        **{"model": run.model, "model_id": run.identity.key, "method": run.variant},
    }


def record_of(run: Run) -> dict[str, Any]:
    """The columns that describe a run, for every CSV with one line for each run."""
    return {
        **labels_of(run),
        **{"item_list": run.item_list, "entry": run.entry},
        **{"right": run.right, "n": len(run.scored), "accuracy": run.accuracy},
    }


RUN_COLUMNS = ("method", "model", "benchmark")
"""The first columns of every table with one row for each run."""


def run_cells(run: Run, *, entry: bool = False) -> tuple[Cell, Cell, Cell]:
    """The first cells of a run's row, which go with ``RUN_COLUMNS``.

    Args:
        run: the run.
        entry: also show the harness's name of the model, and the name of the item list.

    Returns:
        Cells with the method's name for people, the model, and the set of items.
    """
    more = ((run.entry,), (run.item_list,)) if entry else ((), ())
    return Cell(run.called), Cell(run.model, more[0]), Cell(run.column, more[1], items=items_of(run))


def items_of(run: Run, **which: str) -> dict[str, str]:
    """Describe the items that a cell or a point is about, so that a page can link to them.

    Args:
        run: the run.
        which: what else the items have in common: ``item`` (an id), ``label``, ``answer`` (a label, or "unparsed"),
            ``status`` ("answered", "unparsed", "failed"), ``flip`` ("wrong → right", "right → wrong") or ``confidence``
            of stage 1 ("0.05:0.075", from and to).

    Returns:
        ``labels_of(run)`` together with these.
    """
    return {**labels_of(run), **which}


def count_cell(value: int, items: Mapping[str, str] | None = None) -> Cell:
    """A cell with a whole number, and the items that it counts."""
    return Cell(str(value), value=value, items=items if value else None)


def interval_text(interval: Interval, unit: float, digits: int = 1) -> str:
    """Write an interval in brackets.

    Args:
        interval: its two ends.
        unit: the factor by which they are multiplied, such as 100 for percent.
        digits: number of digits after the decimal point.

    Returns:
        Such as "[12.3, 45.6]".
    """
    return f"[{unit * interval.low:.{digits}f}, {unit * interval.high:.{digits}f}]"


def detectable(run: Run) -> float | None:
    """The smallest difference to another run over the same items that can be found, in points; see ``DETECTABLE``."""
    share = detectable_unpaired(run.right, len(run.scored))
    return None if share is None else 100 * share


def detectable_text(run: Run) -> str:
    """The result of ``detectable`` in words, to be shown beside an accuracy."""
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
    """Say whether a run answered everything that its task asks; if not, what is missing."""
    lacking = [f"{run.missing} missing"] if run.missing else []
    lacking += [f"{run.count('failed')} failed"] if run.count("failed") else []
    if run.complete:
        return "complete"
    part = [] if run.asked == run.available else [run.part]
    return "; ".join([*part, *([f"incomplete: {', '.join(lacking)}"] if lacking else [])])


def groups(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs by model and set of items, for pages, tables and figures that show one such group."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.model, run.column), []).append(run)
    return list(found.values())


def polarities(run: Run) -> Mapping[str, str]:
    """The polarity of every label in a run, including those set by hand; "unknown" if a label has no known one."""
    return {**dict.fromkeys(run.options.labels, "unknown"), **POLARITY, **run.identity.polarity}


def largest_confidence(run: Run) -> float:
    """The largest confidence stage 1 can have: variance of 0 and 1 by N, or by N - 1 with the preset "code"."""
    return 0.5 if run.settings.get("preset") == "code" else 0.25


def model_key(runs: Sequence[Run]) -> str:
    """The part of a file's name that stands for a model: the start of its name and a digest of its identity.

    Args:
        runs: runs whose models are shown under one name. Where a stock model stands beside ours of the same checkpoint,
            the digest is that of ours.

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
    """Copy a table without marking best values: among numbers that are no result, none is better than another."""
    rows = tuple(tuple(replace(cell, best=False) for cell in row) for row in table.rows)
    return replace(table, rows=rows)


def main_columns(runs: Sequence[Run]) -> dict[str, str]:
    """Choose for each task the set of items that means and ranks are taken over.

    It is the set that most complete runs were asked; if several tie, the larger one, then the first by name.

    Returns:
        The name of the set for each task; tasks without a complete run are left out.
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


SHOWN = 40  # most rows shown of a list of single items


def spread(records: Sequence[Mapping[str, Any]], by: Sequence[str], most: int = SHOWN) -> list[int]:
    """Choose a few records from a long list, taking turns between groups, so that each group is shown.

    Args:
        records: the whole list.
        by: the keys whose values make a group.
        most: how many records to choose.

    Returns:
        The places of the chosen records in the list, ascending.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(tuple(record[key] for key in by), []).append(index)
    turns = sorted((turn, index) for group in groups.values() for turn, index in enumerate(group[:most]))
    return sorted(index for _, index in turns[:most])


def shown_note(shown: int, total: int, file: str) -> str:
    """The note that says how many records a table shows, and which file has the others."""
    return f"All {total}." if shown == total else f"{shown} of {total}; all are in {file}."

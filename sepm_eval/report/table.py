"""What a report's tables are made of, and how numbers are written in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sepm_eval.plan import slug
from sepm_eval.results import Run
from sepm_eval.statistics import Interval


@dataclass(frozen=True)
class Cell:
    """One cell: what stands in it, smaller lines below, and a number to sort by."""

    text: str
    details: tuple[str, ...] = ()
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: name of its CSV file.
        title: above it.
        columns: headers.
        rows: as many cells each.
        notes: below it.
        records: the same for programs, one dictionary a line of the CSV.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    records: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def record_of(run: Run) -> dict[str, Any]:
    """What stands of a run in every CSV that has a line a run."""
    return {
        **{"task": run.task, "item_list": run.item_list, "entry": run.entry, "model": run.model},
        **{"method": run.variant, "right": run.right, "n": len(run.scored), "accuracy": run.accuracy},
    }


def count_cell(value: int) -> Cell:
    """A whole number."""
    return Cell(str(value), value=value)


def interval_text(interval: Interval, unit: float, digits: int = 1) -> str:
    """An interval in brackets, its ends times a unit."""
    return f"[{unit * interval.low:.{digits}f}, {unit * interval.high:.{digits}f}]"


def file_key(checkpoint: str) -> str:
    """The last part of a checkpoint's name, as part of a file's."""
    return slug(checkpoint.rstrip("/").rpartition("/")[2])

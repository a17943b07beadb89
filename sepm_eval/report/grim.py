"""The GRIM test: which counts of right answers out of N a printed percentage can stand for, if any.

An accuracy over N items is k/N for a whole number k, so a percentage with two decimals rules out most small N. The
name is that of Brown & Heathers (Social Psychological and Personality Science 8, 2017, 363-369). All arithmetic is in
whole numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FIGURE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,9}))?\s*%?", re.ASCII)


@dataclass(frozen=True)
class Counts:
    """The counts of right answers that are printed as the same figure.

    Attributes:
        rounded: the counts whose percentage rounds to the figure; one halfway between two figures counts for both.
        cut: the counts whose percentage gives the figure if further decimals are cut off.
    """

    rounded: range
    cut: range

    def __bool__(self) -> bool:
        """Whether there is any such count."""
        return bool(self.rounded or self.cut)


def counts(figure: str, n: int) -> Counts:
    """Find the counts k for which k/n is printed as a figure.

    Args:
        figure: a percentage as it is printed: "58.33". Its decimals give its precision, so "20.00" is not "20".
        n: number of items.

    Returns:
        The counts from 0 to n, as two ranges of whole numbers.

    Raises:
        ValueError: the figure is no percentage, or n is not positive.
    """
    found = _FIGURE.fullmatch(figure.strip())
    if found is None or float(figure.strip().rstrip("% ")) > 100:
        raise ValueError(f"{figure!r} is no percentage from 0 to 100, such as 58.33")
    if n < 1:
        raise ValueError(f"a figure is of at least one item, not of {n}")
    decimals = found[2] or ""
    units, scale = int(found[1] + decimals), 100 * 10 ** len(decimals)  # figure and 100 % in units of its last decimal

    def between(low: int, high: int, part: int) -> range:
        """Counts whose share lies from ``low`` to ``high``, both in units of 1 / ``part`` of the last decimal."""
        return range(max(-(-low * n // (scale * part)), 0), min(high * n // (scale * part), n) + 1)

    cut = between(units, units + 1, 1)
    next_figure = scale * (cut.stop - 1) == (units + 1) * n  # the last count already gives the next figure
    return Counts(between(2 * units - 1, 2 * units + 1, 2), range(cut.start, cut.stop - next_figure))


def fits(figure: str, n: int) -> bool:
    """Whether a figure, rounded or cut off, can be an accuracy over n items; see ``counts``."""
    return bool(counts(figure, n))


@dataclass(frozen=True)
class Printed:
    """One figure of a printed table.

    Attributes:
        row: the first cell of its line.
        column: the header of its column.
        figure: the figure as it is printed.
    """

    row: str
    column: str
    figure: str


def read_table(path: Path) -> list[Printed]:
    """Read a printed table.

    Args:
        path: a CSV file (UTF-8) with a header line; the first column names the rows. Cells that are numbers with a
            decimal point are its figures; other cells, such as counts and names, are ignored.

    Returns:
        The figures, line by line.

    Raises:
        ValueError: the file is no CSV file, or has no figure.
        OSError: the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
    found = [
        Printed(line[0], column, cell.strip())
        for line in lines
        for column, cell in zip(header[1:], line[1:], strict=False)
        if "." in cell and _FIGURE.fullmatch(cell.strip())
    ]
    if not found:
        raise ValueError(f"{path} has no cell that is a number with a decimal point behind its first column")
    return found


def shown(some: range) -> str:
    """Write a range of counts in words: "155", "155, 156", "155 to 161", or "none"."""
    if len(some) > 2:
        return f"{some[0]} to {some[-1]}"
    return ", ".join(map(str, some)) or "none"


def sizes(text: str) -> Sequence[int]:
    """Read numbers of items as they are typed: "594,1980".

    Raises:
        ValueError: the text is not made of positive whole numbers and commas.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ValueError(f"--n is {text!r}: write numbers of items, such as 594,1980")
    return found

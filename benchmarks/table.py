"""One figure of a benchmark with its target, and how a table of figures is shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        what: what was measured.
        value: the number.
        at_most: the target if it is an upper limit, or None.
        at_least: the target if it is a lower limit, or None.
        unit: the unit shown after the number, such as "x" or "%".
    """

    what: str
    value: float
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "x"

    @property
    def missed(self) -> bool:
        """Whether there is a target and the number does not meet it."""
        high = self.at_most is not None and not self.value <= self.at_most
        return high or (self.at_least is not None and not self.value >= self.at_least)

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return "" if self.at_least is None else f">= {self.at_least:g}"


def show(figures: Sequence[Figure]) -> None:
    """Print the figures as a table in Markdown, and end the process with status 1 if a target was missed, else 0."""
    width = max(len(figure.what) for figure in figures)
    print(f"| {'figure':<{width}} | value     | target   |        |")
    print(f"|{'-' * (width + 2)}|-----------|----------|--------|")
    for figure in figures:
        verdict = "MISSED" if figure.missed else "ok" if figure.target else ""
        value = f"{figure.value:.3g} {figure.unit}"
        print(f"| {figure.what:<{width}} | {value:<9} | {figure.target:<8} | {verdict:<6} |")
    sys.exit(any(figure.missed for figure in figures))

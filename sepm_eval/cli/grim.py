"""``sepm-eval grim``: whether a published percentage is possible for a given number of items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sepm_eval.cli._app import app, console, new_table, stop
from sepm_eval.report.text import visible

if TYPE_CHECKING:
    from sepm_eval.report.grim import Printed


@app.command()
def grim(
    figures: Annotated[
        list[str], typer.Argument(help="Percentages as they are printed (58.33), or a CSV file of a table of them.")
    ],
    n: Annotated[str, typer.Option("--n", help="Numbers of items they may be of: 594,1980.")],
) -> None:
    """List which counts k/N give a printed figure, rounded or cut; exits 1 if a figure is impossible for every N."""
    from sepm_eval.report.grim import Printed, fits, read_table, sizes

    try:
        asked = sizes(n)
        single = [Printed("", "", figure) for figure in figures if not figure.endswith(".csv")]
        tables = {path: read_table(Path(path)) for path in figures if path.endswith(".csv")}
        if single:
            _show_counts(single, asked)
        for path, printed in tables.items():
            _show_columns(path, printed, asked)
        everything = [*single, *(one for printed in tables.values() for one in printed)]
        impossible = [one for one in everything if not any(fits(one.figure, size) for size in asked)]
    except (ValueError, OSError) as error:
        stop(str(error))
    if impossible:
        told = "\n".join(
            visible(", ".join(filter(None, (one.row, one.column, f"{one.figure} is not k/N for any N in {n}"))))
            for one in impossible
        )
        stop(told)


def _show_counts(printed: Sequence[Printed], asked: Sequence[int]) -> None:
    """Print a table with one row for each figure and number of items: the counts k that give the figure."""
    from sepm_eval.report.grim import counts, shown

    table = new_table("figure", "N", "k, rounded", "k, cut")
    for one in printed:
        for size in asked:
            found = counts(one.figure, size)
            table.add_row(visible(one.figure), str(size), shown(found.rounded), shown(found.cut))
    console.print(table)


def _show_columns(path: str, printed: Sequence[Printed], asked: Sequence[int]) -> None:
    """Print a table with one row for each column: how many of its figures are possible for each number of items."""
    from sepm_eval.report.grim import fits

    table = new_table("column", "figures", *(f"k/{size}" for size in asked), "of none", title=visible(Path(path).name))
    for column in dict.fromkeys(one.column for one in printed):
        mine = [one.figure for one in printed if one.column == column]
        hits = [[fits(figure, size) for size in asked] for figure in mine]
        table.add_row(
            *(visible(column), str(len(mine)), *(str(sum(hit)) for hit in zip(*hits, strict=True))),
            str(sum(not any(hit) for hit in hits)),
        )
    console.print(table)

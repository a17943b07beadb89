"""What all commands share: the application, the console, tables, and how a command stops with an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()


def _show_version(wanted: bool) -> None:
    if wanted:
        console.print(version("sepm-eval"), highlight=False)
        raise typer.Exit


@app.callback()
def common(
    shown: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version, and stop.")
    ] = False,
) -> None:
    """Image-emotion benchmarks and SEPM for multimodal LLMs."""


class _Fitting(Table):
    """A table that changes its form if the screen is too narrow for the longest word of each column.

    Columns with the same value in all rows are then shown as lines above the table. If the rest is still too wide, each
    row is shown as lines, one for each cell. So no word is broken unless it is longer than the screen is wide.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if (widths := self._widths(options.max_width)) is not None:
            for column, width in zip(self.columns, widths, strict=True):
                column.width = width
            yield from super().__rich_console__(console, options)
            return
        rest, rows = _Fitting(title=self.title), []
        for column in self.columns:
            cells = list(map(str, column.cells))
            if len(cells) > 1 and len(set(cells)) == 1:
                yield _told(column, cells[0])
            else:
                rest.add_column(column.header, overflow="fold")
                rows.append(cells)
        for row in zip(*rows, strict=True):
            rest.add_row(*row)
        if rest._widths(options.max_width) is not None:
            yield rest
            return
        if rest.title:
            yield Text.from_markup(str(rest.title), style="table.title")
        for row in zip(*(column.cells for column in rest.columns), strict=True):
            yield Rule(style="dim")
            yield from (_told(column, str(cell)) for column, cell in zip(rest.columns, row, strict=True))

    def _widths(self, room: int) -> list[int] | None:
        """Choose widths of the columns with which the table fits the screen.

        Args:
            room: width of the screen in characters.

        Returns:
            A width for each column, with which no word is broken; None if there are none.
        """
        least, whole = [], []
        for column in self.columns:
            told = [one if isinstance(one, Text) else Text.from_markup(str(one)) for one in column.cells]
            lines = [line for text in (Text(str(column.header)), *told) for line in text.plain.splitlines()]
            least.append(max((cell_len(word) for line in lines for word in line.split()), default=0))
            whole.append(max(map(cell_len, lines), default=0))
        spare = room - 3 * len(self.columns) - 1 - sum(least)  # each column needs a border and two spaces
        if spare < 0:
            return None
        wanted = [most - few for few, most in zip(least, whole, strict=True)]
        for rank, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
            given = min(wanted[place], spare // (len(wanted) - rank))  # columns that want least come first
            least[place] += given
            spare -= given
        return least


def _told(column: Column, cell: str) -> Text:
    """A line with a column's header and one of its cells."""
    line = Text(f"{column.header}: " if column.header else "", style="bold", overflow="fold")
    return line.append_text(Text.from_markup(cell))


def new_table(*headers: str, title: str = "") -> Table:
    """Make a table that wraps long cells between words and never cuts them; for narrow screens see ``_Fitting``."""
    table = _Fitting(title=title)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


@contextmanager
def faults_said() -> Iterator[None]:
    """Within this context, errors that a user can fix are printed and stop the command; others are raised unchanged.

    Raises:
        typer.Exit: there was an error that a user can fix, such as a wrong setting or a lack of memory.
    """
    from sepm_eval.backbone.memory import is_out_of_memory

    try:
        yield
    except (ValueError, OSError, FloatingPointError) as error:
        stop(str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        stop(f"out of memory: {error}")


def stop(message: str) -> NoReturn:
    """Print an error message on standard error, and exit with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

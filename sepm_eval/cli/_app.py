"""What the commands share: the application, the screen, and how a command stops."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
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


def new_table(*headers: str, title: str = "") -> Table:
    """A table whose long cells are folded and not cut."""
    table = Table(title=title)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def stop(message: str) -> NoReturn:
    """Say on standard error what went wrong, and exit with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

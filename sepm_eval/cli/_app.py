"""What the commands share: the application, the screen, and how a command stops."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Image-emotion benchmarks and SEPM for multimodal LLMs.",
    pretty_exceptions_enable=False,
)
console = Console()


def new_table(*headers: str, title: str = "") -> Table:
    """A table that folds long cells instead of cutting them."""
    table = Table(title=title)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def stop(message: str) -> NoReturn:
    """Say on standard error what went wrong, and exit with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

"""What the commands share: the application, the screen, and how a command stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

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


def new_table(*headers: str, title: str = "") -> Table:
    """A table whose long cells are folded and not cut."""
    table = Table(title=title)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


@contextmanager
def faults_said() -> Iterator[None]:
    """Around a command's work with a model: what a user can mend stops it with a sentence.

    Raises:
        typer.Exit: there was such a fault.
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
    """Say on standard error what went wrong, and exit with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

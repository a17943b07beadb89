"""What the commands share: the application, the screen, and how a command stops."""

from __future__ import annotations

import ast
from typing import Any, NoReturn

import typer
from rich.console import Console

from sepm_eval.methods import Method, get_method

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Image-emotion benchmarks and SEPM for multimodal LLMs.",
    pretty_exceptions_enable=False,
)
console = Console()


def parse_method(text: str) -> Method:
    """A method from the command line: "sepm,alpha=0.2,cci=False".

    Raises:
        ValueError: an unknown method or option, or a value out of range.
    """
    name, *settings = text.split(",")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no option: write name=value")
        try:
            options[key.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key.strip()] = value
    return get_method(name, **options)


def stop(message: str) -> NoReturn:
    """Say on standard error what went wrong, and exit with status 1."""
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

"""The ``sepm-eval`` command. Every file of this folder adds its commands to the application."""

from sepm_eval.cli import data, explain
from sepm_eval.cli._app import app, parse_method

__all__ = ["app", "data", "explain", "main", "parse_method"]


def main() -> None:
    """Entry point."""
    app()

"""The ``sepm-eval`` command. Every file of this folder adds its commands to the application."""

from sepm_eval.cli import data, doctor, explain, report, run
from sepm_eval.cli._app import app

__all__ = ["app", "data", "doctor", "explain", "main", "report", "run"]


def main() -> None:
    """Entry point."""
    app()

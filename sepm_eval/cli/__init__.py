"""The ``sepm-eval`` command; the files of this folder add their subcommands to the application."""

from sepm_eval.cli import check_model, data, doctor, explain, grim, report, run, view, vlmevalkit
from sepm_eval.cli._app import app

__all__ = ["app", "check_model", "data", "doctor", "explain", "grim", "main", "report", "run", "view", "vlmevalkit"]


def main() -> None:
    """Entry point of the ``sepm-eval`` command."""
    app()

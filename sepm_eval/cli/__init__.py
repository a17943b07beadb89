"""The ``sepm-eval`` command. Every file of this folder adds its commands to the application."""

from sepm_eval.cli import check_model, data, doctor, explain, grim, report, run, view, vlmevalkit
from sepm_eval.cli._app import app

__all__ = ["app", "check_model", "data", "doctor", "explain", "grim", "main", "report", "run", "view", "vlmevalkit"]


def main() -> None:
    """Entry point."""
    app()

"""``sepm-eval report``, ``compare``, ``leaderboard``, ``rescore`` and ``submit``: what is made of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sepm_eval.cli._app import app, console, stop

Folders = Annotated[list[Path], typer.Argument(help="Folders that `sepm-eval run` or `lmms-eval --log_samples` wrote.")]


@app.command()
def report(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("report"),
) -> None:
    """Tables 1-3, figures, statistics and lists of what went wrong, as one page, Markdown, CSV, PNG and SVG."""
    from sepm_eval.report.write import write_report
    from sepm_eval.results import read_runs

    try:
        page = write_report(read_runs(folders), out)
    except (ValueError, OSError) as error:
        stop(str(error))
    console.print(f"written to {page}", soft_wrap=True)

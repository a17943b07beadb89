"""CSV: one line for each run, for a spreadsheet or for tables of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepm_eval.report.tables import runs_table
from sepm_eval.report.text import write_csv
from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write results.csv."""
    more = [
        {
            **{"date": run.date.isoformat(), "identity": run.identity.digest, "exam": run.exam},
            **{"revision": run.identity.revision},
            "versions": " ".join(f"{name}={number}" for name, number in run.versions.items()),
        }
        for run in runs
    ]
    path = out / "results.csv"
    write_csv(path, [{**record, **told} for record, told in zip(runs_table(runs).records, more, strict=True)])
    return [path]


FORMATS = {"csv": write}

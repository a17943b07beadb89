"""CSV: one line a run, for a spreadsheet or a table of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sepm_eval.report.tables import runs_table
from sepm_eval.results import Run
from sepm_eval.submit import About


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write results.csv."""
    out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(runs_table(runs).records)
    frame["date"] = [run.date for run in runs]
    frame["versions"] = [" ".join(f"{name}={number}" for name, number in run.versions.items()) for run in runs]
    path = out / "results.csv"
    frame.to_csv(path, index=False)
    return [path]


FORMATS = {"csv": write}

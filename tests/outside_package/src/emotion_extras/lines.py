"""A submission format: a line of text for each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write lines.txt."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "lines.txt"
    path.write_text("".join(f"{run.task} {run.method} {run.right}/{len(run.scored)}\n" for run in runs))
    return [path]

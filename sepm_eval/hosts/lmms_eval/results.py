"""Writing lmms-eval's results to disk, so that they are there completely or not at all."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmms_eval.loggers import EvaluationTracker

from sepm_eval.files import writing_whole
from sepm_eval.runs.host_logs import RESULTS, SAMPLES


def write_results(tracker: EvaluationTracker, results: dict[str, Any], folder: Path, stamp: str) -> None:
    """Write lmms-eval's results to its usual files, the samples first: a results file shows that all files are there.

    lmms-eval opens its files under their final names, appends one sample at a time, and continues after an error. So it
    writes to a temporary folder here; its files are then checked and copied to their place.

    Args:
        tracker: lmms-eval's tracker of this evaluation.
        results: the value that ``simple_evaluate`` returned; its samples are removed from it.
        folder: the folder of the part.
        stamp: time of the evaluation, with which the file names begin.

    Raises:
        OSError: the files could not be written completely; no results file was added.
    """
    samples = results.pop("samples")
    with tempfile.TemporaryDirectory(prefix="sepm_eval-") as name:
        aside = Path(name)
        tracker.output_path = name
        tracker.save_results_aggregated(results=results, samples=samples, datetime_str=stamp)
        for task in results["configs"]:
            tracker.save_results_samples(task_name=task, samples=samples[task])
        files = [path for path in aside.rglob("*") if path.is_file()]
        if flaw := _flaw(files, {task: len(samples[task]) for task in results["configs"]}):
            raise OSError(
                errno.EIO,
                f"lmms-eval did not write its results whole ({flaw}): is there room in {aside.parent}? "
                "The environment variable TMPDIR names another place",
            )
        _remove_unfinished(folder)
        for path in sorted(files, key=lambda path: path.name.endswith(RESULTS)):
            target = folder / path.relative_to(aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as source, writing_whole(target) as file:
                shutil.copyfileobj(source, file)


def _flaw(files: list[Path], counts: Mapping[str, int]) -> str:
    """What is missing in lmms-eval's files; "" if nothing is.

    Args:
        files: the files that lmms-eval wrote.
        counts: by task, the number of samples that there must be.
    """
    results = [path for path in files if path.name.endswith(RESULTS)]
    if len(results) != 1:
        return f"{len(results)} results files"
    try:
        json.loads(results[0].read_bytes())
    except ValueError as error:
        return f"{results[0].name}: {error}"
    for task, count in counts.items():
        whole = 0
        for log in (path for path in files if path.name.endswith(f"{SAMPLES}{task}.jsonl")):
            with log.open("rb") as file:
                whole += sum(line.endswith(b"\n") for line in file)
        if whole != count:
            return f"{whole} of {count} samples of {task}"
    return ""


def _remove_unfinished(folder: Path) -> None:
    """Remove samples files without a results file, which a run leaves behind if it is stopped while writing."""
    finished = {path.name.removesuffix(RESULTS) for path in folder.rglob(f"*{RESULTS}")}
    for path in folder.rglob(f"*{SAMPLES}*.jsonl"):
        if path.name.partition(SAMPLES)[0] not in finished:
            path.unlink()

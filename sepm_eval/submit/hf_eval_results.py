"""Hugging Face Community Evals: ``.eval_results/*.yaml`` for a model's repository."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries

from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About, hub_id, model_folder


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write .eval_results/TASK.yaml for each model, in a folder named after it.

    The notes of an entry say what its answers depend on, so that two entries of one file can be told apart.

    Raises:
        ValueError: the benchmark's id on the Hub is not given, two entries would be equal, or a file that was written
            is read back differently.
    """
    unknown = sorted({run.task for run in runs} - about.datasets.keys())
    if unknown:
        raise ValueError(
            f"Community Evals names a benchmark by its repository on the Hub: give --dataset-id TASK=owner/name for "
            f"{', '.join(unknown)}"
        )
    groups: dict[tuple[str, str], list[EvalResultEntry]] = defaultdict(list)
    for run in runs:
        model = hub_id(run).replace("/", "__") or model_folder(run)
        notes = _notes(run)
        if any(entry.notes == notes for entry in groups[model, run.task]):
            raise ValueError(f"two entries of {run.model} for {run.task} would be the same: {notes}")
        groups[model, run.task].append(
            EvalResultEntry(
                dataset_id=about.datasets[run.task],
                task_id=run.task,
                value=round(100 * run.right / len(run.scored), 2),
                date=run.date.date().isoformat(),
                notes=notes,
            )
        )
    written = []
    for (model, task), entries in groups.items():
        path = out / model / ".eval_results" / f"{task}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False), encoding="utf-8")
        if parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8"))) != entries:
            raise ValueError(f"{path} does not read back as it was written")
        written.append(path)
    return written


def _notes(run: Run) -> str:
    told = [
        f"{name.partition('.')[2]}={value}" for name, value in run.identity.fields().items() if name[:6] == "model."
    ]
    about = ", ".join([run.entry, *told])
    return (
        f"{run.variant}; {about}; item list {run.item_list}, N={len(run.scored)}; sepm-eval on lmms-eval; "
        f"run {run.identity.digest[:16]}, items {run.exam[:16]}"
    )


FORMATS = {"hf-eval-results": write}

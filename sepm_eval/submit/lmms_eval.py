"""lmms-eval: results and samples in the layout of its ``push_results_to_hub``, ready for a data-set repository.

Paths on the machine that made them are removed: a sample names its item, so it needs no path of a picture, and pictures
may not be passed on.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from sepm_eval.report.table import column_key
from sepm_eval.runs.identity import Identity
from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About

_NEEDED = ("results", "configs", "versions", "n-samples", "config", "date")
_PATH = re.compile(r"(?<![\w.~-])(?:/|[A-Za-z]:\\)[^\s'\",)]*")
_LOCAL = ("journal", "dataset_kwargs", "process_docs", "resolved_cli_args", "model_backend")


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write a folder for each model and method, and a dataset card that lists them.

    Raises:
        ValueError: a results file lacks what lmms-eval puts into it, or a run is given twice.
    """
    from sepm_eval.runs.plan import slug

    written: list[Path] = []
    configs = []
    for run in runs:
        results = json.loads(run.source.read_text(encoding="utf-8"))
        lacking = [key for key in _NEEDED if key not in results]
        if lacking:
            raise ValueError(f"{run.source} lacks {lacking}: it is no results file of lmms-eval 0.7")
        folder = (
            out / f"{slug(f'{_without_paths(run.identity).checkpoint}_{run.variant}')[:80]}-{run.identity.digest[:8]}"
        )
        stamp = run.source.name.removesuffix("_results.json")
        path = folder / f"{stamp}_{column_key(run)}_results.json"
        samples = folder / f"{stamp}_{column_key(run)}_samples_{run.task}.jsonl"
        if path in written:
            raise ValueError(f"{run.column}, {run.title} is given twice: {run.source}")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_scrubbed(results), indent=2, ensure_ascii=False), encoding="utf-8")
        with samples.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in _samples(run, stamp))
        written += [path, samples]
        name = f"{folder.name}__{column_key(run)}"
        configs.append({"config_name": name, "data_files": f"{folder.name}/{samples.name}"})
    data = DatasetCardData(configs=configs, tags=["lmms-eval", "image-emotion"])
    text = "# Results of image-emotion tasks\n\nWritten by `sepm-eval submit --format lmms-eval`. No pictures."
    card = DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")
    card.save(out / "README.md")
    return [out / "README.md", *written]


def _samples(run: Run, stamp: str) -> Iterator[dict[str, Any]]:
    """Yield a run's samples without paths of this machine; an identity that had such a path gets another digest."""
    identity = _without_paths(run.identity)
    changed = identity.digest != run.identity.digest
    with run.source.with_name(f"{stamp}_samples_{run.task}.jsonl").open("rb") as file:
        for line in map(json.loads, file):
            line["input_media"] = []
            if changed and "run" in line:
                line["run"] = identity.digest
            if changed and "identity" in line:
                line["identity"] = identity.as_json()
            yield line


def _without_paths(identity: Identity) -> Identity:
    absolute = Path(identity.checkpoint).is_absolute()
    checkpoint = Path(identity.checkpoint).name if absolute else _scrubbed(identity.checkpoint)
    return dataclasses.replace(identity, checkpoint=checkpoint, model=_scrubbed(dict(identity.model)))


def _scrubbed(value: Any) -> Any:
    """Copy a value without paths of this machine: a path becomes its last part; fields of ``_LOCAL`` are left out."""
    if isinstance(value, dict):
        return {key: _scrubbed(one) for key, one in value.items() if key not in _LOCAL}
    if isinstance(value, list):
        return [_scrubbed(one) for one in value]
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        return _PATH.sub(lambda found: Path(found.group()).name if found.group() != "/" else "/", value)
    return value


FORMATS = {"lmms-eval": write}

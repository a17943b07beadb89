"""lmms-eval: the results and samples as its ``push_results_to_hub`` lays them out, ready for a data-set repository.

Paths of the machine they were made on are taken out: a sample names its item, and the pictures may not be passed on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from sepm_eval.results import Run
from sepm_eval.submit import About

_NEEDED = ("results", "configs", "versions", "n-samples", "config", "date")
_PATH = re.compile(r"(?:/|[A-Za-z]:\\)[^\s'\",)]*")
_LOCAL = ("journal", "dataset_kwargs", "process_docs", "resolved_cli_args", "model_backend")


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write a folder for each model and method, and a card that lists them.

    Raises:
        ValueError: a results file lacks what lmms-eval puts into it.
    """
    from sepm_eval.plan import slug

    written, configs = [], []
    for run in runs:
        results = json.loads(run.source.read_text(encoding="utf-8"))
        lacking = [key for key in _NEEDED if key not in results]
        if lacking:
            raise ValueError(f"{run.source} lacks {lacking}: it is no results file of lmms-eval 0.7")
        folder = out / slug(f"{run.model}_{run.variant}".replace("/", "__"))
        folder.mkdir(parents=True, exist_ok=True)
        stamp = run.source.name.removesuffix("_results.json")
        path = folder / f"{stamp}_{run.task}_results.json"
        path.write_text(json.dumps(_scrubbed(results), indent=2, ensure_ascii=False), encoding="utf-8")
        samples = folder / f"{stamp}_{run.task}_samples_{run.task}.jsonl"
        log = run.source.with_name(f"{stamp}_samples_{run.task}.jsonl")
        lines = (json.loads(line) for line in log.read_bytes().splitlines())
        told = (json.dumps({**line, "input_media": []}, ensure_ascii=False) for line in lines)
        samples.write_text("".join(f"{line}\n" for line in told), encoding="utf-8")
        written += [path, samples]
        configs.append({"config_name": f"{folder.name}__{run.task}", "data_files": f"{folder.name}/{samples.name}"})
    data = DatasetCardData(configs=configs, tags=["lmms-eval", "image-emotion"])
    text = "# Results of image-emotion tasks\n\nWritten by `sepm-eval submit --format lmms-eval`. No pictures."
    card = DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")
    card.save(out / "README.md")
    return [out / "README.md", *written]


def _scrubbed(value: Any) -> Any:
    """The same without paths of this machine."""
    if isinstance(value, dict):
        return {key: _scrubbed(one) for key, one in value.items() if key not in _LOCAL}
    if isinstance(value, list):
        return [_scrubbed(one) for one in value]
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        return _PATH.sub(lambda found: Path(found.group()).name if found.group() != "/" else "/", value)
    return value


FORMATS = {"lmms-eval": write}

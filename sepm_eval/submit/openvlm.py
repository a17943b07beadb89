"""OpenVLM Leaderboard: one JSON entry for each model, as its maintainers asked for in VLMEvalKit issue 288.

The leaderboard's own team runs a model again before it is listed, and its data sets do not include the image-emotion
sets yet. This file is what a pull request to VLMEvalKit would contain.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sepm_eval.model_wrappers import known_checkpoint
from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About, hub_id


class _Meta(BaseModel):
    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    method: tuple[str, str] = Field(serialization_alias="Method")
    parameters: str = Field(serialization_alias="Parameters")
    language_model: str = Field(serialization_alias="Language Model")
    vision_model: str = Field(serialization_alias="Vision Model")
    org: str = Field(serialization_alias="Org")
    time: str = Field(serialization_alias="Time", pattern=r"^\d{4}/\d{2}/\d{2}$")
    verified: str = Field(serialization_alias="Verified", pattern="^(Yes|No)$")
    open_source: str = Field(serialization_alias="OpenSource", pattern="^(Yes|No)$")


class _Scores(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float] = Field(init=False)

    overall: float = Field(serialization_alias="Overall", ge=0, le=100)


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write OpenVLM.json: an entry for each model and method, and for each set of items of a task if there are several.

    Raises:
        ValueError: no organization is named, or two runs would be the same entry.
    """
    if not about.organization:
        raise ValueError("the OpenVLM entry names who ran it: give --organization")
    entries: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for run in runs:
        name = f"{run.model} {run.variant}" + ("" if run.column == run.task else f", {run.column}")
        if owners.setdefault(name, run.identity.digest) != run.identity.digest or run.task in entries.get(name, {}):
            raise ValueError(f"two runs would be the entry {name!r} for {run.task}: submit them apart")
        if name not in entries:
            known = known_checkpoint(run.model)
            link = f"https://huggingface.co/{hub_id(run)}" if hub_id(run) else ""
            meta = _Meta(
                method=(name, link),
                parameters="" if known is None else known.parameters,
                language_model="" if known is None else known.language_model,
                vision_model="" if known is None else known.vision_model,
                org=about.organization,
                time=run.date.strftime("%Y/%m/%d"),
                verified="No",
                open_source="Yes" if link else "No",
            )
            entries[name] = {"META": meta.model_dump(by_alias=True)}
        entries[name][run.task] = _scores(run).model_dump(by_alias=True)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "OpenVLM.json"
    path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


def _scores(run: Run) -> _Scores:
    groups = defaultdict(list)
    for outcome in run.scored:
        groups[outcome.target].append(outcome.score.correct)
    by_label = {label: round(100 * sum(hits) / len(hits), 2) for label, hits in sorted(groups.items())}
    return _Scores(overall=round(100 * run.right / len(run.scored), 2), **by_label)


FORMATS = {"openvlm": write}

"""Every Eval Ever: for every run an aggregate record and a file with one line per item, in the datastore's layout.

Both are validated against the project's schemas, version 0.3.0, which lie in ``schemas/`` with their MIT licence.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema

from sepm_eval.report import statistics
from sepm_eval.runs.outcomes import Run
from sepm_eval.submit import About, hub_id, model_folder

SCHEMA_VERSION = "0.3.0"
_NAMESPACE = uuid.UUID("5d9f8f0e-7a5c-4c52-9f63-2a3c0a4f6a61")


def write(runs: Sequence[Run], out: Path, about: About) -> list[Path]:
    """Write data/BENCHMARK/DEVELOPER/MODEL/UUID.json and UUID_samples.jsonl for each run.

    Raises:
        ValueError: no organization is named, or a run is given twice.
        jsonschema.ValidationError: a record does not fit the schema.
    """
    if not about.organization:
        raise ValueError("Every Eval Ever records who ran an evaluation: give --organization")
    whole, single = _schema("eval.schema.json"), _schema("instance_level_eval.schema.json")
    written: list[Path] = []
    made: set[tuple[Path, str]] = set()
    for run in runs:
        model = hub_id(run) or f"unknown/{model_folder(run)}"
        name = _uuid(run)
        folder = Path("data") / run.task / model
        if (folder, name) in made:
            raise ValueError(f"{run.column}, {run.title} is given twice")
        made.add((folder, name))
        lines = list(_instances(run, model, name))
        for line in lines:
            jsonschema.validate(line, single)
        body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        record = _aggregate(run, model, name, about)
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": (folder / f"{name}_samples.jsonl").as_posix(),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(body).hexdigest(),
            "total_rows": len(lines),
        }
        jsonschema.validate(record, whole)
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / folder / f"{name}_samples.jsonl").write_bytes(body)
        path = out / folder / f"{name}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written += [path, out / folder / f"{name}_samples.jsonl"]
    return written


def _aggregate(run: Run, model: str, name: str, about: About) -> dict[str, Any]:
    """The aggregate record of a run, without the field that refers to the file with one line per item."""
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _evaluation_id(run, model, name),
        "evaluation_timestamp": run.date.isoformat(),
        "retrieved_timestamp": str(int(run.date.timestamp())),
        "source_metadata": {
            "source_name": "sepm-eval",
            "source_type": "evaluation_run",
            "source_organization_name": about.organization,
            "evaluator_relationship": "third_party",
        },
        "eval_library": {
            "name": "lmms_eval",
            "version": run.versions.get("lmms-eval", "unknown"),
            "additional_details": {"plugin": "sepm-eval", "plugin_version": version("sepm-eval")},
        },
        "model_info": {
            "name": f"{run.model} {run.variant}",
            "id": model,
            "additional_details": {
                "deployment_type": "self_deployed" if run.identity.revision else "unknown",
                "model_availability": "open_weights" if hub_id(run) else "unknown",
                "method": run.method,
                "settings": json.dumps(dict(run.settings), sort_keys=True),
                **{key: str(value) for key, value in _told(run).items()},
            },
        },
        "evaluation_results": [_accuracy(run, name, about)],
    }


def _accuracy(run: Run, name: str, about: About) -> dict[str, Any]:
    """The entry for the accuracy of a run: the value, its interval, and the items it is about."""
    source: dict[str, Any] = {"dataset_name": run.task, "source_type": "other"}
    if run.task in about.datasets:
        source = {"dataset_name": run.task, "source_type": "hf_dataset", "hf_repo": about.datasets[run.task]}
    interval = statistics.wilson(run.right, len(run.scored))
    return {
        "evaluation_result_id": f"{name}-accuracy",
        "evaluation_name": run.task,
        "source_data": {**source, "additional_details": {"item_list": run.item_list, "items": run.exam}},
        "metric_config": {
            "evaluation_description": _description(run),
            "metric_id": "accuracy",
            "metric_name": "Accuracy",
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": {
            "score": run.right / len(run.scored),
            "details": {"right": str(run.right), "unparsed": str(run.count("unparsed"))},
            "uncertainty": {
                "confidence_interval": {
                    "lower": interval.low,
                    "upper": interval.high,
                    "confidence_level": statistics.LEVEL,
                    "method": "wilson",
                },
                "num_samples": len(run.scored),
            },
        },
    }


def _description(run: Run) -> str:
    """What the questions are; where every item has its own, how many options they offer."""
    counts = sorted({len(outcome.options.names) for outcome in run.scored})
    if not all(outcome.own_question for outcome in run.scored):
        return f"{counts[0]}-way image emotion classification"
    told = f"{counts[0]} options" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} options"
    return f"multiple-choice questions about images, one for each item, with {told}"


def _instances(run: Run, model: str, name: str) -> list[dict[str, Any]]:
    """The lines of a run, one for each scored item; choices, reference and answer are the names that were shown."""
    lines = []
    for outcome in run.scored:
        shown = dict(zip(outcome.options.labels, outcome.options.names, strict=True))
        digest = hashlib.sha256((outcome.question + outcome.item + outcome.target).encode()).hexdigest()
        lines.append(
            {
                "schema_version": SCHEMA_VERSION,
                "evaluation_id": _evaluation_id(run, model, name),
                "model_id": model,
                "evaluation_name": run.task,
                "evaluation_result_id": f"{name}-accuracy",
                "sample_id": outcome.item,
                "sample_hash": digest,
                "interaction_type": "single_turn",
                "input": {
                    "raw": outcome.question,
                    "reference": [shown.get(outcome.target, outcome.target)],
                    "choices": list(outcome.options.names),
                },
                "output": {"raw": [outcome.output]},
                "messages": None,
                "answer_attribution": [
                    {
                        "turn_idx": 0,
                        "source": "output.raw",
                        "extracted_value": shown.get(outcome.score.label or "", ""),
                        "extraction_method": "sepm_eval.parsing.parse_answer",
                        "is_terminal": True,
                    }
                ],
                "evaluation": {"score": float(outcome.score.correct), "is_correct": outcome.score.correct},
                "metadata": {"status": outcome.score.status},
            }
        )
    return lines


def _evaluation_id(run: Run, model: str, name: str) -> str:
    return f"{run.task}/{model}/{name}"


def _uuid(run: Run) -> str:
    """An identifier in the style of UUID version 4, which is the same each time the run is written."""
    text = f"{run.identity.digest} {run.exam} {run.date.isoformat()}"
    return str(uuid.UUID(bytes=uuid.uuid5(_NAMESPACE, text).bytes, version=4))


def _told(run: Run) -> dict[str, Any]:
    """By name, what determines the answers besides checkpoint and method, and the digest of the whole identity."""
    fields = run.identity.fields()
    told = {
        name: value for name, value in fields.items() if name.partition(".")[0] in ("model", "polarity", "versions")
    }
    return {"entry": run.entry, "revision": run.identity.revision, **told, "identity": run.identity.digest}


def _schema(name: str) -> dict[str, Any]:
    return json.loads((resources.files("sepm_eval.submit") / "schemas" / name).read_text(encoding="utf-8"))


FORMATS = {"every-eval-ever": write}

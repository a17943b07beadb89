"""Checks of a plan before a model is loaded: whether data and checkpoints are there, and which versions they are."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sepm_eval.backbone.checkpoints import checkpoint_revision, local_folder
from sepm_eval.backbone.shards import weight_files
from sepm_eval.datasets import Benchmark, find_benchmarks
from sepm_eval.methods.needs import check_needs, other_weights
from sepm_eval.model_wrappers import backbone_options, default_checkpoint, supported
from sepm_eval.runs.disk_space import lack_of_disk
from sepm_eval.runs.exams import Exam, check_asked, exam_of
from sepm_eval.runs.plan import ModelPlan, Plan, parse_method


@dataclass
class Findings:
    """What the checks of a plan found.

    Attributes:
        exams: by task, what each task of ours asks.
        revisions: by the model's key, the revision of its checkpoint; "" if it is not known.
        tasks: by task, why it cannot be asked; only tasks with a problem.
        models: by the model's key, why the model cannot be loaded or asked; only models with a problem.
        methods: by the model's key and the method as written in the plan, why this method cannot be used on this model;
            only pairs with a problem.
        weights: by the method as written in the plan, what identifies the weights it loads besides the model's.
        disk: why the results do not fit on their disk; "" if they do.
    """

    exams: dict[str, Exam] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    methods: dict[tuple[str, str], str] = field(default_factory=dict)
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    disk: str = ""

    def problems(self) -> Iterator[str]:
        """Yield what cannot be done: one message for each task, model or method with a problem."""
        yield from self.tasks.values()
        yield from self.models.values()
        yield from dict.fromkeys(self.methods.values())  # a reason that does not depend on the model is given once


def look(plan: Plan, tasks: Sequence[str], out: Path) -> Findings:
    """Check the data of every task, the checkpoint of every model, its methods, and the disk space for the results.

    Args:
        plan: the plan.
        tasks: the plan's tasks, with groups replaced by their members.
        out: folder of the results.
    """
    findings = Findings()
    benchmarks = find_benchmarks()
    for task in tasks:
        if task in benchmarks:
            try:
                findings.exams[task] = exam_of(benchmarks[task], plan.limit)
                benchmarks[task].warn_if_fewer(findings.exams[task].available)
            except (OSError, ValueError) as error:
                findings.tasks[task] = f"{type(error).__name__}: {error}"
    for model in plan.models:
        try:
            findings.revisions[model.key] = _revision(model)
            supports = _supports(model)
        except (OSError, ValueError) as error:
            findings.models[model.key] = f"{type(error).__name__}: {error}"
            continue
        if why := _hindrance(model):
            findings.models[model.key] = f"{model.model} {model.args.get('pretrained', '')}: {why}"
            continue
        asked = [benchmarks[task] for task in tasks if task in benchmarks]
        for method in plan.methods_of(model):
            if why := _unfit(findings, method, model.model, supports, asked):
                findings.methods[model.key, method] = why
    answers = sum(exam.asked for exam in findings.exams.values())
    findings.disk = lack_of_disk(out, answers * sum(len(plan.methods_of(model)) or 1 for model in plan.models))
    return findings


def _revision(model: ModelPlan) -> str:
    """What identifies a model's weights; "" for lmms-eval's own models unless their checkpoint is a local folder."""
    named = str(model.args.get("pretrained", default_checkpoint(model.backbone) if model.ours else ""))
    if model.ours or (named and (Path(named).expanduser() / "config.json").is_file()):
        return checkpoint_revision(named)
    return ""


def _supports(model: ModelPlan) -> frozenset[str]:
    """What a model of ours will support; nothing is known of other models, which have no methods.

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or does not allow one of the options.
        FileNotFoundError: there is no such checkpoint.
    """
    if not model.ours:
        return frozenset()
    options = {key: value for key, value in model.args.items() if key in backbone_options(model.backbone)}
    named = model.args.get("pretrained")
    return supported(model.backbone, None if named is None else str(named), options)


def _unfit(findings: Findings, method: str, model: str, supports: frozenset[str], asked: Sequence[Benchmark]) -> str:
    """Why a method cannot be used on a model, as a sentence that names it; "" if it can. Its weights are noted.

    Args:
        findings: what was found so far; the weights that the method loads are added.
        method: the method as written in the plan.
        model: lmms-eval's name of the model.
        supports: what the model supports.
        asked: the benchmarks that the method is to answer.
    """
    made = parse_method(method)
    try:
        check_needs(made, supports, model, called=method)
        check_asked(method, made, asked)
    except ValueError as error:
        return str(error)
    try:
        findings.weights[method] = other_weights(made)
    except (OSError, ValueError) as error:
        return f"{method}: {error}"
    return ""


def _hindrance(model: ModelPlan) -> str:
    """Why a model of ours cannot be loaded on this machine with its arguments: memory, a package, or a device.

    Returns:
        A sentence; "" if no obstacle is known, if the model's files are not downloaded yet, or if it is not ours.
    """
    if not model.ours:
        return ""
    from sepm_eval.model_wrappers._placement import settle

    named = str(model.args.get("pretrained", default_checkpoint(model.backbone)))
    folder = local_folder(named)
    if not (folder / "config.json").is_file():
        return ""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    places = [place for place in (folder, *folder.iterdir()) if place.is_dir() and _has_weights(place)]
    wanted: dict[str, Any] = {
        key: value for key, value in model.args.items() if key in inspect.signature(settle).parameters
    }
    try:
        settle(places, config, **wanted)
    except (ValueError, MemoryError) as error:
        return str(error)
    return ""


def _has_weights(folder: Path) -> bool:
    try:
        return bool(weight_files(folder))
    except (OSError, ValueError):
        return False

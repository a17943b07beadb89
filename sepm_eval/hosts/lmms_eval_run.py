"""A whole plan through lmms-eval's own evaluation: every model is loaded once and asked for all methods at a time.

lmms-eval counts and logs each method by itself, in its usual files; so anything that reads lmms-eval's results reads
these. What it does not do is done here: say what is missing at the end, and go on where a run was interrupted.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator, InitProcessGroupKwargs
from lmms_eval import models
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager
from loguru import logger as eval_logger

from sepm_eval import environment
from sepm_eval.datasets import list_settings
from sepm_eval.files import remove_leftovers
from sepm_eval.hosts._loading import parse_polarity
from sepm_eval.hosts.lmms_eval_model import ChatModel, own_device, place, shard
from sepm_eval.hosts.lmms_eval_plugin import add_tasks
from sepm_eval.hosts.lmms_eval_results import read_results, write_results
from sepm_eval.model_wrappers import backbone_options, load_backbone
from sepm_eval.plan import ModelPlan, Plan, parse_method, slug, split_method
from sepm_eval.results import Run
from sepm_eval.runner import Runner, answer_variants
from sepm_eval.shared import Shared

PLAN, ENVIRONMENT = "plan.yaml", "environment.json"
_HOURS_BETWEEN_RANKS = 24


@dataclass(frozen=True)
class Part:
    """One model's answers to one task with one method: what lmms-eval would call a run.

    Attributes:
        model: the model's plan.
        method: as written in the plan; "" for a model that is not ours.
        task: the task.
        folder: where its results are written.
        journal: the method's journal; None for a model that is not ours.
    """

    model: ModelPlan
    method: str
    task: str
    folder: Path
    journal: Path | None

    def __str__(self) -> str:
        return f"{self.model.model} {self.model.args.get('pretrained', '')} {self.method}, {self.task}"

    @property
    def arguments(self) -> str:
        """What --model_args would have been."""
        name, options = split_method(self.method) if self.method else ("", {})
        mine = {"method": name, **options, "journal": self.journal} if name else {}
        return ",".join(f"{key}={value}" for key, value in {**self.model.args, **mine}.items())

    def result(self, limit: int | None) -> Run | None:
        """Its finished run, if there is one in which nothing is missing or failed."""
        run = read_results(self.folder)
        if run is None:
            return None
        wanted = run.available if limit is None else min(limit, run.available)
        return run if not run.missing and not run.count("failed") and run.asked == wanted else None


class Variants(ChatModel):
    """Several methods on one backbone as one lmms-eval model: the first call answers for all, picture by picture.

    Attributes:
        runners: one a method, on one ``Shared`` backbone.
        active: which of them are to answer; set before the first call for a task.
        current: the one whose answers lmms-eval is given.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        super().__init__()
        self._rank, self._world_size = place()
        self.runners = list(runners)
        self.active = list(range(len(runners)))
        self.current = 0
        self._outputs: dict[tuple[str, int], dict[int, str]] = {}

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer all requests, in their order."""
        questions = self._questions(requests)
        new = {(one.task, one.doc_id): one for one in questions if (one.task, one.doc_id) not in self._outputs}
        if new:
            chosen, asked, quiet = [self.runners[i] for i in self.active], list(new.values()), self._rank > 0
            if len(chosen) == 1:
                found = [chosen[0].answer(asked, quiet=quiet)]
            else:
                found = answer_variants(chosen, asked, quiet=quiet)
            for place_of, *texts in zip(new, *found, strict=True):
                self._outputs[place_of] = dict(zip(self.active, texts, strict=True))
        return [self._outputs[one.task, one.doc_id][self.current] for one in questions]

    def start(self, active: Sequence[int]) -> None:
        """Begin with a task, for some of the methods."""
        self.active, self._outputs = list(active), {}

    def close(self) -> None:
        """Let go of the journals."""
        for runner in self.runners:
            runner.journal.close()


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        done: the finished runs.
        missing: (part, why) of those that are not.
    """

    done: list[Run] = field(default_factory=list)
    missing: list[tuple[Part, str]] = field(default_factory=list)


def run_plan(plan: Plan, out: Path) -> Outcome:
    """Run what of a plan is not done yet.

    Args:
        plan: what to do.
        out: folder of its results; one begun earlier goes on.

    Raises:
        ValueError: the folder holds another plan's results or was begun with other versions, or a task is unknown.
    """
    eval_logger.remove()
    eval_logger.add(sys.stderr, level="WARNING")
    rank, world_size = place()
    if world_size > 1:
        wait = timedelta(hours=_HOURS_BETWEEN_RANKS)
        Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=wait)])
    add_tasks()
    manager = TaskManager("WARNING")
    tasks = list(_expand(plan.tasks, manager))
    if rank == 0:
        _begin(plan, out)
        remove_leftovers(out)
    _wait(world_size)
    outcome = Outcome()
    for model in plan.models:
        _run_model(plan, model, tasks, out, manager, outcome)
    return outcome


def parts(plan: Plan, model: ModelPlan, tasks: Sequence[str], out: Path) -> dict[str, list[Part]]:
    """The parts of a model's work by task, in the order of its methods."""
    name = slug(f"{model.model}_{Path(str(model.args.get('pretrained', 'default'))).name}")
    found = {}
    for task in tasks:
        found[task] = [
            Part(
                model,
                method,
                task,
                out / "results" / name / (slug(method) or "as-it-is") / task,
                out / "journals" / f"{name}_{slug(method)}.jsonl" if method else None,
            )
            for method in plan.methods_of(model) or ("",)
        ]
    return found


def _run_model(
    plan: Plan, model: ModelPlan, tasks: Sequence[str], out: Path, manager: TaskManager, outcome: Outcome
) -> None:
    """All tasks of one model. A fault ends the task it is met in, not the run; several processes would lose step."""
    loaded: lmms | None = None
    fault = ""
    try:
        for group in parts(plan, model, tasks, out).values():
            before = [part.result(plan.limit) for part in group]
            todo = _agree([index for index, run in enumerate(before) if run is None])
            if todo and (loaded or not fault):  # a model that could not be loaded is not tried for every task
                fault = ""
                try:
                    loaded = loaded or _load(plan, model, out)
                    if isinstance(loaded, Variants):
                        loaded.start(todo)
                    for index in todo:
                        # the first method's call answers for all; lmms-eval's bars for the others say nothing
                        quiet = redirect_stderr(io.StringIO()) if index != todo[0] else nullcontext()
                        with quiet:
                            _evaluate(loaded, group[index], index, plan.limit, manager)
                except Exception as error:
                    if place()[1] > 1:
                        raise
                    fault = f"{type(error).__name__}: {error}"
            if place()[0] == 0:
                for part, run in zip(group, before, strict=True):
                    _note(part, run or part.result(plan.limit), fault, outcome)
    finally:
        if isinstance(loaded, Variants):
            loaded.close()
        del loaded
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _note(part: Part, run: Run | None, fault: str, outcome: Outcome) -> None:
    """Count a part as done or as missing."""
    if run is not None:
        outcome.done.append(run)
        return
    why = fault or "lmms-eval wrote no results"
    if found := read_results(part.folder):
        why = f"{found.count('failed')} questions failed, {found.missing} have no answer"
    outcome.missing.append((part, why))


def _agree(todo: list[int]) -> list[int]:
    """What the first process found to do, for all: others may not see its files yet."""
    if place()[1] == 1:
        return todo
    box = [todo]
    torch.distributed.broadcast_object_list(box)
    return box[0]


def _load(plan: Plan, model: ModelPlan, out: Path) -> lmms:
    if not model.ours:
        arguments = ",".join(f"{key}={value}" for key, value in model.args.items())
        more = {"batch_size": model.batch_size}
        return models.get_model(model.model).create_from_arg_string(arguments, more)
    own = backbone_options(model.backbone)
    unknown = sorted(model.args.keys() - {"pretrained", "device", "dtype", "polarity", *own})
    if unknown:
        raise ValueError(
            f"unknown args {unknown} of {model.model}: it takes pretrained, device, dtype, polarity, {', '.join(own)}"
        )
    given = {key: str(value) for key, value in model.args.items() if key in ("pretrained", *own)}
    backbone = load_backbone(
        model.backbone,
        device=own_device(str(model.args.get("device", "auto"))),
        dtype=str(model.args.get("dtype", "auto")),
        **given,
    )
    methods = plan.methods_of(model)
    shared = backbone if len(methods) == 1 else Shared(backbone)
    work = parts(plan, model, plan.tasks[:1], out)[plan.tasks[0]]
    return Variants(
        [
            Runner(
                backbone_name=model.backbone,
                backbone=shared,
                method_name=split_method(text)[0],
                method=parse_method(text),
                batch_size=model.batch_size,
                journal_path=part.journal,
                polarity=parse_polarity(str(model.args.get("polarity", ""))),
                shard=shard(),
            )
            for text, part in zip(methods, work, strict=True)
        ]
    )


def _evaluate(loaded: lmms, part: Part, index: int, limit: int | None, manager: TaskManager) -> None:
    """Let lmms-eval ask, count and log one part."""
    if isinstance(loaded, Variants):
        loaded.current = index
    tracker = EvaluationTracker(output_path=str(part.folder))
    now = datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S")
    results: dict[str, Any] | None = simple_evaluate(
        model=loaded,
        model_args=part.arguments,
        tasks=[part.task],
        batch_size=part.model.batch_size,
        limit=limit,
        log_samples=True,
        evaluation_tracker=tracker,
        task_manager=manager,
        verbosity="WARNING",
        datetime_str=now,
        distributed_executor_backend="torchrun" if place()[1] > 1 else "accelerate",
    )
    if place()[0] == 0 and results is not None:
        results["config"]["model"] = part.model.model
        tracker.general_config_tracker.model_source = part.model.model  # it holds the loaded model, which is no text
        write_results(tracker, results, part.folder, now)
    _wait(place()[1])


def _begin(plan: Plan, out: Path) -> None:
    """Write down plan and environment, or check that the folder was begun with the same."""
    out.mkdir(parents=True, exist_ok=True)
    told = yaml.safe_dump(plan.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    now: dict[str, Any] = {"versions": environment.versions(), "commit": environment.commit()}
    now["item_lists"] = list_settings()
    started = {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "devices": environment.devices(),
        "processes": place()[1],
        "command": ["sepm-eval", *sys.argv[1:]],
    }
    before: dict[str, Any] = {"starts": []}
    if (out / PLAN).exists():
        decisive, before = _begun(out)
        if decisive != _decisive(yaml.safe_load(told)):
            raise ValueError(f"{out} holds the results of another plan ({out / PLAN}): name another folder with --out")
        odd = [key for key, value in now.items() if before.get(key) != value]
        if odd:
            raise ValueError(
                f"{out} was begun with other {' and '.join(odd)} ({', '.join(f'{k}: {before.get(k)}' for k in odd)}; "
                f"now {', '.join(f'{k}: {now[k]}' for k in odd)}): name another folder with --out"
            )
    _replace(out / ENVIRONMENT, json.dumps({**now, "starts": [*before["starts"], started]}, indent=1) + "\n")
    _replace(out / PLAN, told)  # last: a folder that has a plan has both


def _begun(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides the answers of the plan that a folder was begun with, and its environment.

    Raises:
        ValueError: the files are damaged.
    """
    try:
        plan = _decisive(yaml.safe_load((out / PLAN).read_text(encoding="utf-8")))
        before = json.loads((out / ENVIRONMENT).read_text(encoding="utf-8"))
        list(before["starts"])
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ValueError(
            f"{out} was begun, but its {PLAN} or {ENVIRONMENT} is damaged ({error!r}): name another folder with --out"
        ) from error
    return plan, before


def _decisive(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan without what no answer depends on: how many questions are read at once, and where."""
    models = [
        {
            **{key: value for key, value in model.items() if key not in ("batch_size", "args")},
            "args": {key: value for key, value in model.get("args", {}).items() if key not in ("device", "device_map")},
        }
        for model in plan["models"]
    ]
    return {**plan, "models": models}


def _replace(path: Path, text: str) -> None:
    """Write a file in one step, so that an interruption leaves the old one or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _expand(tasks: Sequence[str], manager: TaskManager) -> Iterator[str]:
    """Tasks, with groups replaced by their members.

    Raises:
        ValueError: lmms-eval knows no such task.
    """
    for name in tasks:
        if name not in manager.all_tasks:
            ours = sorted(name for name in manager.all_subtasks if "sepm_eval" in _home(manager, name))
            raise ValueError(f"lmms-eval knows no task {name!r}; the image-emotion tasks are {ours}")
        if manager._name_is_group(name):
            yield from _expand(manager._get_config(name)["task"], manager)
        else:
            yield name


def _home(manager: TaskManager, task: str) -> str:
    from sepm_eval.hosts.lmms_eval_plugin import TASK_FOLDER

    return "sepm_eval" if str(manager.task_index[task]["yaml_path"]).startswith(str(TASK_FOLDER)) else ""


def _wait(world_size: int) -> None:
    if world_size > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()

"""Runs a whole plan through lmms-eval's own evaluation: every model is loaded once and answers for all its methods.

lmms-eval scores and logs each method separately, in its usual files, so any program that reads lmms-eval's results can
read these. This module adds what lmms-eval does not do: it checks data and checkpoints before a model is loaded,
reports at the end what is missing, and continues an interrupted run.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.tasks import TaskManager
from loguru import logger as eval_logger

from sepm_eval.backbone.memory import release
from sepm_eval.files import remove_leftovers
from sepm_eval.hosts.lmms_eval import processes
from sepm_eval.hosts.lmms_eval.folder import Part, begin, held, parts
from sepm_eval.hosts.lmms_eval.plugin import add_tasks
from sepm_eval.hosts.lmms_eval.results import write_results
from sepm_eval.hosts.lmms_eval.variants import Variants, load, stock_identity
from sepm_eval.runs.arranging import arranged
from sepm_eval.runs.exams import Exam
from sepm_eval.runs.identity import answering
from sepm_eval.runs.plan import ModelPlan, Plan
from sepm_eval.runs.preflight import Findings, look
from sepm_eval.runs.progress import PlanBar
from sepm_eval.runs.results import Run


@dataclass
class PlanResult:
    """The result of running a plan.

    Attributes:
        done: the finished runs.
        partial: the runs of missing parts that were asked now, in which questions failed or have no answer.
        missing: (part, reason) for each part that is not finished.
        continues: whether the same command may finish a missing part; it cannot where the reason was known beforehand.
    """

    done: list[Run] = field(default_factory=list)
    partial: list[Run] = field(default_factory=list)
    missing: list[tuple[Part, str]] = field(default_factory=list)
    continues: bool = False


def run_plan(plan: Plan, out: Path) -> PlanResult:
    """Run those parts of a plan that are not done yet.

    Args:
        plan: the plan.
        out: folder of the results; a plan that was begun there earlier is continued.

    Raises:
        ValueError: a task is unknown, the disk has no space for the results, another run is writing into the folder, or
            it was begun with another plan, versions, commit, item lists or weights (see ``folder.begin``).
    """
    eval_logger.remove()
    eval_logger.add(sys.stderr, level="WARNING")
    processes.join()
    add_tasks()
    manager = TaskManager("WARNING", include_defaults=False)  # only our tasks: lmms-eval's 1,600 files take 5 s
    if not set(plan.tasks) <= set(manager.all_tasks):
        manager = TaskManager("WARNING")
    tasks = list(_expand(plan.tasks, manager))
    findings = look(plan, tasks, out)
    if findings.disk:
        raise ValueError(findings.disk)
    with held(out) if processes.rank() == 0 else nullcontext():
        return _run(plan, out, tasks, findings, manager)


def _run(plan: Plan, out: Path, tasks: Sequence[str], findings: Findings, manager: TaskManager) -> PlanResult:
    """Run those parts of a checked plan that are not done yet, in a folder that no other run is writing into."""
    if processes.rank() == 0:
        begin(plan, out, findings.revisions, findings.exams)
        remove_leftovers(out)
        for problem in findings.problems():
            print(f"sepm-eval run: {problem}", file=sys.stderr)
    processes.wait()
    result = PlanResult()
    with closing(PlanBar(quiet=processes.rank() > 0)) as bar:
        bar.expect(len(plan.models) * sum(_share(findings, task) for task in tasks))
        for model in plan.models:
            _ModelRun(plan, model, parts(plan, model, tasks, out), findings, manager, result, bar).do()
    shown = arranged([*result.done, *result.partial])  # together, so that no two of them have one name
    result.done = [run for run in shown if run.answered_all]
    result.partial = [run for run in shown if not run.answered_all]
    return result


@dataclass
class _ModelRun:
    """All parts of one model.

    An exception ends only the task in which it is raised or, during loading, the model. With several processes it ends
    the run, because they would no longer be synchronised. A method that cannot be used on the model is left out before
    loading, so that the others are run.

    Attributes:
        plan: the plan.
        model: the model.
        work: the model's parts by task; methods that cannot be used are left out of it.
        findings: results of the checks made before any model was loaded.
        manager: lmms-eval's task manager.
        result: the result of the plan, to which finished and missing parts are added.
        bar: the progress bar of the plan.
        loaded: the loaded model; None before loading.
    """

    plan: Plan
    model: ModelPlan
    work: Mapping[str, Sequence[Part]]
    findings: Findings
    manager: TaskManager
    result: PlanResult
    bar: PlanBar
    loaded: lmms | None = None

    def do(self) -> None:
        """Ask the parts that are not done, and add every part to the finished or to the missing ones."""
        self._leave_out()
        todo = processes.agreed({task: self._todo(group) for task, group in self.work.items()})
        fault = ""
        try:
            if any(todo.values()):
                fault = self._load()
                todo = processes.agreed({task: self._todo(group) for task, group in self.work.items()})
            for task, group in self.work.items():
                if fault or not todo[task]:
                    self.bar.expect(-_share(self.findings, task))
                why = fault or self._ask(task, todo[task])
                for part in group:
                    self._note(part, why)
        finally:
            if isinstance(self.loaded, Variants):
                self.loaded.close()
            self.loaded = None
            release()

    def _leave_out(self) -> None:
        """Take out of the work the methods that cannot be used on this model, and add their parts to the others."""
        refused = {method for key, method in self.findings.methods if key == self.model.key}
        for group in self.work.values():
            for part in group:
                if part.method in refused:
                    self._note(part, "")
        self.work = {task: [part for part in group if part.method not in refused] for task, group in self.work.items()}

    def _todo(self, group: Sequence[Part]) -> list[int]:
        """Indices of a task's parts that are to be asked; results that do not fit the plan are set aside."""
        todo = []
        for index, part in enumerate(group):
            if self._hopeless(part):
                continue
            run, flaw = self._look_at(part)
            if run is None or flaw:
                todo.append(index)
            if flaw and processes.rank() == 0:
                part.set_aside(flaw)
        return todo

    def _look_at(self, part: Part) -> tuple[Run | None, str]:
        """The run in a part's folder, if any, and why it does not count; "" if it counts or if there is none."""
        try:
            run = part.find()
        except ValueError as error:
            return None, str(error)
        if run is None:
            return None, ""
        runners = {id(r): r for r in self.loaded.runners} if isinstance(self.loaded, Variants) else {}
        identity = next((runner.identity for runner in runners.values()), None)
        flaw = part.flaw(
            *(run, self._exam(part.task), self.plan.limit, self.findings.revisions.get(self.model.key, ""), identity),
            self.findings.weights.get(part.method),
        )
        return run, flaw

    def _exam(self, task: str) -> Exam | None:
        return self.findings.exams.get(task)

    def _hopeless(self, part: Part) -> str:
        """Why a part cannot be asked at all, as it was known before loading; "" if it can."""
        key, found = self.model.key, self.findings
        return found.models.get(key) or found.methods.get((key, part.method)) or found.tasks.get(part.task, "")

    def _load(self) -> str:
        """Load the model; return why it could not be loaded, or ""."""
        try:
            self.bar.name(f"loading {self.model.model}")
            self.loaded = load(self.model, next(iter(self.work.values())), self.bar)
        except Exception as error:
            if processes.world_size() > 1:
                raise
            return f"{type(error).__name__}: {error}"
        return ""

    def _ask(self, task: str, todo: Sequence[int]) -> str:
        """Ask those of a task's parts that are to be asked; return what went wrong, or ""."""
        if not todo:
            return ""
        assert self.loaded is not None
        group = self.work[task]
        self.bar.name(f"{self.model.model}, {task}")
        try:
            if isinstance(self.loaded, Variants):
                self.loaded.start(todo)
            for index in todo:
                # The first method's call answers for all methods, so lmms-eval's bars for the others are hidden.
                quiet = redirect_stderr(io.StringIO()) if index != todo[0] else nullcontext()
                with quiet:
                    self._evaluate(group[index], index)
            if not isinstance(self.loaded, Variants):
                self.bar.advance(_share(self.findings, task))
        except Exception as error:
            if processes.world_size() > 1:
                raise
            return f"{type(error).__name__}: {error}"
        return ""

    def _note(self, part: Part, fault: str) -> None:
        """Add a part to the finished or to the missing ones; only the first process has the result."""
        if processes.rank() > 0:
            return
        run, flaw = self._look_at(part)
        if run is not None and not flaw:
            self.result.done.append(run)
            return
        known = self._hopeless(part)
        if run is not None and not known and not run.answered_all:
            self.result.partial.append(run)
        self.result.continues |= not known
        self.result.missing.append((part, known or flaw or fault or "lmms-eval wrote no results"))

    def _evaluate(self, part: Part, index: int) -> None:
        """Let lmms-eval ask, score and log one part."""
        loaded = self.loaded
        if isinstance(loaded, Variants):
            loaded.current = index
        else:
            answering.start(stock_identity(self.model, self.findings.revisions.get(self.model.key, "")))
        tracker = EvaluationTracker(output_path=str(part.folder))
        now = datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S")
        results: dict[str, Any] | None = simple_evaluate(
            model=loaded,
            model_args=part.arguments,
            tasks=[part.task],
            batch_size=part.model.batch_size,
            limit=self.plan.limit,
            log_samples=True,
            evaluation_tracker=tracker,
            task_manager=self.manager,
            verbosity="WARNING",
            datetime_str=now,
            distributed_executor_backend="torchrun" if processes.world_size() > 1 else "accelerate",
        )
        if processes.rank() == 0 and results is not None:
            results["config"]["model"] = part.model.model
            tracker.general_config_tracker.model_source = (
                part.model.model
            )  # otherwise it would hold the loaded model, which is not a text
            write_results(tracker, results, part.folder, now)
        processes.wait()


def _share(findings: Findings, task: str) -> int:
    """Number of a task's questions that this process is to ask; 0 if it is not known in advance."""
    exam = findings.exams.get(task)
    return 0 if exam is None else exam.asked // processes.world_size()


def _expand(tasks: Sequence[str], manager: TaskManager) -> Iterator[str]:
    """Yield the names of tasks, with groups replaced by their members.

    Raises:
        ValueError: lmms-eval does not know a task.
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
    from sepm_eval.hosts.lmms_eval.plugin import TASK_FOLDER

    return "sepm_eval" if str(manager.task_index[task]["yaml_path"]).startswith(str(TASK_FOLDER)) else ""

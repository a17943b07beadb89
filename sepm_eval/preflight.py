"""What can be known of a plan before a model is loaded: whether data and checkpoints are there, and which they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sepm_eval.checkpoints import checkpoint_revision
from sepm_eval.datasets import find_benchmarks
from sepm_eval.exams import Exam, exam_of
from sepm_eval.model_wrappers import default_checkpoint
from sepm_eval.plan import ModelPlan, Plan


@dataclass
class Findings:
    """What was found.

    Attributes:
        exams: what each task of ours asks, by task.
        revisions: of each model's checkpoint, by the model's key; "" where it is not known.
        tasks: why a task cannot be asked, by task.
        models: why a model cannot be loaded, by the model's key.
    """

    exams: dict[str, Exam] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """What cannot be done, one sentence each."""
        yield from self.tasks.values()
        yield from self.models.values()


def look(plan: Plan, tasks: Sequence[str]) -> Findings:
    """Look at the data of every task and the checkpoint of every model.

    Args:
        plan: the plan.
        tasks: its tasks, with groups replaced by their members.
    """
    found = Findings()
    benchmarks = find_benchmarks()
    for task in tasks:
        if task in benchmarks:
            try:
                found.exams[task] = exam_of(benchmarks[task], plan.limit)
            except (OSError, ValueError) as error:
                found.tasks[task] = f"{type(error).__name__}: {error}"
    for model in plan.models:
        try:
            found.revisions[model.key] = _revision(model)
        except (OSError, ValueError) as error:
            found.models[model.key] = f"{type(error).__name__}: {error}"
    return found


def _revision(model: ModelPlan) -> str:
    """What identifies a model's weights; "" of a stock model whose checkpoint is not a folder with a config.json."""
    named = str(model.args.get("pretrained", default_checkpoint(model.backbone) if model.ours else ""))
    if model.ours or (named and (Path(named).expanduser() / "config.json").is_file()):
        return checkpoint_revision(named)
    return ""

"""Measures the time and memory that a plan takes on this device, by asking a few questions of each task."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL.Image import Image

from sepm_eval.backbone.interface import Backbone
from sepm_eval.backbone.memory import release, used_memory
from sepm_eval.backbone.shared import Shared
from sepm_eval.datasets import Benchmark, Item, find_benchmarks
from sepm_eval.hosts.loading import Settings, read_settings
from sepm_eval.images import open_image
from sepm_eval.methods.common import MAX_NEW_TOKENS
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.plan import ModelPlan, Plan, parse_method, split_method
from sepm_eval.runs.variants import answer_variants


@dataclass(frozen=True)
class Measured:
    """The measurement of one task of a plan with one model and all its methods.

    Attributes:
        model: entry and checkpoint of the model.
        task: the task.
        questions: number of questions that the plan asks; None if it is not known.
        seconds: seconds that one question takes with all methods together; None if it was not measured.
        memory: bytes of memory, as ``used_memory`` counts them; None if it was not measured.
        why: the reason why nothing was measured; "" if it was.
    """

    model: str
    task: str
    questions: int | None
    seconds: float | None = None
    memory: int | None = None
    why: str = ""


def measure(plan: Plan, count: int) -> Iterator[Measured]:
    """Load each model of a plan and time its methods on a few pictures of each task; the answers are not kept.

    Args:
        plan: the plan.
        count: number of pictures of each task; at least a whole batch is asked. One batch is asked before the timing
            starts, as a warm-up.

    Yields:
        A measurement for each model and task, in the plan's order.

    Raises:
        ValueError: a model cannot be loaded as the plan says; see ``Settings.load``.
        FileNotFoundError: there is no such checkpoint.
    """
    benchmarks = find_benchmarks()
    for model in plan.models:
        if not model.ours:
            for task in plan.tasks:
                yield Measured(model.model, task, None, why="not one of our models: time it in lmms-eval itself")
            continue
        settings = read_settings(model.model, model.backbone, model.args)
        name = f"{model.model} {settings.pretrained}"
        backbone = settings.load(*map(parse_method, plan.methods_of(model)))
        for task in plan.tasks:
            try:
                items = [] if task not in benchmarks else benchmarks[task].items()
            except (OSError, ValueError) as error:
                yield Measured(name, task, None, why=str(error))
                continue
            if not items:
                yield Measured(name, task, None, why="not one of our benchmarks")
                continue
            asked = len(items) if plan.limit is None else min(plan.limit, len(items))
            seconds = _seconds(plan, model, settings, backbone, benchmarks[task], _spread(items, count))
            yield Measured(name, task, asked, seconds, used_memory())
        del backbone
        release()


def _seconds(
    plan: Plan, model: ModelPlan, settings: Settings, backbone: Backbone, benchmark: Benchmark, items: Sequence[Item]
) -> float:
    """Seconds that one question takes with all methods of a model together."""
    asked = [
        Asked(benchmark.name, at, partial(_content, benchmark, item), MAX_NEW_TOKENS, options=benchmark.options)
        for at, item in enumerate(items)
    ]
    while len(asked) < model.batch_size:  # repeat the pictures if there are fewer than a batch
        asked += asked[: model.batch_size - len(asked)]
    shared = Shared(backbone)
    with TemporaryDirectory() as folder:
        runners = [
            settings.runner(
                shared,
                (split_method(text)[0], parse_method(text)),
                batch_size=model.batch_size,
                journal=Path(folder) / f"{at}.jsonl",
                resume=False,
            )
            for at, text in enumerate(plan.methods_of(model))
        ]
        try:
            answer_variants(runners, asked[: model.batch_size], quiet=True)
            start = time.perf_counter()
            answer_variants(runners, asked, quiet=True)
            return (time.perf_counter() - start) / len(asked)
        finally:
            for runner in runners:
                runner.journal.close()


def _content(benchmark: Benchmark, item: Item) -> tuple[str, list[Image]]:
    return benchmark.question(), [open_image(item.path)]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """``count`` items at even distances in a list; all of them if the list has fewer."""
    return [items[len(items) * at // count] for at in range(min(count, len(items)))]

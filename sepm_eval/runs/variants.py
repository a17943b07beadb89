"""Several variants (methods or options) on one backbone, batch by batch, so that they share the model's work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from PIL.Image import Image

from sepm_eval.backbone.shared import Shared
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.loading_ahead import Loaded, load, loaders
from sepm_eval.runs.progress import PlanBar, progress
from sepm_eval.runs.runner import Runner


def answer_variants(
    runners: Sequence[Runner],
    questions: Sequence[Asked],
    *,
    quiet: bool = False,
    plan_bar: PlanBar | None = None,
) -> list[list[str]]:
    """Answer questions with several variants; for each runner the outputs are those of its own ``answer``.

    Every variant writes its own journal, with the same records as in a run on its own; so a harness that runs the
    variant later finds its answers there.

    Args:
        runners: one runner for each variant, all on one ``Shared`` backbone and with the same batch size.
        questions: see ``Runner.answer``.
        quiet: show no progress.
        plan_bar: the plan's progress bar, used instead of a bar for this call.

    Returns:
        For each runner, the output for each question in order.

    Raises:
        ValueError: the runners do not share a backbone or a batch size.
    """
    shared, size = _common(runners)
    outputs: list[list[str]] = [[] for _ in runners]
    with (
        progress(len(questions), f"{len(runners)} variants on {shared.name}", quiet, plan_bar) as show,
        loaders(size) as pool,
    ):
        later = _being_loaded(questions[:size], shared, pool)
        for start in range(0, len(questions), size):
            part, later = later, _being_loaded(questions[start + size : start + 2 * size], shared, pool)
            for texts, runner in zip(outputs, runners, strict=True):
                texts += runner.answer(part, quiet=True, more_to_come=start + size < len(questions))
            shared.forget()
            best = max((runner.tally for runner in runners), key=lambda tally: tally.right)
            show(start + len(part), f"best {best}" if best.scored else "")
    return outputs


def _common(runners: Sequence[Runner]) -> tuple[Shared, int]:
    """The backbone and the batch size that all runners have in common.

    Raises:
        ValueError: the runners differ in one of them, or the backbone is not a ``Shared`` one.
    """
    shared, sizes = runners[0].backbone, {runner.batch_size for runner in runners}
    if not isinstance(shared, Shared) or any(runner.backbone is not shared for runner in runners):
        raise ValueError("variants share readings through one Shared(backbone); give it to every runner")
    if len(sizes) > 1:
        raise ValueError(f"variants share batches: batch sizes {sorted(sizes)} differ")
    return shared, sizes.pop()


def _being_loaded(questions: Sequence[Asked], shared: Shared, pool: ThreadPoolExecutor) -> list[Asked]:
    """Copies of the questions whose loading the pool begins now; each question is loaded once for all variants."""
    return [dataclasses.replace(asked, load=partial(_content, pool.submit(load, asked, shared))) for asked in questions]


def _content(coming: Future[Loaded | Exception]) -> tuple[str, Sequence[Image]]:
    """Wait for a question that is being loaded and return its text and pictures.

    If loading failed, its exception is raised again for every variant.
    """
    loaded = coming.result()
    if isinstance(loaded, Exception):
        raise loaded
    return loaded.text, loaded.images

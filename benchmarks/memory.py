"""Whether models fit a card of 24 GB, estimated without one: peak memory at full size in bf16, batch 8.

The models have full width but three and four decoder layers, and run on the CPU; torch's allocator counts the bytes of
tensors. Every call of the backbone (pictures, stage 1, stage 2) has a peak of its own. All layers are alike, so what
the fourth layer adds to a peak is added once for every further layer of the full model; the largest peak counts. Not
counted are the CUDA context (some 0.5 GB), workspaces of kernels and fragmentation; a CPU's kernels may hold more or
less than a GPU's. ``gpu.py`` measures a real GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from functools import wraps
from itertools import accumulate
from typing import Any

import torch
from models import FULL, build, demo_questions
from table import Figure, show
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from sepm_eval import Question, get_method
from sepm_eval.model_wrappers._image_first import ImageFirst

CARD = 24e9  # bytes of the paper's cards, RTX 4090
FEW = (3, 4)  # decoder layers; with fewer the first layer's temporaries are part of the peak
METHODS = {"sepm": {}, "sepm reuse": {"reuse": True}}
PHASE = "phase: "


def weights(backbone: ImageFirst) -> int:
    """Bytes of all parameters."""
    language = backbone._language_model
    parts = (*vars(backbone).values(), language.decoder, language.head)
    modules = [part for part in parts if isinstance(part, nn.Module)]
    each = {p.data_ptr(): p.numel() * p.element_size() for module in modules for p in module.parameters()}
    return sum(each.values())


def marked(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call so that its time span shows in a profile."""

    @wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        with record_function(f"{PHASE}{call.__name__}"):
            return call(*args, **kwargs)

    return run


def history(task: Callable[[], object]) -> tuple[list[Any], list[tuple[int, int]]]:
    """The events of a task, and (nanosecond, bytes of tensors held in addition to those before it) at every change.

    The bytes are counted by torch's allocator. The memory of the process would say little, since freed memory is not
    returned to the system at once.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        task()
    events = sorted(record.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    changes = [event for event in events if event.name() == "[memory]"]
    sizes = accumulate(event.nbytes() for event in changes)
    return events, [(event.start_ns(), size) for event, size in zip(changes, sizes, strict=True)]


def peaks(task: Callable[[], object]) -> list[int]:
    """The most bytes of new tensors held during each marked call, in the order of the calls."""
    events, held = history(task)
    phases = [(event.start_ns(), event.end_ns()) for event in events if event.name().startswith(PHASE)]
    return [max(size for when, size in held if begin <= when <= end) for begin, end in phases]


def measure(batch: int, models: dict[str, Any] | None = None, dtype: torch.dtype = torch.bfloat16) -> list[Figure]:
    """Measure weights and peak of each model and method, in GB."""
    questions: list[Question] = demo_questions(batch)
    figures = []
    for family, geometry in (models or FULL).items():
        held: dict[str, list[list[float]]] = {}
        for layers in FEW:
            smaller = dataclasses.replace(geometry, decoder=dataclasses.replace(geometry.decoder, layers=layers))
            backbone = build(family, smaller, dtype=dtype)
            backbone.see, backbone.read = marked(backbone.see), marked(backbone.read)
            base = weights(backbone)
            held.setdefault("weights", []).append([base])
            for name, options in METHODS.items():
                method = get_method("sepm", **options)
                found = peaks(lambda method=method, backbone=backbone: method.answer(questions, backbone))
                held.setdefault(name, []).append([base + more for more in found])
        for name, (three, four) in held.items():
            deeper = geometry.decoder.layers - FEW[0]
            most = max(few + (more - few) * deeper for few, more in zip(three, four, strict=True))
            figures.append(Figure(f"{family}, batch {batch}: {name}", most / 1e9, at_most=CARD / 1e9, unit="GB"))
    return figures


def main() -> None:
    """Measure and show; exit 1 if a model does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    show(measure(parser.parse_args().batch))


if __name__ == "__main__":
    main()

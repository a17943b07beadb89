"""What else costs how much: reading on behind a letter, DAN's prompts, and pruning at each budget.

On the model of ``speed.py``, in turns in one process; figures are medians over the turns. Reading on is the step in
which a batch whose answers are letters is read to its end; in units of all else that zero-shot does. For DAN the output
layer knows words and no end, so that every analysis is as long as it may be. Read anew means on the same model without
"reuse" among what it supports, as DAN runs where a cache cannot be continued: the same prompts, each with the picture.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from models import CPU, build, demo_questions
from speed import in_turns, lengths, ratio
from table import Figure, show
from throughput import Clocked

from sepm_eval import Question, get_method
from sepm_eval.backbone import cost
from sepm_eval.backbone.cost import Geometry
from sepm_eval.methods import Method
from sepm_eval.model_wrappers._image_first import ImageFirst

WRITTEN = 128  # tokens of DAN's analysis
BUDGETS = (192, 128, 64)
# All that prune but cdpruner, which needs the paired text tower of real weights.
PRUNING = ("uniform", "random", "divprune", "fastervlm", "vispruner", "zero_shot_downsample")
PRUNING += ("fastv", "pyramiddrop", "sparsevlm")


class Anew:
    """A backbone that cannot go on from an earlier reading."""

    def __init__(self, backbone: ImageFirst) -> None:
        self._backbone, self.supports = backbone, backbone.supports - {"reuse"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)


def speak_in_words(backbone: ImageFirst) -> None:
    """Every answer becomes words without an end, which tokenise as they were written."""
    model, tokenizer = backbone._language_model, backbone._tokenizer
    words = [" the", " image", " with", " following", " emotion", " best"]
    rows = torch.tensor([tokenizer.encode(f"it{word}")[0][-1] for word in words])
    weight = model.head.weight
    with torch.no_grad():
        weight.zero_()
        weight[rows] = torch.randn(len(rows), weight.shape[1])
        weight[rows[1::2]] = -weight[rows[::2]]  # one of two is above 0, as nothing else is
    model.stop_ids = []


def dan(geometry: Geometry, written: int, rounds: int) -> list[Figure]:
    """How many times as fast DAN is for reading the picture once."""
    backbone = build("llava", geometry)
    speak_in_words(backbone)
    (question,), method = demo_questions(1), get_method("dan", analysis_tokens=written)
    ways = {"shared": backbone, "anew": Anew(backbone)}
    answers = {name: method.answer([question], way)[0] for name, way in ways.items()}
    if any(answer.evidence.written != written for answer in answers.values()):
        raise AssertionError("an analysis was not as long as it is meant to be")
    if answers["shared"].prompts != answers["anew"].prompts:
        raise AssertionError("the two ways asked different things")
    tasks: dict[str, Callable[[Question], object]] = {
        name: lambda asked, way=way: method.answer([asked], way) for name, way in ways.items()
    }
    seconds = in_turns(tasks, [question], rounds)
    what = f"DAN, {written} tokens written: prompts read anew / shared reading"
    return [Figure(what, ratio(seconds, "anew", "shared"), at_least=1.6)]


def pruning(geometry: Geometry, budgets: Sequence[int], rounds: int) -> list[Figure]:
    """Each pruning method's time in units of zero-shot, and its floor."""
    backbone, (question,) = build("llava", geometry), demo_questions(1)
    plain = get_method("zero_shot")
    methods: dict[str, Method] = {"zero_shot": plain}
    figures = []
    for budget in budgets:
        for name in PRUNING:
            try:
                methods[f"{name}, budget {budget}"] = get_method(name, budget=budget)
            except ValueError as error:  # such as PyramidDrop below 144
                print(f"{name}, budget {budget} is left out: {error}")
    text = lengths(backbone, plain.answer([question], backbone)[0])
    tasks: dict[str, Callable[[Question], object]] = {
        name: lambda asked, method=method: method.answer([asked], backbone) for name, method in methods.items()
    }
    seconds = in_turns(tasks, [question], rounds)
    whole = cost.flops(geometry, plain.work(geometry, text))
    for name, method in methods.items():
        if name != "zero_shot":
            floor = cost.flops(geometry, method.work(geometry, text)) / whole
            figures.append(Figure(f"{name}: time / zero-shot (floor {floor:.2f})", ratio(seconds, name, "zero_shot")))
    return figures


def reading_on(geometry: Geometry, batch: int, rounds: int) -> list[Figure]:
    """What it adds to zero-shot that an answer which is a letter is read on to its end."""
    backbone = Clocked(build("llava", geometry), ["write"])
    questions, method, added = demo_questions(batch), get_method("zero_shot"), []
    method.answer(questions, backbone)  # warm up
    for _ in range(rounds):
        backbone.seconds, begin = 0.0, time.perf_counter()
        method.answer(questions, backbone)
        whole = time.perf_counter() - begin
        added.append(100 * backbone.seconds / (whole - backbone.seconds))
    return [Figure(f"reading on behind a letter, {batch} at once", statistics.median(added), at_most=2, unit="%")]


def measure(
    rounds: int, geometry: Geometry = CPU, written: int = WRITTEN, budgets: Sequence[int] = BUDGETS, batch: int = 8
) -> list[Figure]:
    """All figures of this file."""
    return reading_on(geometry, batch, rounds) + dan(geometry, written, rounds) + pruning(geometry, budgets, rounds)


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()

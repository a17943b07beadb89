"""The time of three other things: reading on after an answer's letter, DAN's prompts, and pruning at each budget.

The model is that of ``speed.py``. The tasks take turns in one process; figures are medians over the turns. "Reading on"
is the decoding step that finds the end of answers that are letters; it is given as a share of all else that zero-shot
does. For DAN, the output layer knows words but no end, so that every analysis has its full length. "Read anew" is the
same model without "reuse" among the things it supports, as DAN runs where a KV cache cannot be continued: the prompts
are the same, and each is read with the picture.
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
# All pruning methods except cdpruner, which needs real weights with a paired text tower.
PRUNING = ("uniform", "random", "divprune", "fastervlm", "vispruner", "zero_shot_downsample")
PRUNING += ("fastv", "pyramiddrop", "sparsevlm")


class Anew:
    """A backbone that cannot continue from an earlier reading."""

    def __init__(self, backbone: ImageFirst) -> None:
        self._backbone, self.supports = backbone, backbone.supports - {"reuse"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)


def speak_in_words(backbone: ImageFirst) -> None:
    """Make every answer words without an end, which give the same tokens again when they are tokenised."""
    model, tokenizer = backbone._language_model, backbone._tokenizer
    words = [" the", " image", " with", " following", " emotion", " best"]
    rows = torch.tensor([tokenizer.encode(f"it{word}")[0][-1] for word in words])
    weight = model.head.weight
    with torch.no_grad():
        weight.zero_()
        weight[rows] = torch.randn(len(rows), weight.shape[1])
        weight[rows[1::2]] = -weight[rows[::2]]  # one of two opposite rows gives a logit above 0; other rows give 0
    model.stop_ids = []


def dan(geometry: Geometry, written: int, rounds: int) -> list[Figure]:
    """Measure how many times as fast DAN is because it reads the picture only once."""
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
    """Measure each pruning method's time in units of zero-shot's, and its floor."""
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
    """Measure how much time it adds to zero-shot to read on after a letter, until the answer ends."""
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
    """Measure all figures of this file; reading on, whose share is a small one of few turns, in twice as many turns."""
    return reading_on(geometry, batch, 2 * rounds) + dan(geometry, written, rounds) + pruning(geometry, budgets, rounds)


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    show(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()

"""The time of SEPM in units of zero-shot, next to the floor that the operations set, and against the published recipe.

The model is LLaVA-1.5 scaled to a CPU (``models.CPU``), with random weights in the real wrapper, in float32, one
picture at a time. The tasks take turns in one process; figures are medians over the turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from memory import history
from models import CPU, FULL, build, demo_questions
from recipe import Recipe
from table import Figure, show

from sepm_eval import Answer, Question, get_method, prompts
from sepm_eval.backbone import cost
from sepm_eval.model_wrappers._image_first import ImageFirst

# Lengths of the prompts for EmoSet's eight labels in the paper's wording, in Vicuna's template and tokens, if stage 1
# is not ambiguous. They are derived from the token ids of the public code's wording
# (tests/oracles/real_tokenizer_ids.json), so they are right within two or three tokens.
EMOSET = (cost.Text(35, (70,)), cost.Text(35, (82, 57), probed=6, shared=23))


def lengths(backbone: ImageFirst, answer: Answer) -> cost.Text:
    """The lengths of the prompts with which an answer was asked, in tokens."""
    probe = prompts.WORDINGS["paper"].probe if answer.evidence is not None else None
    asked = [backbone._tokenise(prompt, image=True, probe=probe) for prompt in answer.prompts]
    shared = cost.common_start(*(one.after for one in asked[:2])) if asked[1:] else 0
    return cost.Text(len(asked[0].before), tuple(len(one.after) for one in asked), len(asked[0].probed), shared)


def floors(geometry: cost.Geometry, zero_shot: cost.Text, sepm: cost.Text) -> dict[str, float]:
    """Operations of SEPM and of its fast variant, in units of zero-shot, with prompts of these lengths."""
    wanted = {
        "zero_shot": get_method("zero_shot").work(geometry, zero_shot),
        "sepm": get_method("sepm").work(geometry, sepm),
        "reuse": get_method("sepm", reuse=True).work(geometry, sepm),
    }
    flops = {key: cost.flops(geometry, work) for key, work in wanted.items()}
    return {key: value / flops["zero_shot"] for key, value in flops.items()}


def in_turns(tasks: dict[str, Callable[[Question], object]], questions: Sequence[Question], rounds: int):
    """The seconds of each task on each question, [rounds x questions] in the same order for every task.

    The tasks take turns, forwards and then backwards, so that the task in the middle is always timed next to the
    others.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task(questions[0])  # warm up
    for turn in range(rounds):
        for question in questions:
            for name in list(tasks)[:: -1 if turn % 2 else 1]:
                begin = time.perf_counter()
                tasks[name](question)
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratio(seconds: dict[str, list[float]], one: str, other: str) -> float:
    """Median of the ratios of one task's times to another's, turn by turn."""
    return statistics.median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def full_size() -> list[Figure]:
    """The floors of the models at their full size, which are counted and not timed."""
    return [
        Figure(f"floor, {name} full size: {method} / zero-shot", value)
        for name in ("llava", "vila")
        for method, value in floors(FULL[name], *EMOSET).items()
        if method != "zero_shot"
    ]


def of_probe(backbone: ImageFirst, questions: Sequence[Question], prompt: str, rounds: int) -> list[Figure]:
    """Measure what a prefill with the probe costs over the same prefill without it, in time and peak memory."""
    probe, visual = prompts.WORDINGS["paper"].probe, backbone.see([questions[0].image])
    reads: dict[str, Callable[[Question], object]] = {
        "probed": lambda _: backbone.read([prompt], visual, probe=probe),
        "plain": lambda _: backbone.read([prompt], visual),
    }
    seconds = in_turns(reads, questions, rounds)
    peaks = {name: max(size for _, size in history(partial(task, questions[0]))[1]) for name, task in reads.items()}
    return [
        Figure("probe: time over the same prefill", 100 * (ratio(seconds, "probed", "plain") - 1), at_most=2, unit="%"),
        Figure("probe: peak memory over it", 100 * (peaks["probed"] / peaks["plain"] - 1), at_most=3, unit="%"),
    ]


def measure(pictures: int, rounds: int) -> list[Figure]:
    """Measure all figures of this file."""
    backbone = build("llava", CPU)
    questions = demo_questions(pictures)
    methods = {
        "sepm": get_method("sepm"),
        "zero_shot": get_method("zero_shot"),
        "reuse": get_method("sepm", reuse=True),
    }
    recipe = Recipe(backbone)
    tasks: dict[str, Callable[[Question], object]] = {
        name: lambda question, method=method: method.answer([question], backbone) for name, method in methods.items()
    }
    against = {"sepm": tasks["sepm"], "recipe": recipe.answer, "reuse": tasks["reuse"]}
    answers = {name: method.answer(questions, backbone) for name, method in methods.items()}
    if any(len(answer.text) != 1 for found in answers.values() for answer in found):
        raise AssertionError("an answer was no letter, so the times would be those of decoding")
    reference = [recipe.answer(question) for question in questions]
    equal = [
        (answer.text, list(answer.evidence.dropped)) == expected
        for answer, expected in zip(answers["sepm"], reference, strict=True)
    ]
    pairs = zip(answers["zero_shot"], answers["sepm"], strict=True)
    every = [floors(CPU, *(lengths(backbone, answer) for answer in pair)) for pair in pairs]
    floor = {name: statistics.mean(each[name] for each in every) for name in methods}
    seconds = in_turns(tasks, questions, rounds)
    # Apart from the others, because memory is allocated anew after the recipe's large tensors.
    beside = in_turns(against, questions, rounds)

    sepm, reuse = ratio(seconds, "sepm", "zero_shot"), ratio(seconds, "reuse", "zero_shot")
    return [
        *full_size(),
        Figure("floor: SEPM / zero-shot", floor["sepm"]),
        Figure("floor: SEPM reuse / zero-shot", floor["reuse"]),
        Figure("SEPM / zero-shot", sepm),
        Figure("SEPM / zero-shot, over its floor", sepm / floor["sepm"], at_most=1.05),
        Figure("SEPM reuse / zero-shot", reuse, at_most=1.15),
        *of_probe(backbone, questions, answers["sepm"][0].prompts[0], rounds // 2),
        Figure("recipe / SEPM", ratio(beside, "recipe", "sepm")),
        Figure("recipe / SEPM reuse", ratio(beside, "recipe", "reuse")),
        Figure("answers and dropped tokens as the recipe's", 100 * sum(equal) / len(equal), at_least=100, unit="%"),
    ]


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    show(measure(args.pictures, args.rounds))


if __name__ == "__main__":
    main()

"""The time of a sweep over ten alphas and five betas in one pass, in units of one SEPM run on the same pictures.

Run one by one, the fifteen variants would take fifteen units. The two are timed in one process, alternating. A measure
of the cost that does not depend on the machine is the number of prompts read.
"""

from __future__ import annotations

import argparse
import time

from table import Figure, show

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.shared import Shared
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image

TARGET = 4.0


def main() -> None:
    """Measure and show; exit 1 if the sweep costs more than the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    show(measure(args.pictures, args.rounds))


def measure(pictures: int, rounds: int) -> list[Figure]:
    """Measure the cost of the sweep."""
    benchmark = find_benchmarks()["emotion_demo"]
    names = tuple(benchmark.names), tuple(benchmark.names.values())
    items = benchmark.items()
    questions = [Question(open_image(i.path), *names) for i in items[:: len(items) // pictures]]
    backbone = load_backbone("llava", "demo", device="cpu")
    single = get_method("sepm")
    variants = [get_method("sepm", alpha=alpha / 40) for alpha in range(10)]
    variants += [get_method("sepm", beta=beta / 10) for beta in range(1, 6)]
    single.answer(questions[:8], backbone)  # warm up
    ratios = []
    for _ in range(rounds):
        begin = time.perf_counter()
        single.answer(questions, backbone)
        middle = time.perf_counter()
        shared = Shared(backbone)
        for method in variants:
            method.answer(questions, shared)
        ratios.append((time.perf_counter() - middle) / (middle - begin))
    ratio = sorted(ratios)[len(ratios) // 2]
    return [Figure(f"{len(variants)} variants in one pass, in single SEPM runs", ratio, at_most=TARGET)]


if __name__ == "__main__":
    main()

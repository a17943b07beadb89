"""A run over N pictures: with N, neither memory nor the time per picture may grow.

The demo pictures go through the runner over and over, each time with another value of one pixel, so that the journal
knows none of them. The method is SEPM on a tiny random model, so that everything but the model weighs most. Each N runs
in a process of its own. The time per picture is the median over groups of a hundred pictures; N = 100 has one group,
and is run five times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from models import TINY, build
from PIL.Image import Image
from resident import peak_resident
from table import Figure, show
from throughput import demo_asked

from sepm_eval import get_method
from sepm_eval.backbone.interface import Backbone
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.runner import Runner

SIZES = [100, 1000, 10000]
FIRST = 200  # pictures before the clock starts: threads, caches and allocators fill up
HUNDRED = 100
LEAST = 5  # hundreds of pictures that a median is taken over, at least


def distinct(asked: Asked, number: int, loaded: list[float]) -> tuple[str, list[Image]]:
    """Load a picture that one pixel makes different from those of all other numbers, and note the time."""
    loaded.append(time.perf_counter())
    text, (picture,) = asked.load()
    picture.putpixel((0, 0), (number >> 16, number >> 8 & 255, number & 255))
    return text, [picture]


def run(count: int) -> None:
    """Answer ``count`` pictures; print seconds per picture and peak memory as JSON."""
    torch.set_num_threads(1)  # the model's tensors are too small for several threads
    backbone, hundreds = build("llava", TINY["llava"], seed=4), list[float]()
    while len(hundreds) < LEAST:
        hundreds += answered(backbone, count, warm_up=not hundreds)
    seconds = statistics.median(hundreds) / HUNDRED
    print(json.dumps({"seconds": seconds, "peak": peak_resident()}))


def answered(backbone: Backbone, count: int, *, warm_up: bool) -> list[float]:
    """Answer ``count`` pictures in one run, and return the seconds of every hundred of them.

    They are counted from the loading of a picture to the loading of the hundredth after it.
    """
    loaded: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        method, path = get_method("sepm"), Path(folder) / "journal.jsonl"
        runner = Runner("llava", backbone, "sepm", method, batch_size=16, journal_path=path)
        asked = [
            replace(one, load=partial(distinct, one, n, loaded)) for n, one in enumerate(demo_asked(FIRST + count))
        ]
        if warm_up:
            runner.answer(asked[:FIRST], quiet=True)
            loaded.clear()
        runner.answer(asked[FIRST:], quiet=True)
        if len(runner.journal) != count + FIRST * warm_up:
            raise AssertionError("some pictures were the same, so the run was shorter than it looks")
        runner.journal.close()
    loaded.append(time.perf_counter())
    return [end - start for start, end in zip(loaded[::HUNDRED], loaded[HUNDRED::HUNDRED], strict=False)]


def measure(sizes: list[int]) -> list[Figure]:
    """Measure time and memory for each N, and those of the largest run in units of the smallest."""
    found = []
    for size in sizes:
        output = subprocess.run(
            [sys.executable, __file__, "--run", str(size)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found.append(json.loads(output.splitlines()[-1]))
    figures = [Figure(f"N = {n}: a picture", 1000 * f["seconds"], unit="ms") for n, f in zip(sizes, found, strict=True)]
    figures += [Figure(f"N = {n}: peak memory", f["peak"] / 1e6, unit="MB") for n, f in zip(sizes, found, strict=True)]
    return [
        *figures,
        Figure("largest N / smallest N: time a picture", found[-1]["seconds"] / found[0]["seconds"], at_most=1.1),
        Figure("largest N / smallest N: peak memory", found[-1]["peak"] / found[0]["peak"], at_most=1.1),
    ]


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        run(args.run)
        return
    show(measure(args.sizes))


if __name__ == "__main__":
    main()

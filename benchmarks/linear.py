"""A run over N pictures: memory must not grow with N, and a picture must not take longer.

The demo pictures, repeated, go through the runner with SEPM and a tiny random model, so that all that is not the model
weighs most. Each N runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import Figure, show

SIZES = [100, 1000, 10000]
FIRST = 100  # pictures before the clock starts: threads, caches and allocators fill up


def run(count: int) -> None:
    """Answer ``count`` pictures; print seconds a picture and peak memory as JSON."""
    import torch
    from models import TINY, build
    from throughput import demo_asked

    from sepm_eval import get_method
    from sepm_eval.runner import Runner

    torch.set_num_threads(1)  # the model's tensors are too small to share out
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            "llava",
            build("llava", TINY["llava"], seed=4),
            "sepm",
            get_method("sepm"),
            batch_size=16,
            journal_path=Path(folder) / "journal.jsonl",
            resume=False,
        )
        runner.answer(demo_asked(FIRST), quiet=True)
        begin = time.perf_counter()
        runner.answer(demo_asked(FIRST + count)[FIRST:], quiet=True)
        seconds = (time.perf_counter() - begin) / count
        runner.journal.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "peak": peak}))


def measure(sizes: list[int]) -> list[Figure]:
    """Time and memory of the largest run in units of the smallest."""
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
        Figure("largest N / smallest N: time a picture", found[-1]["seconds"] / found[0]["seconds"], at_most=1.2),
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

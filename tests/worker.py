"""A run in a process of its own, to be interrupted: ``python worker.py JOURNAL OUTPUTS ITEMS [METHOD]``.

Answers the first demo pictures and writes the outputs as JSON at the end. Prints a line when it begins to ask.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from sepm_eval import get_method, load_backbone
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.runner import Runner


def same(one: object, other: object) -> bool:
    """Whether two journal records are the same.

    All must be equal but how long it took, and probabilities, whose last bits depend on which questions share a batch:
    after an interruption a batch may be another.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one.keys() - {"seconds"})
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-5
    return one == other


def main(journal: str, outputs: str, count: str, method: str = "sepm") -> None:
    """Run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
    benchmark = find_benchmarks()["emotion_demo"]
    text = benchmark.question()
    items = benchmark.items()
    questions = [
        Asked("emotion_demo", number, lambda item=item: (text, [open_image(item.path)]), 16)
        for number, item in enumerate(items[:: len(items) // int(count)][: int(count)])
    ]
    backbone = load_backbone("llava", "demo", device="cpu")
    runner = Runner("llava", backbone, method, get_method(method), batch_size=4, journal_path=Path(journal))
    print(f"{len(runner.journal)} known", flush=True)
    found = runner.answer(questions, quiet=True)
    Path(outputs).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

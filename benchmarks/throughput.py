"""How much of a run's time is not spent in the model: loading, the journal, and all else that the runner does.

SEPM runs on ``models.CPU`` through the runner, as lmms-eval uses it. Time in the model is that of the backbone's
``see``, ``read`` and ``write``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models import CPU, build
from table import Figure, show

from sepm_eval import get_method
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.runner import Runner


class Clocked:
    """A backbone that adds up the seconds spent in some of its calls."""

    def __init__(self, backbone: Any, calls: Sequence[str] = ("see", "read", "write")) -> None:
        self._backbone, self._calls, self.seconds = backbone, calls, 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backbone, name)
        return partial(self._clock, found) if name in self._calls else found

    def _clock(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begin = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - begin


def demo_asked(count: int) -> list[Asked]:
    """Questions about the demo pictures as a harness asks them; pictures repeat until there are enough."""
    benchmark = find_benchmarks()["emotion_demo"]
    text, items = benchmark.question(), benchmark.items()

    def load(path: Path) -> tuple[str, list[Any]]:
        return text, [open_image(path)]

    return [Asked("emotion_demo", n, partial(load, items[n % len(items)].path), 8) for n in range(count)]


def measure(pictures: int) -> list[Figure]:
    """Measure the share of time outside the model, and that time per picture."""
    backbone = Clocked(build("llava", CPU))
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            "llava", backbone, "sepm", get_method("sepm"), batch_size=2, journal_path=Path(folder) / "journal.jsonl"
        )
        runner.answer(demo_asked(2), quiet=True)  # warm up
        runner.resume, backbone.seconds, begin = False, 0.0, time.perf_counter()
        runner.answer(demo_asked(pictures), quiet=True)
        whole = time.perf_counter() - begin
        runner.journal.close()
    outside = whole - backbone.seconds
    return [
        Figure("run: time not spent in the model", 100 * outside / whole, at_most=5, unit="%"),
        Figure("run: that time for a picture", 1000 * outside / pictures, unit="ms"),
    ]


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12)
    show(measure(parser.parse_args().pictures))


if __name__ == "__main__":
    main()

"""The emoji scenes that ship with the package: eight emotions; half of the pictures have artwork not seen in training.

demo/README.md says how they were made and who made the artwork.
"""

from __future__ import annotations

import json
from pathlib import Path

from sepm_eval import demo
from sepm_eval.datasets import Benchmark, Item, whole
from sepm_eval.emotions import MIKELS


def read(folder: Path) -> list[Item]:
    """Read the items from items.jsonl."""
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Item(r["id"], folder / r["image"], r["label"], {"seen": r["seen"], "artwork": r["artwork"]}) for r in rows]


BENCHMARKS = {
    "emotion_demo": Benchmark(
        name="emotion_demo",
        title="EmotionDemo",
        names=MIKELS,
        read=read,
        folder=demo.PICTURES,
        obtain="They are part of the package: install it again.",
        terms="see ATTRIBUTION.md beside the pictures",
        lists={"test": whole},
        size=512,
        licence="open",
    )
}

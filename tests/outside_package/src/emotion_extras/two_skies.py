"""A benchmark: two pictures that this module paints, and that a release would bring with it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sepm_eval.datasets import Benchmark, Item, whole

# A label of one's own is fine for methods that need no polarities.
NAMES = {"awe": "Awe", "contentment": "Contentment", "saudade": "Saudade", "fear": "Fear", "sadness": "Sadness"}
_SKIES = {"contentment": (90, 170, 250), "sadness": (40, 40, 60)}


def paint(folder: Path) -> None:
    """Write the two pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for label, colour in _SKIES.items():
        Image.new("RGB", (64, 64), colour).save(folder / f"{label}.png")


def read(folder: Path) -> list[Item]:
    """The pictures of the folder, labelled by their names."""
    return [Item(path.stem, path, path.stem) for path in sorted(folder.glob("*.png"))]


TWO_SKIES = Benchmark(
    name="two_skies",
    title="TwoSkies",
    names=NAMES,
    read=read,
    folder="TwoSkies",
    obtain="Paint them with emotion_extras.two_skies.paint.",
    terms="public domain",
    lists={"all": whole},
)

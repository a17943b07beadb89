"""FI: eight Mikels emotions, about 23,000 photographs (You et al., AAAI 2016; qzyou.github.io).

The release has a folder for each class. Public code that reads it counts 23,308 or 23,185 pictures, some of them
damaged; `sepm-eval prepare` names those. There is no official split, so all pictures are evaluated by default.
"""

from __future__ import annotations

from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, proportional, whole
from sepm_eval.datasets.folders import by_folder
from sepm_eval.emotions import MIKELS


def read(folder: Path) -> list[Item]:
    """Read the pictures, labelled by their folder.

    Raises:
        ValueError: the folders are not those of the eight emotions.
    """
    return by_folder(folder, MIKELS, "FI")


BENCHMARKS = {
    "fi": Benchmark(
        name="fi",
        title="FI-Emotion",
        names=MIKELS,
        read=read,
        folder="FI",
        obtain=(
            "Get it from qzyou.github.io (public readers disagree whether one has to ask for it) and lay it out as "
            "FI/<emotion>/<picture>."
        ),
        terms="academic research; no licence text found",
        lists={"full": whole, "proportional2000": proportional(2000)},
        archive="FI.zip",
        size=23308,
        licence="research",
        form="unclear",
    )
}

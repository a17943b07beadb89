"""UnBiasedEmo: six emotions, each with the same kinds of objects (Panda et al., ECCV 2018; 3,045 pictures).

The release is ``UnBiasedEmo/images/<emotion>/<kind>/<picture>``. Its zip file holds another, ``images.zip``, which must
be unpacked as well. It has the class love, but not disgust. There is no official split, so all pictures are evaluated.
"""

from __future__ import annotations

from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, whole
from sepm_eval.datasets.folders import by_folder
from sepm_eval.emotions import UNBIASEDEMO


def read(folder: Path) -> list[Item]:
    """Read the pictures, labelled by their folder.

    Raises:
        ValueError: the folders are not those of the six emotions, or ``images.zip`` has not been unpacked.
    """
    if not (folder / "images").is_dir() and (folder / "images.zip").is_file():
        raise ValueError(f"{folder} holds images.zip: unpack it there, so that there is {folder / 'images'}")
    return by_folder(folder / "images", UNBIASEDEMO, "UnBiasedEmo")


BENCHMARKS = {
    "unbiasedemo": Benchmark(
        name="unbiasedemo",
        title="UnBiasedEmo",
        names=UNBIASEDEMO,
        read=read,
        folder="UnBiasedEmo",
        obtain=(
            "Download UnBiasedEmo.zip (project page rpand002.github.io/emotion.html), unpack it there, and the "
            "images.zip inside it too, so that there is UnBiasedEmo/images/<emotion>/."
        ),
        terms="no licence text found; publicly offered for research",
        lists={"full": whole},
        archive="UnBiasedEmo.zip",
        size=3045,
        licence="not stated",
    )
}

"""ArtPhoto: eight emotions, 806 art photos (Machajdik & Hanbury, ACM MM 2010), labelled by their file names."""

from __future__ import annotations

from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, whole
from sepm_eval.emotions import MIKELS, label_of


def read(folder: Path) -> list[Item]:
    """Read the pictures of the folder, labelled by the part of their name before the first underscore.

    Raises:
        ValueError: a name does not begin with an emotion, or there are no pictures.
    """
    items = []
    for path in sorted(folder.glob("*.jpg")):
        label = label_of(path.name.partition("_")[0])
        if label not in MIKELS:
            raise ValueError(f"{path}: the name does not begin with one of the eight emotions")
        items.append(Item(path.stem, path, label))
    if not items:
        raise ValueError(f"{folder} holds no .jpg files: it is not the ArtPhoto release")
    return items


BENCHMARKS = {
    "artphoto": Benchmark(
        name="artphoto",
        title="ArtPhoto",
        names=MIKELS,
        read=read,
        folder="testImages_artphoto",
        obtain="Download testImages_artphoto.zip (www.imageemotion.org) and unpack it there.",
        terms="no licence text found; publicly offered for research",
        lists={"all": whole},
        archive="testImages_artphoto.zip",
        size=806,
        licence="not stated",
    ),
}

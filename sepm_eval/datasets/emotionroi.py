"""EmotionROI: six emotions, 1,980 pictures with an official split (Peng et al., ICIP 2016; Cornell, chenlab).

The sister release of Emotion6. It has ``EmotionROI/images/<emotion>/<n>.jpg``, and in ``training_testing_split`` the
lists ``training.txt`` and ``testing.txt`` with one "<emotion>/<n>.jpg" per line. The maps in ``ground_truth/``, which
show where people see the emotion, are not used. A picture's label is its folder; the votes of Emotion6 are not part of
this release.
"""

from __future__ import annotations

from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, ItemList, read_text, safe_path, whole
from sepm_eval.emotions import EMOTION6

SPLITS = {"test": "testing", "train": "training"}


def read(folder: Path) -> list[Item]:
    """Read the pictures of both lists.

    Raises:
        ValueError: a list is missing or a line is broken; the message names it.
    """
    return [item for split, file in SPLITS.items() for item in _split(folder, split, file)]


def _split(folder: Path, split: str, file: str) -> list[Item]:
    path = folder / "training_testing_split" / f"{file}.txt"
    found = []
    for number, line in enumerate(read_text(path, "an EmotionROI release").splitlines(), start=1):
        where, name = f"{path}, line {number}", line.strip()
        emotion, slash, _ = name.partition("/")
        if not name:
            continue
        if emotion not in EMOTION6 or not slash:
            raise ValueError(f"{where}: expected emotion/n.jpg, found {line!r}")
        found.append(
            Item(name.removesuffix(".jpg"), safe_path(folder / "images", name, where), emotion, {"split": split})
        )
    return found


def _of(split: str) -> ItemList:
    return lambda items: [item for item in items if item.extra["split"] == split]


BENCHMARKS = {
    "emotionroi": Benchmark(
        name="emotionroi",
        title="EmotionROI",
        names=EMOTION6,
        read=read,
        folder="EmotionROI",
        obtain=(
            "Download EmotionROI.zip (Cornell, chenlab.ece.cornell.edu/downloads.html) and unpack it there, so that it "
            "holds EmotionROI/images/ and EmotionROI/training_testing_split/."
        ),
        terms="academic research only; the pictures belong to their Flickr owners",
        lists={"test": _of("test"), "full": whole, "train": _of("train")},
        archive="EmotionROI.zip",
        licence="research",
    )
}

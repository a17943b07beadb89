"""EmoVerse: eight Mikels emotions, **labels made by models** (arXiv 2511.12554; hub PiLabUSTC/EmoVerse-Dataset).

Multimodal LLMs labelled its 219,000 to 234,000 pictures, so an accuracy here measures agreement with those models, and
says nothing about what people see. We could not look at its Parquet files, and know only their column
``emotion_category``. We assume that the column of pictures is called ``image``; if no column is called ``image_id``,
ids are taken from the pictures' file names.
"""

from __future__ import annotations

from pathlib import Path

from sepm_eval.datasets import Benchmark, HubCopy, Item, proportional, whole
from sepm_eval.datasets.converted import rows
from sepm_eval.emotions import MIKELS, label_of

COLUMNS = {"picture": ("image",), "id": ("image_id",), "label": ("emotion_category",)}
"""What a row must have -> possible names of its column; the user can name another by ``sepm-eval prepare --column``."""


def read(folder: Path) -> list[Item]:
    """Read the test pictures.

    Raises:
        ValueError: a label is none of the eight emotions; the message names the row.
    """
    found = []
    for where, key, path, row in rows(folder):
        label = label_of(str(row.get("label")))
        if label not in MIKELS:
            raise ValueError(f"{where}: label {row.get('label')!r} of {key!r} is not one of {list(MIKELS)}")
        found.append(Item(key, path, label))
    return found


BENCHMARKS = {
    "emoverse": Benchmark(
        name="emoverse",
        title="EmoVerse",
        names=MIKELS,
        read=read,
        folder="EmoVerse",
        obtain="Fetch it from the hub: sepm-eval prepare emoverse --source hf:PiLabUSTC/EmoVerse-Dataset.",
        terms="CC-BY-NC-4.0; its labels were made by models, not by people",
        lists={"test": whole, "proportional2000": proportional(2000)},
        hub=tuple(
            HubCopy(repository, ("*test*.parquet",), COLUMNS, optional=frozenset({"id"}))
            for repository in ("PiLabUSTC/EmoVerse-Dataset", "alkalol/EmoVerse")
        ),
        licence="CC-BY-NC-4.0",
    )
}

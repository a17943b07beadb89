"""EmoSet-118K: eight emotions, 17,716 test pictures (Yang et al., ICCV 2023; github.com/JingyuanYY/EmoSet).

The release is a folder with ``test.json`` (and val.json, train.json) and ``image/<emotion>/<emotion>_NNNNN.jpg``. The
rows of these lists are documented as [emotion, image_id, image_path, annotation_path], but the published files have
three elements, without the id; both forms are read. Labels are EmoSet's names; the numbers in its info.json are not
used.

The copies on the hub are unofficial, and we could not look at any of them. One has the test split as Parquet. Another,
fuyyy74/EmoSet2k, has the 2,000 test pictures on which later work of SEPM's first author is evaluated. From it,
`prepare` makes the item list ``emoset2k`` for a release that is in the data folder: its pictures are matched by id or
by content.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from sepm_eval.datasets import (
    Benchmark,
    HubCopy,
    Item,
    ItemList,
    MissingData,
    proportional,
    read_text,
    safe_path,
    whole,
)
from sepm_eval.datasets.converted import ITEMS, rows
from sepm_eval.datasets.lists import from_file
from sepm_eval.emotions import MIKELS

SPLITS = ("test", "val", "train")


def read(folder: Path) -> list[Item]:
    """Read the rows of test.json, and of val.json and train.json if they exist; ``extra`` names the split.

    A folder without test.json may hold the hub's copy instead, as ``sepm-eval prepare`` converts it.

    Raises:
        MissingData: there is no list.
        ValueError: a list is broken; the message names the row.
    """
    if not (folder / "test.json").is_file():
        if (folder / ITEMS).is_file():
            return [_copied(*row) for row in rows(folder)]
        raise MissingData(
            f"{folder} has no test.json and no {ITEMS}: it is not an EmoSet-118K release, or its preparation was "
            "interrupted; prepare the set again"
        )
    return [item for split in SPLITS if (folder / f"{split}.json").is_file() for item in _split(folder, split)]


def _split(folder: Path, split: str) -> list[Item]:
    path = folder / f"{split}.json"
    try:
        rows = json.loads(read_text(path, "an EmoSet-118K release"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} is not a list of rows")
    return [_item(folder, f"{path}, row {number}", row, split) for number, row in enumerate(rows)]


def _copied(where: str, key: str, path: Path, row: dict[str, Any]) -> Item:
    label = row.get("label")
    if not isinstance(label, str) or label not in MIKELS:
        raise ValueError(f"{where}: label {label!r} of {key!r} is not one of {list(MIKELS)}")
    return Item(key, path, label, {"split": "test"})


def _of(split: str, pick: ItemList = whole) -> ItemList:
    return lambda items: pick([item for item in items if item.extra["split"] == split])


def _item(folder: Path, where: str, row: object, split: str) -> Item:
    cells = [cell for cell in row if isinstance(cell, str)] if isinstance(row, list) else []
    images = [cell for cell in cells if cell.startswith("image/")]
    if len(images) != 1 or cells[0] not in MIKELS:
        raise ValueError(f"{where}: expected [emotion, (image id,) 'image/...', 'annotation/...'], found {row!r}")
    return Item(PurePosixPath(images[0]).stem, safe_path(folder, images[0], where), cells[0], {"split": split})


BENCHMARKS = {
    "emoset": Benchmark(
        name="emoset",
        title="EmoSet",
        names=MIKELS,
        read=read,
        folder="EmoSet-118K",
        obtain=(
            "Download EmoSet-118K.zip (links in the README of github.com/JingyuanYY/EmoSet) and unpack it there, so "
            "that it holds EmoSet-118K/test.json and EmoSet-118K/image/."
        ),
        terms="not stated for the pictures (the repository's MIT licence is for its code)",
        lists={
            "test": _of("test"),
            "lite2000": _of("test", proportional(2000)),
            "val": _of("val"),
            "train": _of("train"),
            "emoset2k": from_file("emoset", "EmoSet-118K/emoset2k.csv", "hf:fuyyy74/EmoSet2k"),
        },
        hub=(
            HubCopy(
                "Woleek/EmoSet-118K",
                ("*test*.parquet",),
                {"picture": ("image",), "id": ("image_id",), "label": ("emotion",)},
            ),
            HubCopy(
                "fuyyy74/EmoSet2k",
                ("*test*.parquet",),
                {"picture": ("images", "image"), "label": ("answer", "label"), "id": ("id",)},
                optional=frozenset({"id"}),
                item_list="emoset2k",
            ),
        ),
        archive="EmoSet-118K.zip",
        size=17716,
        licence="not stated",
    )
}

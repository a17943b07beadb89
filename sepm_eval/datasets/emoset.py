"""EmoSet-118K: eight emotions, 17,716 test pictures (Yang et al., ICCV 2023; github.com/JingyuanYY/EmoSet).

The release is a folder with ``test.json`` and ``image/<emotion>/<emotion>_NNNNN.jpg``. The list's rows are documented
as [emotion, image_id, image_path, annotation_path], but the lists shipped have three elements, without the id; both
are read. Labels are EmoSet's names; the numbers of its info.json are not used.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from sepm_eval.datasets import Benchmark, Item, inside, proportional, whole
from sepm_eval.emotions import MIKELS


def read(folder: Path) -> list[Item]:
    """The rows of test.json.

    Raises:
        ValueError: the list is broken; the message names the row.
    """
    path = folder / "test.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{folder} has no test.json: it is not an EmoSet-118K release") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} is not a list of rows")
    return [_item(folder, f"{path}, row {number}", row) for number, row in enumerate(rows)]


def _item(folder: Path, where: str, row: object) -> Item:
    cells = [cell for cell in row if isinstance(cell, str)] if isinstance(row, list) else []
    images = [cell for cell in cells if cell.startswith("image/")]
    if len(images) != 1 or cells[0] not in MIKELS:
        raise ValueError(f"{where}: expected [emotion, (image id,) 'image/...', 'annotation/...'], found {row!r}")
    return Item(PurePosixPath(images[0]).stem, inside(folder, images[0], where), cells[0])


BENCHMARKS = {
    "emoset": Benchmark(
        name="emoset",
        names=MIKELS,
        read=read,
        folder="EmoSet-118K",
        obtain=(
            "Download EmoSet-118K.zip (links in the README of github.com/JingyuanYY/EmoSet) and unpack it there, so "
            "that it holds EmoSet-118K/test.json and EmoSet-118K/image/."
        ),
        terms="not stated for the pictures (the repository's MIT licence is for its code)",
        lists={"test": whole, "lite2000": proportional(2000)},
    )
}
docs = BENCHMARKS["emoset"].docs

"""What ``sepm-eval prepare --source hf:...`` makes of Parquet files: ``items.jsonl``, one line a row, and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sepm_eval.datasets.names import inside, read_text

ITEMS, IMAGES, ROWS = "items.jsonl", "images", "rows"


def rows(folder: Path) -> Iterator[tuple[str, str, Path, dict[str, Any]]]:
    """Of each row where it stands, its id, its picture and its other columns, as ``HubCopy.columns`` names them.

    Raises:
        ValueError: the list is missing or damaged; the message names the line.
    """
    path = folder / ITEMS
    for number, line in enumerate(read_text(path, "what sepm-eval prepare makes of the hub's copy").splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
            key, file = row.pop("id"), row.pop("file")
        except (ValueError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"{where} is damaged ({error!r}): prepare the set again") from error
        yield where, str(key), inside(folder, str(file), where), row

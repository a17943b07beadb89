"""Read ``items.jsonl`` and the pictures that ``sepm-eval prepare --source hf:...`` writes from Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sepm_eval.datasets.names import read_text, safe_path

ITEMS, IMAGES, ROWS = "items.jsonl", "images", "rows"


def rows(folder: Path) -> Iterator[tuple[str, str, Path, dict[str, Any]]]:
    """Read the rows of ``items.jsonl``; each line is a row of a Parquet file.

    Yields:
        For each row its place in the file (for messages), its id, the path of its picture, and its other columns, named
        as in ``HubCopy.columns``.

    Raises:
        MissingData: the list is missing, because the preparation was interrupted or is not done.
        ValueError: the list is damaged; the message names the line.
    """
    path = folder / ITEMS
    for number, line in enumerate(read_text(path, "what sepm-eval prepare makes of the hub's copy").splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
            key, file = row.pop("id"), row.pop("file")
        except (ValueError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"{where} is damaged ({error!r}): prepare the set again") from error
        yield where, str(key), safe_path(folder, str(file), where), row

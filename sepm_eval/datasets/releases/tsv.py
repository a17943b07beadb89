"""Write a benchmark as a table in VLMEvalKit's format: one row per question, one column per option.

The index is the item's id, not a running number: VLMEvalKit reuses answers by their index, and with running numbers a
picture would get the answer of another one after the item list changes.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from pathlib import Path

from sepm_eval import prompts
from sepm_eval.datasets import Benchmark, Item
from sepm_eval.files import text_of, writing_whole

MOST_EMBEDDED = 2**30  # bytes; VLMEvalKit converts a larger file before it reads it


def table_row(benchmark: Benchmark, item: Item, item_list: str) -> dict[str, str]:
    """The row of one item, without its picture; VLMEvalKit reports accuracy for each value of ``category``."""
    letters = prompts.letters(len(benchmark.names))
    return {
        "index": item.id,
        "question": prompts.WORDINGS["paper"].ask,
        **dict(zip(letters, benchmark.names.values(), strict=True)),
        "answer": letters[list(benchmark.names).index(item.label)],
        "category": item.label,
        "item_list": item_list,
    }


def write_tsv(path: Path, benchmark: Benchmark, items: Sequence[Item], item_list: str) -> None:
    """Write the items with their pictures, as base64, or as absolute paths if the file would exceed 1 GiB.

    Raises:
        OSError: a picture cannot be read, or the disk is full; no half-written file is left.
    """
    rows = [table_row(benchmark, item, item_list) for item in items]
    size = sum(len("\t".join(row.values()).encode()) for row in rows) + sum(_encoded_size(item.path) for item in items)
    embed = size <= MOST_EMBEDDED
    with writing_whole(path, repeatable=True) as binary, text_of(binary) as file:
        fields = [*rows[0], "image" if embed else "image_path"]
        writer = csv.DictWriter(file, fields, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row, item in zip(rows, items, strict=True):
            if embed:
                writer.writerow({**row, "image": base64.b64encode(item.path.read_bytes()).decode()})
            else:
                writer.writerow({**row, "image_path": str(item.path.absolute())})


def _encoded_size(path: Path) -> int:
    return 4 * -(-path.stat().st_size // 3) + 2

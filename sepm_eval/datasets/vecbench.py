"""VECBench: nine tasks on samples of six known data sets (Wu et al., arXiv 2512.15528; hub wudq/VECBench).

The repository has pictures and, for the test split, ``VECBench/test_metadata.csv`` with the columns task, split,
image_path and label; a path is relative to the repository's root. This is known from public code that reads it; we
could not look at the files. Labels are compared in lower case, and known other spellings such as "content" and "sad"
are accepted. Some of the authors' files spell one task "UnbaisedEmo-6"; both spellings are read.

As for all benchmarks, the question is ours. The authors use their own wordings and candidate lists, and take the first
candidate that an answer contains.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from sepm_eval.datasets import Benchmark, HubCopy, Item, read_text, safe_path, whole
from sepm_eval.emotions import MIKELS, SENTIMENTS, SYNONYMS, UNBIASEDEMO, WEBEMO7, WEBEMO25

TABLE = "VECBench/test_metadata.csv"
COLUMNS = ("task", "split", "image_path", "label")
SPLIT = "test"

TASKS: dict[str, tuple[tuple[str, ...], dict[str, str], int]] = {
    "emoset": (("EmoSet-8",), MIKELS, 1000),
    "fi8": (("FI-8",), MIKELS, 1000),
    "fi2": (("FI-2",), SENTIMENTS, 1000),
    "webemo2": (("WebEmo-2",), SENTIMENTS, 1000),
    "webemo7": (("WebEmo-7",), WEBEMO7, 1000),
    "webemo25": (("WebEmo-25",), WEBEMO25, 997),
    "unbiasedemo": (("UnbiasedEmo-6", "UnbaisedEmo-6"), UNBIASEDEMO, 1000),
    "artphoto": (("Artphoto-8",), MIKELS, 806),
    "abstract": (("Abstract-8",), MIKELS, 229),
}
"""End of our task's name -> the names of the task in the table, its labels, and its published number of pictures."""


def reader(tasks: tuple[str, ...], labels: dict[str, str]) -> Callable[[Path], list[Item]]:
    """Make a ``Benchmark.read`` function for the pictures of one task; ``tasks`` are the task's names in the table."""

    def read(folder: Path) -> list[Item]:
        path = folder / TABLE
        table = csv.DictReader(io.StringIO(read_text(path, "a copy of VECBench")), strict=True)
        try:
            lines = [(f"{path}, line {table.line_num}", row) for row in table]
        except csv.Error as error:
            raise ValueError(f"{path} is not CSV: {error}") from error
        if lacking := set(COLUMNS) - set(table.fieldnames or ()):
            raise ValueError(f"{path} has the columns {table.fieldnames}; {sorted(lacking)} is not there")
        return [
            _item(folder, where, row, labels)
            for where, row in lines
            if row["task"] in tasks and str(row["split"]).strip() == SPLIT
        ]

    return read


def _item(folder: Path, where: str, row: dict[str, str], labels: dict[str, str]) -> Item:
    name, written = str(row["image_path"] or ""), str(row["label"] or "").strip().lower()
    label = written if written in labels else SYNONYMS.get(written, written)
    if label not in labels:
        raise ValueError(f"{where}: {row['task']} has the label {row['label']!r}; known are {list(labels)}")
    return Item(name, safe_path(folder, name, where), label)


BENCHMARKS = {
    f"vecbench_{name}": Benchmark(
        name=f"vecbench_{name}",
        title=f"VECBench-{tasks[0]}-way",
        names=labels,
        read=reader(tasks, labels),
        folder="VECBench",
        obtain=f"Fetch it from the hub: sepm-eval prepare vecbench_{name} --source hf:wudq/VECBench.",
        terms="those of the sets it was sampled from: research",
        lists={"test": whole},
        hub=(HubCopy("wudq/VECBench", (TABLE, "images/*", "*images*.zip")),),
        size=size,
        licence="research",
    )
    for name, (tasks, labels, size) in TASKS.items()
}

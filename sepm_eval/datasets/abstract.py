"""Abstract: eight emotions, 280 abstract paintings (Machajdik & Hanbury, ACM MM 2010).

Labels come from votes in ``ABSTRACT_groundTruth.csv``; its text cells are in single quotes, and the first cell of its
header is empty. Fifty-one paintings have no single emotion with most votes. The accuracies in the SEPM paper are
multiples of 1/280, so the paper must have broken these ties, most likely in favour of the first column.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, read_text, safe_path, whole
from sepm_eval.emotions import MIKELS, label_of

_COUNT = re.compile("[0-9]{1,6}")


def read(folder: Path) -> list[Item]:
    """Read the rows of ABSTRACT_groundTruth.csv, labelled by the first column with the most votes.

    Raises:
        ValueError: the file is missing or a row is broken.
    """
    path = folder / "ABSTRACT_groundTruth.csv"
    try:
        lines = csv.reader(io.StringIO(read_text(path, "the Abstract release")), strict=True)
        header, *rows = [[cell.strip().strip("'") for cell in row] for row in lines if row] or [[]]
    except csv.Error as error:
        raise ValueError(f"{path} is not CSV: {error}") from error
    labels = [label_of(name) for name in header[1:]]
    if set(labels) != set(MIKELS) or len(labels) != len(MIKELS):
        raise ValueError(f"{path}: the header names {header[1:]}, not the eight emotions")
    items = []
    for number, (name, *cells) in enumerate(rows, start=2):
        where = f"{path}, line {number}"
        if len(cells) != len(labels) or not all(_COUNT.fullmatch(cell) for cell in cells) or not any(map(int, cells)):
            raise ValueError(
                f"{where}: expected a file name and {len(labels)} counts, not all 0, found {[name, *cells]!r}"
            )
        votes = {str(label): int(cell) for label, cell in zip(labels, cells, strict=True)}
        winner = max(votes, key=lambda label: votes[label])
        items.append(Item(Path(name).stem, safe_path(folder, name, where), winner, {"votes": votes}))
    return items


def _without_ties(items: list[Item]) -> list[Item]:
    return [item for item in items if list(item.extra["votes"].values()).count(max(item.extra["votes"].values())) == 1]


BENCHMARKS = {
    "abstract": Benchmark(
        name="abstract",
        title="Abstract",
        names=MIKELS,
        read=read,
        folder="testImages_abstract",
        obtain="Download testImages_abstract.zip (www.imageemotion.org) and unpack it there.",
        terms="no licence text found; publicly offered for research",
        lists={"first_maximum": whole, "unique": _without_ties},
        archive="testImages_abstract.zip",
        size=280,
        licence="not stated",
        votes=True,
    ),
}

"""Abstract: eight emotions, 280 abstract paintings (Machajdik & Hanbury, ACM MM 2010).

Labels are votes: ``ABSTRACT_groundTruth.csv`` puts its text cells in single quotes and the first cell of its header is
empty. Fifty-one paintings have no single winner; the SEPM paper's accuracies are whole numbers of 280, so ties must
have been broken, most likely by the first column.
"""

from __future__ import annotations

import csv
from pathlib import Path

from sepm_eval.datasets import Benchmark, Item, inside, whole
from sepm_eval.emotions import MIKELS, label_of


def read(folder: Path) -> list[Item]:
    """The rows of ABSTRACT_groundTruth.csv, labelled by the first column with the most votes.

    Raises:
        ValueError: the file is missing or a row is broken.
    """
    path = folder / "ABSTRACT_groundTruth.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [[cell.strip().strip("'") for cell in row] for row in csv.reader(file) if row]
    except FileNotFoundError as error:
        raise ValueError(f"{folder} has no ABSTRACT_groundTruth.csv: it is not the Abstract release") from error
    except ValueError as error:
        raise ValueError(f"{path} is empty or not text: {error}") from error
    labels = [label_of(name) for name in header[1:]]
    if set(labels) != set(MIKELS):
        raise ValueError(f"{path}: the header names {header[1:]}, not the eight emotions")
    items = []
    for number, (name, *cells) in enumerate(rows, start=2):
        where = f"{path}, line {number}"
        if len(cells) != len(labels) or not all(cell.isdigit() for cell in cells):
            raise ValueError(f"{where}: expected a file name and {len(labels)} counts, found {[name, *cells]!r}")
        votes = {str(label): int(cell) for label, cell in zip(labels, cells, strict=True)}
        winner = max(votes, key=lambda label: votes[label])
        items.append(Item(Path(name).stem, inside(folder, name, where), winner, {"votes": votes}))
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
    ),
}
docs = BENCHMARKS["abstract"].docs

"""LAI-GAI: what people felt at 847 generated pictures (Adam Mickiewicz University; hub ACG-AMU/LAI-GAI, CC-BY-4.0).

In six studies, viewers gave 63,682 answers; each rates twelve feelings from 1 to 7. The ``votes`` of a picture are
shares of the twelve feelings: the mean rating minus the scale's lowest point, divided by the sum of these differences.
The label is the feeling with the largest share; ties go to the first in the order of ``emotions.LAI_GAI``. We do not
know how the authors of the library label a picture for their accuracies (arXiv 2602.00123); their tables may differ.

We could not look at the files on the hub. ``COLUMNS`` assumes one row per picture, and columns of mean ratings with the
names of the studies' own tables (OSF, doi 10.17605/OSF.IO/V8DKM); shares or counts are recognised, see ``read``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sepm_eval.datasets import Benchmark, HubCopy, Item, whole
from sepm_eval.datasets.converted import rows
from sepm_eval.emotions import LAI_GAI

COLUMNS: dict[str, tuple[str, ...]] = {
    "picture": ("image",),
    "id": ("Image_name",),
    **{label: (label.capitalize(), label) for label in LAI_GAI},
}
"""What a row must have -> possible names of its column; the user can name another by ``sepm-eval prepare --column``."""

SIX = ("anger", "awe", "disgust", "fear", "joy", "sadness")
"""The labels of the six-way task, our choice: four negative and two positive ones. They cannot be the paper's six,
which include surprise, because LAI-GAI does not rate surprise."""

LOWEST, HIGHEST = 1, 7  # ends of the rating scale


def read(folder: Path) -> list[Item]:
    """Read all pictures, labelled by the strongest feeling.

    If every number in the set is from 1 to 7, the numbers are taken as mean ratings; otherwise as shares or counts,
    because a mean rating cannot be outside this range.

    Raises:
        ValueError: a number is missing, not finite or negative, or all numbers of a picture are 0 (shares or counts) or
            at the lowest point of the scale (ratings).
    """
    found = [(where, key, path, _numbers(where, row)) for where, key, path, row in rows(folder)]
    ratings = all(LOWEST <= number <= HIGHEST for _, _, _, numbers in found for number in numbers.values())
    return [_item(where, key, path, numbers, LOWEST if ratings else 0) for where, key, path, numbers in found]


def _numbers(where: str, row: dict[str, Any]) -> dict[str, float]:
    told = {label: row.get(label) for label in LAI_GAI}
    found = {label: float(one) for label, one in told.items() if isinstance(one, (int, float)) and math.isfinite(one)}
    if len(found) < len(LAI_GAI) or min(found.values()) < 0:
        raise ValueError(f"{where}: expected a rating or share of each of {list(LAI_GAI)}, found {told}")
    return found


def _item(where: str, key: str, path: Path, numbers: dict[str, float], lowest: int) -> Item:
    above = {label: number - lowest for label, number in numbers.items()}
    total = sum(above.values())
    if not total:
        raise ValueError(f"{where}: all ratings of {key!r} are at the lowest point: {numbers}")
    votes = {label: number / total for label, number in above.items()}
    return Item(key, path, max(votes, key=lambda label: votes[label]), {"votes": votes})


def read_six(folder: Path) -> list[Item]:
    """Read the pictures whose strongest feeling is one of ``SIX``; their votes still cover all twelve feelings."""
    return [item for item in read(folder) if item.label in SIX]


BENCHMARKS = {
    name: Benchmark(
        name=name,
        title=title,
        names=names,
        read=reading,
        folder="LAI-GAI",
        obtain=f"Fetch it from the hub: sepm-eval prepare {name} --source hf:ACG-AMU/LAI-GAI.",
        terms="CC-BY-4.0: name its authors",
        lists={"all": whole},
        hub=(HubCopy("ACG-AMU/LAI-GAI", ("*.parquet",), COLUMNS),),
        size=size,
        licence="CC-BY-4.0",
        votes=True,
    )
    for name, title, names, reading, size in (
        ("lai_gai", "LAI-GAI-12", LAI_GAI, read, 847),
        ("lai_gai6", "LAI-GAI-6", {label: LAI_GAI[label] for label in SIX}, read_six, None),
    )
}

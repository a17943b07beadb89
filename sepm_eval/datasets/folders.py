"""Releases whose folders are the labels: ``<class>/.../<picture>``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sepm_eval.datasets.types import Item

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})


def by_folder(folder: Path, labels: Collection[str], release: str) -> list[Item]:
    """Read the pictures below the folders that are named after the labels.

    Args:
        folder: the folder that holds a folder for each label.
        labels: the labels, in lower case.
        release: the name of the expected release, for messages.

    Returns:
        The items; an id is the path relative to ``folder``, without the file's suffix.

    Raises:
        ValueError: the folders are not exactly those of the labels, or one of them holds no pictures.
    """
    there = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    names = [path.name.lower() for path in there]
    if sorted(names) != sorted(labels):
        raise ValueError(f"{folder}: expected the folders {sorted(labels)} of {release}, found {sorted(names)}")
    items = []
    for place in there:
        found = [path for path in sorted(place.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
        if not found:
            raise ValueError(f"{place} holds no pictures: this is not the whole of {release}")
        items += [Item(path.relative_to(folder).with_suffix("").as_posix(), path, place.name.lower()) for path in found]
    return items

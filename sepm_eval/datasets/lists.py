"""Item lists: which pictures are evaluated, and in which order."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sepm_eval.datasets.environment import data_folder
from sepm_eval.datasets.names import unprintable
from sepm_eval.datasets.types import Item, ItemList, MissingData


def whole(items: list[Item]) -> list[Item]:
    """An item list of all items."""
    return items


def proportional(count: int) -> ItemList:
    """An item list of ``count`` items with the proportions of the classes, the same on every machine.

    The items per class are rounded by the method of largest remainders; if two remainders are equal, the class whose
    label is first in the alphabet is rounded up. Within a class, the items that ``interleaved`` puts first are taken.
    So the choice depends on ids and labels alone, not on the order of files or on a random generator.
    """

    def pick(items: list[Item]) -> list[Item]:
        if len(items) <= count:
            return items
        groups = _by_label(items)
        shares = {label: divmod(count * len(groups[label]), len(items)) for label in sorted(groups)}
        wanted = {label: whole_part for label, (whole_part, _) in shares.items()}
        for label in sorted(shares, key=lambda label: -shares[label][1])[: count - sum(wanted.values())]:
            wanted[label] += 1
        picked = {item.id for label, group in groups.items() for item in sorted(group, key=_rank)[: wanted[label]]}
        return [item for item in items if item.id in picked]

    return pick


def interleaved(items: Iterable[Item], labels: Iterable[str]) -> list[Item]:
    """Order items so that the classes take turns, and the first items of a list cover every class.

    Within a class, items are ordered by the digest of their id: releases put pictures of one search, artist or upload
    next to each other, while the beginning of a list should be a fair sample of the class.

    Args:
        items: the items; their order does not matter.
        labels: the classes, in the order in which they take turns. A class with no items left is skipped.

    Returns:
        The items in the new order.
    """
    groups = _by_label(items)
    turns = [
        (turn, place, item)
        for place, label in enumerate(labels)
        for turn, item in enumerate(sorted(groups.get(label, ()), key=_rank))
    ]
    return [item for _, _, item in sorted(turns, key=lambda one: one[:2])]


def from_csv(benchmark: str, path: Path, items: Sequence[Item], labels: Collection[str]) -> list[Item]:
    """Read a user's own list: the items that it names, in its order, with its labels if it has any.

    Args:
        benchmark: the name of the benchmark, for messages.
        path: the CSV file, with the column id and possibly label.
        items: all items of the release.
        labels: the labels of the benchmark.

    Returns:
        The items, with the labels of the list.

    Raises:
        ValueError: the file cannot be read, or a row does not fit the benchmark; the message names its line.
    """
    known = {item.id: item for item in items}
    columns, rows = _read(benchmark, path)
    picked = []
    for number, row in rows:
        where = f"{path}, line {number}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: expected the {len(columns)} cells {columns}, found another number")
        if flawed := [cell for cell in (row["id"], row.get("label", "")) if unprintable(cell)]:
            raise ValueError(f"{where}: {flawed[0]!r} has control characters; write ids and labels as they are listed")
        item = known.get(row["id"])
        if item is None:
            example = next(iter(known), None)
            raise ValueError(f"{where}: {row['id']!r} is no item of {benchmark} (an id is like {example!r})")
        label = row.get("label") or item.label
        if label not in labels:
            raise ValueError(f"{where}: {label!r} is no label of {benchmark}; known are {list(labels)}")
        picked.append(replace(item, label=label))
    return picked


def from_file(benchmark: str, file: str, source: str) -> ItemList:
    """An item list whose CSV file is written into the data folder by ``sepm-eval prepare --source``.

    Args:
        benchmark: the name of the benchmark.
        file: the CSV file, relative to the data folder.
        source: the source from which the list is made, for messages.

    Returns:
        The item list. It raises ``MissingData`` as long as the file does not exist.
    """

    def pick(items: list[Item]) -> list[Item]:
        path = data_folder() / file
        if not path.is_file():
            raise MissingData(
                f"{benchmark}: no {path}: this list is made by sepm-eval prepare {benchmark} --source {source}"
            )
        return from_csv(benchmark, path, items, {item.label for item in items})

    return pick


def _read(benchmark: str, path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns of a CSV list, and its rows with their line numbers."""
    line = 0
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = []
            for row in reader:
                line = reader.line_num
                rows.append((line, row))
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{benchmark}: the item list {path} cannot be read: {error}") from error
    except csv.Error as error:
        raise ValueError(f"{benchmark}: the item list {path} cannot be read after line {line}: {error}") from error
    if not rows or "id" not in columns:
        raise ValueError(f"{benchmark}: the item list {path} needs a column id, one row an item; it has {columns}")
    odd = [name for name in columns if name.strip().lower() in _COLUMNS and name not in _COLUMNS]
    if odd or len(set(columns)) < len(columns):
        raise ValueError(f"{benchmark}: the item list {path} has the columns {columns}; write id and label, once each")
    return columns, rows


def _by_label(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.label].append(item)
    return groups


def _rank(item: Item) -> str:
    return hashlib.sha256(f"sepm_eval item list 1\n{item.id}".encode()).hexdigest()


_COLUMNS = ("id", "label")

"""What a benchmark is made of: its items, and the error that says its data are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class MissingData(FileNotFoundError):
    """A benchmark's release is not where it was looked for; the message says where, and how to get it."""


@dataclass(frozen=True)
class Item:
    """One picture of a benchmark.

    Attributes:
        id: what the release calls it; unique in the benchmark.
        path: the file.
        label: its emotion, a key of the benchmark's names.
        extra: further columns. ``votes`` is known to the report: how many people chose each label, or what share of
            them did (``{"awe": 6, "fear": 1}``), also of labels that the question does not offer; left out of an item
            that nobody voted on.
    """

    id: str
    path: Path
    label: str
    extra: dict[str, Any] = field(default_factory=dict)


ItemList = Callable[[list[Item]], list[Item]]

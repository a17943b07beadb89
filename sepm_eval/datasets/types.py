"""What a benchmark is made of: its items, and the error that says its data are not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sepm_eval.parsing import Options


class MissingData(FileNotFoundError):
    """A benchmark's release is not where it was looked for; the message says where, and how to get it."""


@dataclass(frozen=True)
class OwnQuestion:
    """What is asked of one picture and of no other, such as whether a statement about it is true.

    Attributes:
        text: the question word for word, its options lettered from A, each on a line.
        options: what it offers.
    """

    text: str
    options: Options


@dataclass(frozen=True)
class HubCopy:
    """A data set of the Hugging Face hub that holds a benchmark's pictures and labels.

    Attributes:
        repository: its id.
        files: patterns of the files needed. Parquet files are read if there are ``columns``; others are filed as they
            lie, zip files unpacked.
        columns: of Parquet files, what is needed of a row -> the names its column may have, of which the first that is
            there counts. "picture" is a picture, or a list of one; "id" is what it is called, and may be left out:
            then the picture's own file name counts, and where it has none, the row's number.
        optional: which of them the files may lack.
        item_list: the copy holds pictures of a release that one has already, and is a choice among them: the name of
            that item list.
    """

    repository: str
    files: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    item_list: str = ""


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
        question: its own question; None of a benchmark that asks all pictures the same.
    """

    id: str
    path: Path
    label: str
    extra: dict[str, Any] = field(default_factory=dict)
    question: OwnQuestion | None = None


ItemList = Callable[[list[Item]], list[Item]]

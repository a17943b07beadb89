"""The parts of a benchmark: its items with their questions, its copies on the hub, and the error for missing data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sepm_eval.parsing import Options
from sepm_eval.prompts import WORDINGS, letters


class MissingData(FileNotFoundError):
    """A benchmark's release was not found; the message says where it was expected, and how to get it."""


@dataclass(frozen=True)
class OwnQuestion:
    """A question that belongs to one item only, such as whether a statement about its picture is true.

    Attributes:
        text: the question word for word, with its options lettered from A, each on its own line.
        options: the options of the question.
    """

    text: str
    options: Options

    @classmethod
    def lettered(cls, ask: str, options: Options) -> OwnQuestion:
        """A question with its options below it, lettered from A, and the paper's request to reply with a letter."""
        lines = [f"{letter}. {name}" for letter, name in zip(letters(len(options.names)), options.names, strict=True)]
        return cls("\n".join([ask, *lines, WORDINGS["paper"].reply]), options)


@dataclass(frozen=True)
class HubCopy:
    """A data set on the Hugging Face hub that holds a benchmark's pictures and labels.

    Attributes:
        repository: the id of the data set on the hub.
        files: patterns of the needed files. If there are ``columns``, Parquet files are read row by row; otherwise the
            files are copied as they are, and zip files are unpacked.
        columns: for Parquet files, what is needed of a row -> the possible names of its column, of which the first that
            exists is used. "picture" is a picture, or a list of one. "id" is the item's id and may be left out; then
            the picture's own file name is used, or the row's number if it has none.
        optional: the keys of ``columns`` that the files may lack.
        item_list: if the copy is a selection of the pictures of a release that the user must already have, the name of
            the item list that it defines; otherwise "".
    """

    repository: str
    files: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    item_list: str = ""


@dataclass(frozen=True)
class Item:
    """One item of a benchmark: a picture with its label.

    Attributes:
        id: the item's id in the release, unique in the benchmark.
        path: the picture's file.
        label: the right answer, a key of the benchmark's names.
        extra: further columns. The report uses ``votes``: how many people chose each label, or the share of people who
            did (``{"awe": 6, "fear": 1}``); this may include labels that the question does not offer. An item on which
            nobody voted has no ``votes``.
        question: the item's own question; None if the benchmark asks the same question for all items.
    """

    id: str
    path: Path
    label: str
    extra: dict[str, Any] = field(default_factory=dict)
    question: OwnQuestion | None = None


ItemList = Callable[[list[Item]], list[Item]]

"""One file per benchmark, from its official layout on disk to items; each ends with BENCHMARKS and ``docs``.

Which pictures are evaluated is data: a benchmark has named item lists, and a user may give one as a CSV file.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import logging
import os
import pkgutil
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import platformdirs

from sepm_eval import prompts

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

DATA_VARIABLE = "SEPM_EVAL_DATA"
LISTS_VARIABLE = "SEPM_EVAL_LISTS"


class MissingData(FileNotFoundError):
    """A benchmark's release is not where it was looked for; the message says where, and how to get it."""


@dataclass(frozen=True)
class Item:
    """One picture of a benchmark.

    Attributes:
        id: what the release calls it; unique in the benchmark.
        path: the file.
        label: its emotion, a key of the benchmark's names.
        extra: further columns, such as the votes behind the label.
    """

    id: str
    path: Path
    label: str
    extra: dict[str, Any] = field(default_factory=dict)


ItemList = Callable[[list[Item]], list[Item]]


@dataclass(frozen=True)
class Benchmark:
    """An image-emotion benchmark.

    Attributes:
        name: the task's name.
        names: label -> name shown, in the order the question lists them.
        read: all items, from the release's folder.
        folder: name of the release's folder inside the data folder, or a path of its own.
        obtain: where the release is to be had and how to lay it out.
        terms: terms of use, as far as they are known.
        lists: item lists by name, each a choice among what ``read`` gives; the first is the default.
        partial: pictures of the release may have vanished from the web; those that are there are evaluated.
        title: the set's name in VLMEvalKit; by default the task's.
    """

    name: str
    names: dict[str, str]
    read: Callable[[Path], list[Item]]
    folder: str | Path
    obtain: str
    terms: str
    lists: dict[str, ItemList]
    partial: bool = False
    title: str = ""

    def question(self) -> str:
        """The question every model is asked, in the paper's wording."""
        options = zip(prompts.letters(len(self.names)), self.names.values(), strict=True)
        return prompts.fine(options, prompts.WORDINGS["paper"])

    def release(self) -> Path:
        """The release's folder.

        Raises:
            MissingData: it is not there.
        """
        folder = data_folder() / self.folder
        if not folder.is_dir():
            raise MissingData(f"{self.name}: no folder {folder}. {self.obtain} {_THEN}")
        return folder

    def items(self, chosen: str | None = None) -> list[Item]:
        """The items of one list.

        Args:
            chosen: name of a list, or a CSV file with the columns id and, if labels are to differ, label. By default
                what the environment variable SEPM_EVAL_LISTS names for this benchmark, or the first list.

        Raises:
            MissingData: the release or some of its files are not there.
            ValueError: an item has a label that the benchmark does not know, or the list is unknown or does not fit.
        """
        folder = self.release()
        chosen = chosen or self.chosen_list()
        items = self._pick(self.read(folder), chosen)
        if not items:
            raise MissingData(f"{self.name}: {folder} has no items of the list {chosen!r}. {self.obtain} {_THEN}")
        unknown = sorted({item.label for item in items} - set(self.names))
        if unknown:
            raise ValueError(f"{self.name}: {folder} has the labels {unknown}; known are {list(self.names)}")
        for item in items:
            if flaw := _flaw(item.id):
                raise ValueError(f"{self.name}: {folder} has an item called {item.id!r}: {flaw}; rename its file")
        twice = [key for key, count in Counter(item.id for item in items).items() if count > 1]
        if twice:
            raise ValueError(f"{self.name}: list {chosen!r} names {len(twice)} items twice, such as {twice[0]!r}")
        here = [item for item in items if _has_content(item.path)]
        if len(here) < len(items):
            there = {item.id for item in here}
            absent = next(item.path for item in items if item.id not in there)
            found = f"{len(items) - len(here)} of {len(items)} pictures are missing or empty, such as {absent}"
            if not self.partial or not here:
                raise MissingData(f"{self.name}: {found}. {self.obtain} {_THEN}")
            logger.warning("%s: %s; %d are evaluated", self.name, found, len(here))
        return here

    def chosen_list(self) -> str:
        """The item list set for this benchmark, or its default."""
        return list_settings().get(self.name, next(iter(self.lists)))

    def docs(self, _placeholder: Dataset) -> Dataset:
        """The items as lmms-eval documents (the task's ``process_docs``).

        lmms-eval repeats this call five times and hides what it raises in a RetryError. So a problem travels as the
        one document of the set, and is raised when that is first looked at (``sepm_eval.tasks.functions``).
        """
        from datasets import Dataset

        try:
            chosen, items = self.chosen_list(), self.items()
        except (MissingData, ValueError) as error:
            return Dataset.from_list([{"problem": str(error)}])
        about = {"benchmark": self.name, "item_list": chosen, "question": self.question()}
        from sepm_eval.digests import readable_sha256s

        return Dataset.from_list(
            [
                {"id": i.id, "image": str(i.path), "label": i.label, "picture": p, **about, **i.extra}
                for i, p in zip(items, readable_sha256s([i.path for i in items]))
            ]
        )

    def _pick(self, items: list[Item], chosen: str) -> list[Item]:
        if chosen in self.lists:
            return self.lists[chosen](items)
        path = Path(chosen).expanduser()
        if path.suffix != ".csv":
            raise ValueError(
                f"{self.name}: unknown item list {chosen!r}; there are {list(self.lists)}, or name a .csv file"
            )
        return _from_csv(self.name, path, items)


def find_benchmarks() -> dict[str, Benchmark]:
    """The BENCHMARKS tables of every file in this folder, as one."""
    found: dict[str, Benchmark] = {}
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        found |= getattr(importlib.import_module(info.name), "BENCHMARKS", {})
    return found


def data_folder() -> Path:
    """Where releases are looked for: the environment variable SEPM_EVAL_DATA, or the user's data folder."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_data_path("sepm_eval", appauthor=False)


def list_settings() -> dict[str, str]:
    """Item lists by benchmark, from the environment variable SEPM_EVAL_LISTS ("emotion6=full,abstract=unique").

    Raises:
        ValueError: it is not of that form.
    """
    found = {}
    for part in filter(None, os.environ.get(LISTS_VARIABLE, "").split(",")):
        name, equals, chosen = part.partition("=")
        if not equals or not name.strip() or not chosen.strip():
            raise ValueError(f"{LISTS_VARIABLE}={os.environ[LISTS_VARIABLE]!r}: write benchmark=list,benchmark=list")
        found[name.strip()] = chosen.strip()
    return found


def whole(items: list[Item]) -> list[Item]:
    """The list of all items."""
    return items


def proportional(count: int) -> ItemList:
    """A list of ``count`` items with the classes in proportion (largest remainders), the same on every machine.

    Within a class the items with the smallest digest of their id are taken, so the choice depends on ids alone, not on
    an order of files or a random generator.
    """

    def pick(items: list[Item]) -> list[Item]:
        if len(items) <= count:
            return items
        groups: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            groups[item.label].append(item)
        shares = {label: count * len(group) / len(items) for label, group in sorted(groups.items())}
        wanted = {label: int(share) for label, share in shares.items()}
        rest = sorted(shares, key=lambda label: wanted[label] - shares[label])
        for label in rest[: count - sum(wanted.values())]:
            wanted[label] += 1
        picked = {item.id for label, group in groups.items() for item in sorted(group, key=_rank)[: wanted[label]]}
        return [item for item in items if item.id in picked]

    return pick


def inside(folder: Path, name: str, where: str) -> Path:
    """A path named by a release's list or archive, which must not lead out of the release on any system.

    Raises:
        ValueError: it does, or is no file name everywhere; ``where`` says in which list and row.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or ":" in name:
        raise ValueError(
            f"{where}: the path {name!r} leads out of the release; write a relative one with /, without : and .."
        )
    if flaw := _flaw(name):
        raise ValueError(f"{where}: the path {name!r} is no file name: {flaw}")
    return folder / path


def read_text(path: Path, release: str) -> str:
    """The text of a list that a release must have.

    Raises:
        ValueError: it is not there, not a file, or not UTF-8; the message names it.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}: it is not {release}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _flaw(name: str) -> str:
    """Why a name would not survive tables, logs and other systems; "" if it would."""
    if _UNPRINTABLE.search(name):
        return "it has control characters or is not UTF-8"
    if any(len(part.encode()) > _LONGEST for part in name.split("/")):
        return f"a part of it is longer than {_LONGEST} bytes"
    if len(name.encode()) > _LONGEST_PATH:
        return f"it is longer than {_LONGEST_PATH} bytes"
    return ""


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _rank(item: Item) -> str:
    return hashlib.sha256(f"sepm_eval item list 1\n{item.id}".encode()).hexdigest()


def _from_csv(benchmark: str, path: Path, items: Sequence[Item]) -> list[Item]:
    """The user's own list: the items it names, in its order, with its labels where it has any."""
    known = {item.id: item for item in items}
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{benchmark}: the item list {path} cannot be read: {error}") from error
    if not rows or "id" not in columns:
        raise ValueError(f"{benchmark}: the item list {path} needs a column id, one row an item; it has {columns}")
    odd = [name for name in columns if name.strip().lower() in _LIST_COLUMNS and name not in _LIST_COLUMNS]
    if odd or len(set(columns)) < len(columns):
        raise ValueError(f"{benchmark}: the item list {path} has the columns {columns}; write id and label, once each")
    picked = []
    for number, row in rows:
        if None in row or None in row.values():
            raise ValueError(
                f"{path}, line {number}: expected the {len(columns)} cells {columns}, found another number"
            )
        item = known.get(row["id"])
        if item is None:
            example = next(iter(known), None)
            raise ValueError(
                f"{path}, line {number}: {row['id']!r} is no item of {benchmark} (an id is like {example!r})"
            )
        picked.append(replace(item, label=row["label"]) if row.get("label") else item)
    return picked


_LONGEST = 255  # bytes of a file name, on every usual file system
_LONGEST_PATH = 1024  # leaves room for the folder on systems that stop at 4096
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # the last are bytes that are not UTF-8
_LIST_COLUMNS = ("id", "label")
_THEN = f"Then name the folder that holds it: export {DATA_VARIABLE}=/path/to/it"

"""One file per benchmark, from its official layout on disk to items; each ends with BENCHMARKS and ``docs``.

Which pictures are evaluated is data: a benchmark has named item lists, and a user may give one as a CSV file.
"""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from sepm_eval import prompts
from sepm_eval.datasets.lists import Item as Item
from sepm_eval.datasets.lists import ItemList as ItemList
from sepm_eval.datasets.lists import from_csv, interleaved
from sepm_eval.datasets.lists import proportional as proportional
from sepm_eval.datasets.lists import whole as whole
from sepm_eval.datasets.names import flaw, unprintable
from sepm_eval.datasets.names import inside as inside
from sepm_eval.datasets.names import read_text as read_text
from sepm_eval.datasets.placeholders import NAMES, placeholders
from sepm_eval.digests import readable_sha256s
from sepm_eval.parsing import Options

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

DATA_VARIABLE = "SEPM_EVAL_DATA"
LISTS_VARIABLE = "SEPM_EVAL_LISTS"


class MissingData(FileNotFoundError):
    """A benchmark's release is not where it was looked for; the message says where, and how to get it."""


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
        partial: pictures of the release may have vanished from the web; those that are there are evaluated, and the
            placeholders that came instead of others are left out.
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

    @property
    def options(self) -> Options:
        """What the question offers."""
        return Options(tuple(self.names), tuple(self.names.values()))

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

        A named list has its classes interleaved (``interleaved``), so that its first items ask for every class; a
        user's CSV keeps its order.

        Args:
            chosen: name of a list, or a CSV file with the columns id and, if labels are to differ, label. By default
                what the environment variable SEPM_EVAL_LISTS names for this benchmark, or the first list.

        Raises:
            MissingData: the release or some of its files are not there.
            ValueError: an item has a label that the benchmark does not know, or the list is unknown or does not fit.
            OSError: a folder cannot be read.
        """
        folder = self.release()
        chosen = chosen or self.chosen_list()
        everything = self.read(folder)
        items = self._pick(everything, chosen)
        if not items:
            raise MissingData(f"{self.name}: {folder} has no items of the list {chosen!r}. {self.obtain} {_THEN}")
        unknown = sorted({item.label for item in items} - set(self.names))
        if unknown:
            raise ValueError(f"{self.name}: {folder} has the labels {unknown}; known are {list(self.names)}")
        for item in items:
            if why := flaw(item.id):
                raise ValueError(f"{self.name}: {folder} has an item called {item.id!r}: {why}; rename its file")
        twice = [key for key, count in Counter(item.id for item in items).items() if count > 1]
        if twice:
            raise ValueError(f"{self.name}: list {chosen!r} names {len(twice)} items twice, such as {twice[0]!r}")
        there = self._there(items, everything)
        return interleaved(there, self.names) if chosen in self.lists else there

    def chosen_list(self) -> str:
        """The item list set for this benchmark, or its default."""
        return list_settings().get(self.name, next(iter(self.lists)))

    def docs(self, _placeholder: Dataset) -> Dataset:
        """The items as lmms-eval documents (the task's ``process_docs``).

        The column ``picture`` is the SHA-256 of the picture's file, or "" where it cannot be read: with id and label it
        says what a run was asked on (``item_sets.item_set_digest``). An unreadable picture is a failed question later.
        ``labels`` and ``names`` are what the question offers, so that nobody has to read it from the text.

        lmms-eval repeats this call five times and hides what it raises in a RetryError. So a problem travels as the
        one document of the set, and is raised when that is first looked at (``sepm_eval.tasks.functions``).
        """
        from datasets import Dataset

        try:
            chosen, items = self.chosen_list(), self.items()
        except (OSError, ValueError) as error:
            return Dataset.from_list([{"problem": str(error)}])
        about: dict[str, Any] = {"benchmark": self.name, "item_list": chosen, "question": self.question()}
        about |= {"labels": list(self.names), "names": list(self.names.values())}
        pictures = readable_sha256s([item.path for item in items])
        return Dataset.from_list(
            [
                {"id": i.id, "image": str(i.path), "label": i.label, "picture": picture, **about, **i.extra}
                for i, picture in zip(items, pictures, strict=True)
            ]
        )

    def _there(self, items: Sequence[Item], everything: Sequence[Item]) -> list[Item]:
        """Those of the items whose picture is there.

        Raises:
            MissingData: some are not, and the release is one that can be had whole; or none is.
        """
        here = [item for item in items if _has_content(item.path)]
        if len(here) < len(items):
            there = {item.id for item in here}
            absent = next(item.path for item in items if item.id not in there)
            found = f"{len(items) - len(here)} of {len(items)} pictures are missing or empty, such as {absent}"
            if not self.partial or not here:
                raise MissingData(f"{self.name}: {found}. {self.obtain} {_THEN}")
            logger.warning("%s: %s; %d are evaluated", self.name, found, len(here))
        return self._without_placeholders(here, everything) if self.partial else here

    def _without_placeholders(self, here: list[Item], everything: Sequence[Item]) -> list[Item]:
        stand_ins = placeholders([item.path for item in everything if _has_content(item.path)])
        found = [item.path for item in here if item.path in stand_ins]
        if not found:
            return here
        told = (
            f"{self.name}: {len(found)} of {len(here)} pictures are one file under {NAMES} or more names, such as "
            f"{found[0]}: placeholders for pictures that were taken down"
        )
        if len(found) == len(here):
            raise MissingData(f"{told}. {self.obtain} {_THEN}")
        logger.warning("%s; they are left out, %d are evaluated", told, len(here) - len(found))
        return [item for item in here if item.path not in stand_ins]

    def _pick(self, items: list[Item], chosen: str) -> list[Item]:
        if chosen in self.lists:
            return self.lists[chosen](items)
        path = Path(os.path.expanduser(chosen))
        if path.suffix != ".csv":
            raise ValueError(
                f"{self.name}: unknown item list {chosen!r}; there are {list(self.lists)}, or name a .csv file"
            )
        if unprintable(chosen):
            raise ValueError(f"{self.name}: the item list {chosen!r} has control characters in its name; rename it")
        return from_csv(self.name, path, items, self.names)


def find_benchmarks() -> dict[str, Benchmark]:
    """The BENCHMARKS tables of every file in this folder, as one."""
    found: dict[str, Benchmark] = {}
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        found |= getattr(importlib.import_module(info.name), "BENCHMARKS", {})
    return found


def data_folder() -> Path:
    """Where releases are looked for: the environment variable SEPM_EVAL_DATA, or the user's data folder."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(os.path.expanduser(named)) if named else platformdirs.user_data_path("sepm_eval", appauthor=False)


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


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


_THEN = f"Then name the folder that holds it: export {DATA_VARIABLE}=/path/to/it"

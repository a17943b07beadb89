"""A benchmark: its question and its items, with checks that the pictures exist and the labels are valid."""

from __future__ import annotations

import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sepm_eval import prompts
from sepm_eval.datasets.environment import DATA_VARIABLE, data_folder, list_settings
from sepm_eval.datasets.lists import from_csv, interleaved
from sepm_eval.datasets.names import flaw, unprintable
from sepm_eval.datasets.placeholders import NAMES, placeholders
from sepm_eval.datasets.types import HubCopy, Item, ItemList, MissingData, OwnQuestion
from sepm_eval.parsing import Options

logger = logging.getLogger(__name__)

Links = Callable[[Path, int | None], tuple[list[tuple[str, Path]], list[str]]]


@dataclass(frozen=True)
class Benchmark:
    """An image-emotion benchmark.

    Attributes:
        name: the task's name.
        names: label -> name shown, in the order in which the question lists them.
        read: function that reads all items from the release's folder.
        folder: name of the release's folder inside the data folder, or a path elsewhere.
        obtain: where to get the release and how to lay it out.
        terms: terms of use, as far as they are known.
        lists: item lists by name, each a function that selects among the items of ``read``; the first is the default.
        partial: whether pictures of the release may have vanished from the web. Then the existing ones are evaluated,
            and placeholder pictures that a site returned instead are left out.
        title: the name of the data set in VLMEvalKit; by default the task's name.
        links: for a release that lists its pictures as links, a function of the release's folder and a number of rows
            (None for all). It returns the URL and the file of each picture, and an error message for each row without
            a valid link. `sepm-eval download` fetches the pictures. None if the release contains its pictures.
        hub: copies on the Hugging Face hub that `sepm-eval prepare` can fetch.
        archive: the file to download from the release's own site; "" if there is none.
        size: how many items the default list has in the whole release, as published; None if that is not known.
        licence: the terms in a word or two.
        form: whether a form must be filled in to get the release: "no", "yes" or "unclear".
        votes: whether people voted on each picture, so that every item has votes (see ``Item.extra``).
        own_questions: whether every item has a question of its own (``Item.question``). ``names`` are then the labels
            that an answer can have, and a letter stands for a different text in each question.
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
    links: Links | None = None
    hub: tuple[HubCopy, ...] = ()
    archive: str = ""
    size: int | None = None
    licence: str = "see terms"
    form: str = "no"
    votes: bool = False
    own_questions: bool = False

    @property
    def table_name(self) -> str:
        """The benchmark's name in VLMEvalKit, which is also that of its TSV file."""
        return self.title or self.name

    @property
    def options(self) -> Options:
        """The options of the question."""
        return Options(tuple(self.names), tuple(self.names.values()))

    def question(self) -> str:
        """The question in the paper's wording; for a benchmark with own questions only an example of their form."""
        options = zip(prompts.letters(len(self.names)), self.names.values(), strict=True)
        return prompts.fine(options, prompts.WORDINGS["paper"])

    def asked(self, item: Item) -> OwnQuestion:
        """The question of an item: its own, or the benchmark's."""
        return item.question or OwnQuestion(self.question(), self.options)

    @property
    def commands(self) -> tuple[str, ...]:
        """The shell commands to get the pictures: copies on the hub first, and item lists made from other copies last.

        Files that are not from the hub have to be downloaded first, as ``obtain`` says.
        """
        get = f"sepm-eval prepare {self.name} --source"
        found = [f"{get} hf:{copy.repository}" for copy in self.hub if not copy.item_list]
        if self.links is not None:
            found.append(f"sepm-eval download {self.name}")
        if self.archive:
            found.append(f"{get} {self.archive}")
        lists = (f"{get} hf:{copy.repository} --list {copy.item_list}" for copy in self.hub if copy.item_list)
        return (*found, *lists)

    def release(self) -> Path:
        """The folder of the release.

        Raises:
            MissingData: the folder does not exist.
        """
        folder = data_folder() / self.folder
        if not folder.is_dir():
            raise MissingData(f"{self.name}: no folder {folder}. {self.obtain} {_THEN}")
        return folder

    def items(self, chosen: str | None = None) -> list[Item]:
        """Read and check the items of one list.

        The classes of a named list are interleaved (see ``interleaved``), so that its first items cover every class; a
        user's CSV file keeps its order.

        Args:
            chosen: name of a list, or a CSV file with the column id, and a column label if labels should differ from
                the release. By default the list that the environment variable SEPM_EVAL_LISTS names for this
                benchmark, or the first list.

        Returns:
            The items whose picture exists, without placeholders.

        Raises:
            MissingData: the release or some of its files are missing.
            ValueError: an item has an unknown label or an invalid id, or the list is unknown, names an item twice or
                does not fit the release.
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
        """The item list that SEPM_EVAL_LISTS names for this benchmark, or its default list."""
        return list_settings().get(self.name, next(iter(self.lists)))

    @property
    def published(self) -> int | None:
        """How many items the list that is set has in the whole release, as published; None if that is not known."""
        return self.size if self.chosen_list() == next(iter(self.lists)) else None

    def warn_if_fewer(self, found: int) -> None:
        """Warn, once in this process, if fewer items than published are there; the set may have changed, or be cut off.

        Args:
            found: how many items of the list that is set there are.
        """
        if self.published is not None and found < self.published:
            _warn_once(
                f"{self.name}: {found:,} of {self.published:,} published items are in {data_folder() / self.folder}. "
                "Results are of these only. If the set has not changed since it was published, it is not whole: "
                "get it again"
            )

    def _there(self, items: Sequence[Item], everything: Sequence[Item]) -> list[Item]:
        """Select the items whose picture exists.

        Raises:
            MissingData: some pictures are missing although the release is not ``partial``, or all are missing.
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


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


_THEN = f"Then name the folder that holds it: export {DATA_VARIABLE}=/path/to/it"

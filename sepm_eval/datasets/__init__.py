"""One file per benchmark, from its official layout on disk to items; each ends with BENCHMARK and ``docs``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from sepm_eval import prompts

if TYPE_CHECKING:
    from datasets import Dataset

DATA_VARIABLE = "SEPM_EVAL_DATA"


class MissingData(FileNotFoundError):
    """A benchmark's release is not where it was looked for; the message says where, and how to get it."""


@dataclass(frozen=True)
class Item:
    """One picture of a benchmark.

    Attributes:
        id: what the release calls it.
        path: the file.
        label: its emotion, a key of the benchmark's names.
        extra: further columns, such as the artwork of a demo picture.
    """

    id: str
    path: Path
    label: str
    extra: dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """An image-emotion benchmark.

    Attributes:
        name: the task's name.
        names: label -> name shown, in the order the question lists them.
        read: the items of the test split, from the release's folder.
        folder: name of the release's folder inside the data folder, or a path of its own.
        obtain: where the release is to be had and how to lay it out.
    """

    name: str
    names: dict[str, str]
    read: Callable[[Path], list[Item]]
    folder: str | Path
    obtain: str

    def question(self) -> str:
        """The question every model is asked, in the paper's wording."""
        options = zip(prompts.letters(len(self.names)), self.names.values(), strict=True)
        return prompts.fine(options, prompts.WORDINGS["paper"])

    def items(self) -> list[Item]:
        """The items of the test split.

        Raises:
            MissingData: the release or some of its files are not there.
            ValueError: an item has a label that the benchmark does not know.
        """
        folder = data_folder() / self.folder
        if not folder.is_dir():
            raise MissingData(f"{self.name}: no folder {folder}. {self.obtain} {_WHERE}")
        items = self.read(folder)
        unknown = sorted({item.label for item in items} - set(self.names))
        if unknown:
            raise ValueError(f"{self.name}: {folder} has the labels {unknown}; known are {list(self.names)}")
        absent = [item.path for item in items if not item.path.is_file() or not item.path.stat().st_size]
        if absent:
            raise MissingData(
                f"{self.name}: {len(absent)} of {len(items)} pictures are missing or empty, such as {absent[0]}. "
                f"{self.obtain} {_WHERE}"
            )
        return items

    def docs(self, _placeholder: Dataset) -> Dataset:
        """The items as lmms-eval documents (the task's ``process_docs``).

        lmms-eval repeats this call five times and hides what it raises in a RetryError. So a problem travels as the
        one document of the set, and is raised when that is first looked at (``sepm_eval.tasks.functions``).
        """
        from datasets import Dataset

        try:
            items = self.items()
        except (MissingData, ValueError) as error:
            return Dataset.from_list([{"problem": str(error)}])
        question = self.question()
        rows = [
            {
                "id": i.id,
                "image": str(i.path),
                "label": i.label,
                "benchmark": self.name,
                "question": question,
                **i.extra,
            }
            for i in items
        ]
        return Dataset.from_list(rows)


def data_folder() -> Path:
    """Where releases are looked for: the environment variable SEPM_EVAL_DATA, or the user's data folder."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_data_path("sepm_eval", appauthor=False)


_WHERE = f"Releases are looked for in the folder named by the environment variable {DATA_VARIABLE}."

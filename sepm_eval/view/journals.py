"""An index of where each answer is in the journals, kept up to date while runs still write to them.

The journal of a large benchmark would take gigabytes as Python objects. So for each line only its run, task, document
and place in the file are kept, and a whole record is read from the file when somebody opens its item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sepm_eval.runs.journal_records import is_journal
from sepm_eval.runs.results import files_below

RunTask: TypeAlias = "tuple[str, str]"  # digest of a run's identity, and the task's name

# How the runner begins a line; a line that begins otherwise is parsed as a whole.
_BEGIN = re.compile(rb'\{"key": "[^"\\]*", "task": "([^"\\]*)", "doc_id": (\d+), "run": "([^"\\]*)"')


@dataclass
class _File:
    """What has been read of one journal.

    Attributes:
        end: offset of the end of its last whole line.
        offsets: offsets at which the records of each document begin, oldest first, by run and task.
        flaw: a sentence if some lines are no records or the file cannot be read; "" otherwise.
    """

    end: int = 0
    offsets: dict[RunTask, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    flaw: str = ""


class Journals:
    """All journals below some folders. Nothing is locked or written."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._files: dict[Path, _File] = {}

    @property
    def flaws(self) -> list[str]:
        """A sentence for each journal that cannot be read, or has lines that are no records and are left out."""
        return [one.flaw for one in self._files.values() if one.flaw]

    def read_on(self) -> bool:
        """Read what was written since the last call.

        Returns:
            Whether anything has changed.

        Raises:
            NoResults: one of the folders is gone.
        """
        changed = False
        there = dict.fromkeys(files_below(self._folders, "*.jsonl"))
        for gone in self._files.keys() - there.keys():
            changed = self._files.pop(gone) is not None
        for path in there:
            try:
                changed |= self._read_file(path)
            except OSError as error:
                self._files.setdefault(path, _File()).flaw = f"{path} cannot be read: {error.strerror}"
        return changed

    def _read_file(self, path: Path) -> bool:
        known = self._files.get(path)
        size = path.stat().st_size
        if known is None:
            if not size or not is_journal(path):
                return False
            known = self._files[path] = _File()
        if size < known.end:  # another file has taken its place
            known = self._files[path] = _File()
        before = known.end
        if size > before:
            _index(path, known)
        return known.end != before

    def documents(self) -> dict[RunTask, set[int]]:
        """The documents that each run has a record of, answered or failed, by run and task."""
        found: dict[RunTask, set[int]] = {}
        for file in self._files.values():
            for run_task, offsets in file.offsets.items():
                found.setdefault(run_task, set()).update(offsets)
        return found

    def records(self, run: str, task: str, doc_id: int) -> Iterator[dict[str, Any]]:
        """Yield the records of one document of a run, the newest of each file first.

        Args:
            run: digest of the run's identity.
            task: the task's name.
            doc_id: the document's number.
        """
        for path, known in self._files.items():
            offsets = known.offsets.get((run, task), {}).get(doc_id, ())
            if offsets:
                yield from _read(path, reversed(offsets))


def _index(path: Path, known: _File) -> None:
    with path.open("rb") as file:
        file.seek(known.end)
        for line in file:
            if not line.endswith(b"\n"):
                return  # being written
            begin, known.end = known.end, known.end + len(line)
            whose = _whose(line)
            if whose is None:
                known.flaw = known.flaw or f"{path} has lines that are no journal records; they are left out"
                continue
            run_task, doc_id = whose
            documents = known.offsets.setdefault(run_task, {})
            documents[doc_id] = (*documents.get(doc_id, ()), begin)


def _whose(line: bytes) -> tuple[RunTask, int] | None:
    """Run, task and document of a journal's line; None if it is no record, or of a version that does not say these."""
    found = _BEGIN.match(line)
    if found is not None:
        return (found[3].decode("ascii", "replace"), found[1].decode("ascii", "replace")), int(found[2])
    try:
        content = json.loads(line)
        whose = str(content["run"]), str(content["task"])
        return whose, int(content["doc_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _read(path: Path, offsets: Iterator[int]) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                content = json.loads(file.readline())
                if isinstance(content, dict):
                    yield content
    except (OSError, ValueError, RecursionError):  # the file was changed; the page shows that a record is missing
        return

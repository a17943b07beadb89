"""An append-only record of every question asked, and the answers a later run need not ask for again.

One JSON object a line. Lines are written in one call and synced a batch at a time, so a run that is killed loses at
most the batch in flight; a line it left unfinished is cut off when the journal is opened again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)


class Journal:
    """A journal file, open for appending and indexed by the keys of its answered records.

    The index holds places in the file, not records, so a long run stays small. Every record has ``key`` (what decides
    the answer), ``status`` ("answered" or "failed"), ``task`` and ``doc_id``. Failed ones are kept as a trace and never
    reused.
    """

    def __init__(self, path: Path, others: Sequence[Path] = ()) -> None:
        """Open or create a journal.

        Args:
            path: its file.
            others: journals whose answers serve too and that are only read, such as those of other processes.

        Raises:
            RuntimeError: another run is writing to it.
            OSError: it cannot be written; the message says what to do.
            ValueError: a line before the last is not a record, so the file is not a journal or was damaged.
        """
        self.path = path
        self._lock = FileLock(f"{path}.lock", timeout=0)
        self._answered: dict[str, tuple[Path, int]] = {}  # file, and where in it
        self._noted: set[tuple[str, str, int]] = set()
        try:
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "not a regular file")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take()
            _cut_torn_line(path)
            self._file = path.open("ab")
        except OSError as error:
            raise type(error)(
                error.errno, f"the journal {path} cannot be written ({error.strerror}); name another with journal=FILE"
            ) from error
        try:
            for place, record in _records(path):
                self._note(record, path, place)
            for other in others:
                for place, record in _records(other):
                    self._index(record, other, place)
        except ValueError:
            self.close()
            raise

    def __len__(self) -> int:
        """How many different questions it answers."""
        return len(self._answered)

    def find(self, key: str) -> dict[str, Any] | None:
        """The answered record with this key."""
        if key not in self._answered:
            return None
        path, place = self._answered[key]
        with path.open("rb") as file:
            file.seek(place)
            found: dict[str, Any] = json.loads(file.readline())
        return found

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records and sync them to disk. One that stands there already, of the same document, is left out."""
        new, place = [], self._file.tell()
        for record in records:
            if record["status"] == "failed" or _identity(record) not in self._noted:
                new.append(json.dumps(record).encode() + b"\n")  # ASCII: half a character can be written too
                self._note(record, self.path, place)
                place += len(new[-1])
        if not new:
            return
        self._file.write(b"".join(new))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file and let other runs have it."""
        self._file.close()
        self._lock.release()

    def _take(self) -> None:
        """Lock the journal, or say that it cannot be locked where the file system has no locks."""
        try:
            self._lock.acquire()
        except Timeout:
            raise RuntimeError(
                f"another run is writing to the journal {self.path}; wait for it, or name another file"
            ) from None
        except NotImplementedError:
            logger.warning("%s: no file locks there, so take care that no other run writes to it", self.path)

    def _note(self, record: dict[str, Any], path: Path, place: int) -> None:
        """Index a record of this file."""
        self._index(record, path, place)
        if record["status"] == "answered":
            self._noted.add(_identity(record))

    def _index(self, record: dict[str, Any], path: Path, place: int) -> None:
        if record["status"] == "answered":
            self._answered.setdefault(record["key"], (path, place))


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole records of a journal; none if there is no such file.

    Raises:
        ValueError: a line is not a record.
    """
    return [record for _, record in _records(path)]


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole records of a journal and where in the file each begins."""
    if not path.exists():
        return
    place = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # being written, or torn
            try:
                record = json.loads(line)
                _check(record)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a journal record ({error!r}); move the file away"
                ) from error
            yield place, record
            place += len(line)


def _check(record: dict[str, Any]) -> None:
    """Refuse what ``append`` would not have written."""
    answered = {"answered": True, "failed": False}[record["status"]]
    expected = {"key": str, "task": str, "doc_id": int, **({"text": str} if answered else {})}
    for name, kind in expected.items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} is {record[name]!r}")


def question_key(**parts: Any) -> str:
    """Digest of everything that decides an answer: picture, question, method, model, versions."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["key"], record["task"], record["doc_id"]


def _cut_torn_line(path: Path) -> None:
    """Remove what follows the last line break: a record whose writing was interrupted."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("r+b") as file:
        position = file.seek(0, os.SEEK_END)
        kept = 0
        while position and not kept:
            start = max(position - 65536, 0)
            file.seek(start)
            kept = file.read(position - start).rfind(b"\n") + 1
            position, kept = start, start + kept if kept else 0
        file.truncate(kept)

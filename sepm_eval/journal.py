"""An append-only record of every question asked, and the answers a later run need not ask for again.

One JSON object a line. Lines are written in one call and synced a batch at a time, so a run that is killed loses at
most the batch in flight; a line it left unfinished is cut off when the journal is opened again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


class Journal:
    """A journal file, open for appending and indexed by the keys of its answered records.

    The index holds places in the file, not records, so a long run stays small. Every record has ``key`` (what decides
    the answer), ``status`` ("answered" or "failed"), ``task`` and ``doc_id``. Failed ones are kept as a trace and never
    reused.
    """

    def __init__(self, path: Path) -> None:
        """Open or create a journal.

        Raises:
            RuntimeError: another run is writing to it.
            ValueError: a line before the last is not a record, so the file is not a journal or was damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise RuntimeError(
                f"another run is writing to the journal {path}; wait for it, or name another file"
            ) from None
        self._answered: dict[str, int] = {}  # where in the file
        self._noted: set[tuple[str, str, int]] = set()
        _cut_torn_line(path)
        for place, record in _records(path):
            self._index(record, place)
        self._file = path.open("ab")

    def __len__(self) -> int:
        """How many different questions it answers."""
        return len(self._answered)

    def find(self, key: str) -> dict[str, Any] | None:
        """The answered record with this key."""
        place = self._answered.get(key)
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            found: dict[str, Any] = json.loads(file.readline())
        return found

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records and sync them to disk. One that stands there already, of the same document, is left out."""
        new, place = [], self._file.tell()
        for record in records:
            if record["status"] == "failed" or _identity(record) not in self._noted:
                new.append(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                self._index(record, place)
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

    def _index(self, record: dict[str, Any], place: int) -> None:
        if record["status"] == "answered":
            self._answered.setdefault(record["key"], place)
            self._noted.add(_identity(record))


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
                _identity(record), record["status"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a journal record ({error!r}); move the file away"
                ) from error
            yield place, record
            place += len(line)


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

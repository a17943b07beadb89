"""The journal: an append-only file of every question asked and its answer, which a later run can reuse.

A journal has one JSON object a line. The lines of a batch are written in one call and synced to disk together, so a run
that is killed loses at most the batch in progress. An unfinished last line is cut off when the journal is opened again;
a file that is not a journal is never truncated.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import Timeout

from sepm_eval.files import locked, sync_folder

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

START = b'{"key": '  # how every record, and so every journal, begins


class Journal:
    """A journal file, open for appending and indexed by the keys of its answered records.

    The index holds file offsets, not records, so it needs little memory even in a long run. Every record has ``key`` (a
    digest of all that decides the answer, see ``question_key``), ``status`` ("answered" or "failed"), ``task`` and
    ``doc_id``. Failed records are kept for the reader of the journal and never reused.

    Only one run at a time can hold the file, whatever path it uses: a symbolic link is resolved before the lock file is
    made, and the file itself is locked too (not on Windows), so that two hard links to one file are noticed.
    """

    def __init__(self, path: Path, others: Sequence[Path] = ()) -> None:
        """Open or create a journal.

        Args:
            path: the journal's file.
            others: journals that are only read and whose answers are used too, such as those of other processes.

        Raises:
            RuntimeError: another run is writing to the file.
            OSError: the file cannot be written; the message says what to do.
            ValueError: the file is not a journal or is damaged; it is left unchanged.
        """
        self.path = path
        self._noted: set[bytes] = set()
        real = Path(os.path.realpath(path))
        with ExitStack() as held:
            try:
                _check_start(path)
                real.parent.mkdir(parents=True, exist_ok=True)
                self._take(real, held)
                self._file = held.enter_context(real.open("a+b", buffering=0))
                _take_file(self._file, path, held)
                sync_folder(real.parent)
            except OSError as error:
                raise self._unwritable(error, "name another with journal=FILE") from error
            offsets, self._end = _index(path, self._noted)
            if not self._end:
                _check_torn(path)
            self._file.truncate(self._end)
            self._check_unchanged()
            self._own = _Answers(held.enter_context(path.open("rb")), path, offsets)
            self._all = [self._own]
            for other in filter(Path.exists, others):
                theirs, _ = _index(other)
                self._all.append(_Answers(held.enter_context(other.open("rb")), other, theirs))
            self._held = held.pop_all()

    def __len__(self) -> int:
        """How many different questions have an answer, in this file and in the other journals."""
        return len(set().union(*(answers.offsets for answers in self._all)))

    def find(self, key: str) -> dict[str, Any] | None:
        """The answered record with this key, or None.

        Raises:
            OSError: the file was changed since it was opened.
        """
        digest = _digest(key)
        holder = next((answers for answers in self._all if digest in answers.offsets), None)
        return None if holder is None else holder.read(key)

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records and sync them to disk; an answered one that this file already has for its document is left out.

        Raises:
            OSError: the records could not be written, and the file is as long as before; or another program deleted,
                replaced or changed the file.
        """
        lines: list[bytes] = []
        end, noted = self._end, set[bytes]()
        offsets: dict[bytes, int] = {}
        for record in records:
            _check(record)
            if record["status"] == "answered":
                identity = _digest(record["key"], record["task"], record["doc_id"])
                if identity in self._noted or identity in noted:
                    continue
                noted.add(identity)
                offsets.setdefault(_digest(record["key"]), end)
            # The key comes first (see START). The text is ASCII, so that half of a surrogate pair can be written too.
            lines.append(json.dumps({"key": record["key"], **record}).encode() + b"\n")
            end += len(lines[-1])
        self._check_unchanged()
        if not lines:
            return
        self._write(b"".join(lines))
        self._end = end
        self._noted |= noted
        for digest, offset in offsets.items():
            self._own.offsets.setdefault(digest, offset)
        self._check_unchanged()

    def close(self) -> None:
        """Close the file and release its locks."""
        self._held.close()

    def _take(self, real: Path, held: ExitStack) -> None:
        """Lock the journal by a lock file beside it (see ``locked``)."""
        try:
            held.enter_context(locked(real))
        except Timeout:
            raise _taken(self.path) from None

    def _write(self, content: bytes) -> None:
        """Append content and sync it; if that fails, what was written of it is cut off again."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            with suppress(OSError):  # the next append will find that the file's length has changed
                self._file.truncate(self._end)
            if isinstance(error, OSError):
                raise self._unwritable(error, "what was answered before stands in it") from error
            raise

    def _check_unchanged(self) -> None:
        """Check that the path still leads to the open file, and that no other program has written to it.

        Raises:
            OSError: the file is gone, was replaced, or has another length than this run left it with.
        """
        ours = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except OSError as error:
            raise self._unwritable(error, _GONE) from error
        if not os.path.samestat(ours, there):
            raise OSError(errno.EEXIST, f"the journal {self.path} was replaced by another file; {_GONE}")
        if ours.st_size != self._end:
            raise OSError(
                errno.EBUSY,
                f"the journal {self.path} has {ours.st_size} bytes where this run left {self._end}: another program "
                "writes to it; stop that, and start again",
            )

    def _unwritable(self, error: OSError, remedy: str) -> OSError:
        return type(error)(error.errno, f"the journal {self.path} cannot be written ({error.strerror}); {remedy}")


_GONE = "what this run has answered so far was written to a file that is gone: start again"


class _Answers:
    """The answered records of one file: for the digest of each key, the offset at which the record begins."""

    def __init__(self, file: BinaryIO, path: Path, offsets: dict[bytes, int]) -> None:
        self.offsets = offsets
        self._file = file
        self._path = path

    def read(self, key: str) -> dict[str, Any]:
        """Read the record with this key, whose digest must be among the offsets.

        Raises:
            OSError: the record is no longer at its offset.
        """
        self._file.seek(self.offsets[_digest(key)])
        try:
            record: dict[str, Any] = json.loads(self._file.readline())
            if record["key"] != key:
                raise ValueError("another record")
        except (ValueError, LookupError, TypeError) as error:
            raise OSError(errno.EBUSY, f"the journal {self._path} was changed while a run was using it") from error
        return record


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete records of a journal, one at a time; none if there is no such file.

    Raises:
        ValueError: a line is not a record.
    """
    if path.exists():
        with path.open("rb") as file:
            for _, _, record in _scan(file, path):
                yield record


def read_journal(path: Path | str) -> list[dict[str, Any]]:
    """All complete records of a journal as a list, for small journals; an empty list if there is no such file.

    Raises:
        ValueError: a line is not a record.
    """
    return list(records(Path(path)))


def answers_below(folder: Path) -> int:
    """How many answers the journals of a plan's folder hold.

    Raises:
        ValueError: a line is not a record.
    """
    journals = (folder / "journals").glob("*.jsonl")
    return sum(record["status"] == "answered" for path in journals for record in records(path))


def question_key(**parts: Any) -> str:
    """SHA-256, as hexadecimal digits, of everything that decides an answer: pictures, text, method, model, versions."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(*parts: str | int) -> bytes:
    """A digest of 16 bytes that stands for a key, or for a key, a task and a document, in the index."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()


def _scan(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield the complete records of a journal, each after the offsets at which it begins and ends.

    Raises:
        ValueError: a line is not a record.
    """
    start = 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break  # the line is being written, or was left unfinished
        try:
            record = json.loads(line)
            _check(record)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}, line {number} is not a journal record ({error!r}); move the file away, or name another"
            ) from error
        end = start + len(line)
        yield start, end, record
        start = end


def _index(path: Path, noted: set[bytes] | None = None) -> tuple[dict[bytes, int], int]:
    """For the digest of each key the offset of a journal's answered record, and where the last complete line ends.

    Args:
        path: the journal.
        noted: a set to which the digests of key, task and document of all answered records are added.

    Raises:
        ValueError: a line is not a record.
    """
    offsets: dict[bytes, int] = {}
    last = 0
    with path.open("rb") as file:
        for start, end, record in _scan(file, path):
            last = end
            if record["status"] == "answered":
                offsets.setdefault(_digest(record["key"]), start)
                if noted is not None:
                    noted.add(_digest(record["key"], record["task"], record["doc_id"]))
    return offsets, last


def _check(record: dict[str, Any]) -> None:
    """Raise a KeyError or a TypeError if a value is not a journal record."""
    answered = {"answered": True, "failed": False}[record["status"]]
    expected = {"key": str, "task": str, "doc_id": int, **({"text": str} if answered else {})}
    for name, kind in expected.items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} is {record[name]!r}")


def _check_start(path: Path) -> None:
    """Refuse a file that does not begin like a journal, before a lock file is made beside it.

    Raises:
        OSError: the path is a folder, a pipe or the like.
        ValueError: the file does not begin like a journal.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        start = file.read(len(START))
    if not START.startswith(start):
        raise ValueError(f"{path} is not a journal: it begins with {start!r}; name another file with journal=FILE")


def _check_torn(path: Path) -> None:
    """Refuse a file that has no complete line, unless it is empty or the beginning of a record.

    Raises:
        ValueError: the file holds something else.
    """
    text = path.read_bytes().decode("latin-1")
    whole = text.isascii() and text.isprintable()  # true of every record
    try:
        record, end = json.JSONDecoder().raw_decode(text)
        _check(record)
        whole = whole and end == len(text)
    except (KeyError, TypeError):
        whole = False
    except (ValueError, RecursionError):
        pass  # the record is unfinished
    if not whole:
        raise ValueError(f"{path} is not a journal: no record is in it; name another file with journal=FILE")


def _take_file(file: BinaryIO, path: Path, held: ExitStack) -> None:
    """Lock the file itself, which works across hard links; if the system cannot, the lock file alone protects it."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(path) from None
    except OSError as error:
        logger.debug("%s: %s", path, error)
    else:
        held.callback(fcntl.flock, file, fcntl.LOCK_UN)


def _taken(path: Path) -> RuntimeError:
    return RuntimeError(f"another run is writing to the journal {path}; wait for it, or name another file")

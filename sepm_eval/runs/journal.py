"""An append-only record of every question asked, and the answers a later run need not ask for again.

One JSON object a line. Lines are written in one call and synced a batch at a time, so a run that is killed loses at
most the batch in flight; a line it left unfinished is cut off when the journal is opened again. Nothing is ever cut off
a file that is not a journal.
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

from filelock import FileLock, Timeout

from sepm_eval.files import sync_folder

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

START = b'{"key": '  # of every record, so of every journal


class Journal:
    """A journal file, open for appending and indexed by the keys of its answered records.

    The index holds offsets in the file, not records, so a long run stays small. Every record has ``key`` (what decides
    the answer), ``status`` ("answered" or "failed"), ``task`` and ``doc_id``. Failed ones are kept as a trace and never
    reused.

    The file belongs to one run at a time, whatever names it is reached by: a link's target is locked, and so is the
    file itself where the system can (not on Windows), which tells hard links of one file.
    """

    def __init__(self, path: Path, others: Sequence[Path] = ()) -> None:
        """Open or create a journal.

        Args:
            path: its file.
            others: journals whose answers serve too and that are only read, such as those of other processes.

        Raises:
            RuntimeError: another run is writing to it.
            OSError: it cannot be written; the message says what to do.
            ValueError: it is not a journal or was damaged, and is left as it was.
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
        """How many different questions it answers."""
        return len(set().union(*(answers.offsets for answers in self._all)))

    def find(self, key: str) -> dict[str, Any] | None:
        """The answered record with this key.

        Raises:
            OSError: the file was changed since it was opened.
        """
        digest = _digest(key)
        holder = next((answers for answers in self._all if digest in answers.offsets), None)
        return None if holder is None else holder.read(key)

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records and sync them to disk. One that stands there already, of the same document, is left out.

        Raises:
            OSError: they could not be written, and the file ends where it ended before; or it was deleted, replaced or
                changed by somebody else.
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
            # the key first, as a journal begins; ASCII, so that half a character can be written too
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
        """Close the file and let other runs have it."""
        self._held.close()

    def _take(self, real: Path, held: ExitStack) -> None:
        """Lock the journal, or say that it cannot be locked where the file system has no locks."""
        lock = FileLock(f"{real}.lock", timeout=0)
        held.callback(lock.release)
        try:
            lock.acquire()
        except Timeout:
            raise _taken(self.path) from None
        except NotImplementedError:
            logger.warning("%s: no file locks there, so take care that no other run writes to it", self.path)

    def _write(self, content: bytes) -> None:
        """Put content at the end and sync it; if that fails, what came of it is cut off again."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            with suppress(OSError):  # then the next append finds it changed
                self._file.truncate(self._end)
            if isinstance(error, OSError):
                raise self._unwritable(error, "what was answered before stands in it") from error
            raise

    def _check_unchanged(self) -> None:
        """Whether the path still names the file that is written to, and nobody else writes to it.

        Raises:
            OSError: it does not.
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
    """Where the answered records of one file begin, by the digests of their keys."""

    def __init__(self, file: BinaryIO, path: Path, offsets: dict[bytes, int]) -> None:
        self.offsets = offsets
        self._file = file
        self._path = path

    def read(self, key: str) -> dict[str, Any]:
        """The record with a key that is among the offsets.

        Raises:
            OSError: it is no longer there.
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
    """The whole records of a journal, one at a time; none if there is no such file.

    Raises:
        ValueError: a line is not a record.
    """
    if path.exists():
        with path.open("rb") as file:
            for _, _, record in _scan(file, path):
                yield record


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole records of a journal at once, for small ones; none if there is no such file.

    Raises:
        ValueError: a line is not a record.
    """
    return list(records(path))


def question_key(**parts: Any) -> str:
    """Digest of everything that decides an answer: picture, question, method, model, versions."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(*parts: str | int) -> bytes:
    """16 bytes in offset of a key, or of a key, a task and a document."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()


def _scan(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The whole records of a journal, and where in the file each begins and ends.

    Raises:
        ValueError: a line is not a record.
    """
    start = 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break  # being written, or torn
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
    """Where a journal's answered records begin, by the digests of their keys, and where its whole lines end.

    Args:
        path: the journal.
        noted: is given the digests of key, task and document of them all.

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
    """Refuse what is no record."""
    answered = {"answered": True, "failed": False}[record["status"]]
    expected = {"key": str, "task": str, "doc_id": int, **({"text": str} if answered else {})}
    for name, kind in expected.items():
        if not isinstance(record[name], kind):
            raise TypeError(f"{name} is {record[name]!r}")


def _check_start(path: Path) -> None:
    """Refuse a file that does not begin as a journal, before anything is made beside it.

    Raises:
        OSError: it is a folder, a pipe or the like.
        ValueError: it holds something else.
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
    """Refuse a file without a whole line, unless it is empty or the beginning of a record.

    Raises:
        ValueError: it is something else.
    """
    text = path.read_bytes().decode("latin-1")
    whole = text.isascii() and text.isprintable()  # as every record is
    try:
        record, end = json.JSONDecoder().raw_decode(text)
        _check(record)
        whole = whole and end == len(text)
    except (KeyError, TypeError):
        whole = False
    except (ValueError, RecursionError):
        pass  # it ends in the middle
    if not whole:
        raise ValueError(f"{path} is not a journal: no record is in it; name another file with journal=FILE")


def _take_file(file: BinaryIO, path: Path, held: ExitStack) -> None:
    """Lock the file itself, which is one under all its names. Where that cannot be done, the lock beside it must do."""
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

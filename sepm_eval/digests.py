"""Digests of whole files, taken once: what a checkpoint and a picture are known by.

A digest is remembered in the user's cache folder under everything that changes when a file does: its path, size, inode,
and the times of its last change in content (mtime) and in any respect (ctime, which no program can set). A file that
changed within the last seconds is not remembered, because a second change could leave the same times. Without a
writable cache every digest is taken anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)

_SETTLED = 10.0  # seconds after which a file's times tell of every change
_WORKERS = 4
_TABLE = "CREATE TABLE IF NOT EXISTS digests (file TEXT PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL)"


def file_sha256s(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of the content of each file.

    Args:
        paths: the files.

    Returns:
        The digests in hexadecimal, in the same order.

    Raises:
        OSError: a file cannot be read.
    """
    with _memory() as memory, ThreadPoolExecutor(_WORKERS) as pool:
        names, states = _names(paths), [_state(path) for path in paths]
        known = memory.find(names)
        settled = time.time() - _SETTLED
        new = [i for i, name in enumerate(names) if known.get(name, ("", ""))[0] != states[i]]
        taken = dict(zip(new, pool.map(sha256_of, [paths[i] for i in new]), strict=True))
        memory.keep(
            [
                (names[i], states[i], digest)
                for i, digest in taken.items()
                if _last_change(paths[i]) < settled and _state(paths[i]) == states[i]
            ]
        )
        return [taken[i] if i in taken else known[name][1] for i, name in enumerate(names)]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    return file_sha256s([path])[0]


def readable_sha256s(paths: Sequence[Path]) -> list[str]:
    """Like ``file_sha256s``, but a file that cannot be read has the digest ""."""
    try:
        return file_sha256s(paths)
    except OSError:
        if len(paths) == 1:
            return [""]
        middle = len(paths) // 2  # halves, so that one bad file costs no more than reading the others again
        return readable_sha256s(paths[:middle]) + readable_sha256s(paths[middle:])


def _names(paths: Sequence[Path]) -> list[str]:
    """What each file is remembered by: its folder without links, looked up once for all files in it, and its name."""
    folders = {parent: os.path.realpath(parent) for parent in {path.parent for path in paths}}
    return [
        os.path.join(folders[path.parent], path.name).encode("utf-8", "backslashreplace").decode() for path in paths
    ]


def _state(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def _last_change(path: Path) -> float:
    found = path.stat()
    return max(found.st_mtime, found.st_ctime)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file, taken anew whatever is remembered."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Memory:
    """The digests of earlier calls. Without a database it remembers nothing."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self._database = database

    def find(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """For each of these files that is remembered, its state and its digest."""
        if self._database is None:
            return {}
        found = {}
        try:
            for name in names:
                row = self._database.execute("SELECT state, sha256 FROM digests WHERE file = ?", (name,)).fetchone()
                if row is not None:
                    found[name] = row
        except sqlite3.Error:
            return {}
        return found

    def keep(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Remember file, state and digest."""
        if self._database is None or not rows:
            return
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            logger.debug("digests are not remembered: %s", error)


@contextmanager
def _memory() -> Iterator[_Memory]:
    database = _open()
    if database is None:
        yield _Memory(None)
        return
    with closing(database):
        yield _Memory(database)


def _open() -> sqlite3.Connection | None:
    path = platformdirs.user_cache_path("sepm_eval", appauthor=False) / "digests.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=5)
        database.execute(_TABLE)
    except (OSError, sqlite3.Error) as error:
        logger.debug("no memory of digests at %s: %s", path, error)
        return None
    return database

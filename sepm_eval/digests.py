"""SHA-256 digests of whole files, which identify checkpoints and pictures; a file is read again only if it changed.

A digest is stored in the user's cache folder together with everything that changes when a file changes: its path, size,
inode, and the times of its last change in content (mtime) and in any respect (ctime, which no program can set). The
digest of a file that changed within the last seconds is not stored, because a second change could leave both times as
they are. Without a writable cache folder every digest is computed anew.
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

_SETTLED = 10.0  # seconds since a file's last change, after which any further change is sure to alter its times
_WORKERS = 4
_TABLE = "CREATE TABLE IF NOT EXISTS digests (file TEXT PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL)"


def file_sha256s(paths: Sequence[Path]) -> list[str]:
    """Compute or look up the SHA-256 of the content of each file.

    Args:
        paths: the files.

    Returns:
        The digests in hexadecimal, in the order of the paths.

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


def readable_sha256s(paths: Sequence[Path]) -> list[str]:
    """Like ``file_sha256s``, but the digest of a file that cannot be read is the empty string."""
    try:
        return file_sha256s(paths)
    except OSError:
        if len(paths) == 1:
            return [""]
        middle = len(paths) // 2  # in halves, so that one bad file costs little more than reading the others again
        return readable_sha256s(paths[:middle]) + readable_sha256s(paths[middle:])


def _names(paths: Sequence[Path]) -> list[str]:
    """The key of each file: its folder with links resolved (once for all files of a folder), and its name."""
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
    """Compute the SHA-256 of a whole file, even if its digest is stored."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Memory:
    """The stored digests of earlier calls; without a database nothing is stored."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self._database = database

    def find(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Look up the state and the digest of each of these files that has a stored digest."""
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
        """Store rows of file, state and digest."""
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

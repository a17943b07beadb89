"""Atomic writing: a file exists whole or not at all, even if a kill, a full disk or a power cut stops the writing.

And locks, by which only one program at a time writes to a place.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from filelock import FileLock

logger = logging.getLogger(__name__)

_PART = ".part"


def write_whole(path: Path, content: bytes | str, *, repeatable: bool = False) -> None:
    """Write or replace a file atomically: at every moment the path holds the old file or the new one.

    Args:
        path: the file; its folder must exist.
        content: the new content; a text is written as UTF-8.
        repeatable: see ``writing_whole``.

    Raises:
        OSError: the file cannot be written; a file that existed before is unchanged.
    """
    with writing_whole(path, repeatable=repeatable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path, *, repeatable: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to ``path`` once it is whole; for content that is made piece by piece.

    The temporary file lies in the folder of ``path``. Its name ends in ".part", and no other process uses this name.
    It is removed if anything fails.

    Args:
        path: the file; its folder must exist.
        repeatable: only one process at a time writes this file, and can make it again. The temporary name is then
            always the same one, so that a new writer overwrites what a killed writer left. Nothing waits for the disk,
            which would take long for thousands of files; so after a power cut the file may be damaged.

    Yields:
        The temporary file, opened for writing bytes.

    Raises:
        OSError: the file cannot be written; a file that existed before is unchanged.
    """
    key = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32] if repeatable else uuid.uuid4().hex
    part = path.with_name(f".{key}{_PART}")
    try:
        with part.open("wb" if repeatable else "xb") as file:
            yield file
            if not repeatable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    if not repeatable:
        sync_folder(path.parent)


@contextmanager
def text_of(file: BinaryIO) -> Iterator[TextIO]:
    """Wrap a file of ``writing_whole`` for text: UTF-8, line ends written as given; the file stays open afterwards."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield text
    text.detach()


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the lock file ``place``.lock; if the file system has no locks, log a warning and go on.

    Args:
        place: what is locked; the folder that it lies in must exist.

    Raises:
        filelock.Timeout: another program holds the lock.
        OSError: the lock file cannot be written.
    """
    lock = FileLock(f"{place}.lock", timeout=0)
    try:
        lock.acquire()
    except NotImplementedError:
        logger.warning("%s: no file locks there, so take care that no other run writes to it", place)
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed writers anywhere below a folder; nobody may be writing there now."""
    for part in folder.rglob(f".*{_PART}"):
        if re.fullmatch(rf"\.[0-9a-f]{{32}}{re.escape(_PART)}", part.name):
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new file names in a folder survive a power cut, where the system can do that."""
    with suppress(OSError):  # Windows cannot open a folder, and some file systems cannot sync one
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""Files that are there whole or not at all, whatever stops the writing: a kill, a full disk, a power cut."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PART = ".part"


def write_whole(path: Path, content: bytes | str) -> None:
    """Write or replace a file in one step: at every moment there is the old one or the new one.

    Args:
        path: the file; its folder must exist.
        content: what it is to hold; a text is written as UTF-8.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with writing_whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that gets its name at the end, when it is whole; for content that is made piece by piece.

    Until then it lies beside it under a name of its own, which no other process takes and which ends in ".part". It is
    removed if anything fails.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    part = path.with_name(f".{uuid.uuid4().hex}{_PART}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed left anywhere below a folder that nobody is writing to now."""
    for part in folder.rglob(f".*{_PART}"):
        if re.fullmatch(rf"\.[0-9a-f]{{32}}{re.escape(_PART)}", part.name):
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    with suppress(OSError):  # Windows opens no folders, some file systems sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

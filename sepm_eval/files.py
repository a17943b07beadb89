"""Files that are there whole or not at all, whatever stops the writing: a kill, a full disk, a power cut."""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

_PART = ".part"


def write_whole(path: Path, content: bytes | str, *, repeatable: bool = False) -> None:
    """Write or replace a file in one step: at every moment there is the old one or the new one.

    Args:
        path: the file; its folder must exist.
        content: what it is to hold; a text is written as UTF-8.
        repeatable: see ``writing_whole``.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with writing_whole(path, repeatable=repeatable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path, *, repeatable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to that gets its name at the end, when it is whole; for content that is made piece by piece.

    Until then it lies beside it under a name of its own, which no other process takes and which ends in ".part". It is
    removed if anything fails.

    Args:
        path: the file; its folder must exist.
        repeatable: only one process at a time writes this file, and can make it again. So its former name is always the
            same, and a new writer takes what a killed one left; and nothing waits for the disk, which thousands of
            files would do long: after a power cut the file may be damaged.

    Raises:
        OSError: it cannot be written; what was there is as it was.
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
    """A file of ``writing_whole`` as one for text: UTF-8, lines ended as they are given. It stays open afterwards."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield text
    text.detach()


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

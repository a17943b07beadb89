"""Names and texts that come out of a release, checked before anything is done with them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath


def inside(folder: Path, name: str, where: str) -> Path:
    """A path named by a release's list or archive, which must not lead out of the release on any system.

    Raises:
        ValueError: it does, or is no file name everywhere; ``where`` says in which list and row.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or ":" in name:
        raise ValueError(
            f"{where}: the path {name!r} leads out of the release; write a relative one with /, without : and .."
        )
    if why := flaw(name):
        raise ValueError(f"{where}: the path {name!r} is no file name: {why}")
    return folder / path


def read_text(path: Path, release: str) -> str:
    """The text of a list that a release must have.

    Raises:
        ValueError: it is not there, not a file, or not UTF-8; the message names it.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}: it is not {release}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from error


def unprintable(text: str) -> bool:
    """Whether a text has characters that would act on a screen or tear a table, or bytes that are not UTF-8."""
    return _UNPRINTABLE.search(text) is not None


def flaw(name: str) -> str:
    """Why a name would not survive tables, logs and other systems; "" if it would."""
    if unprintable(name):
        return "it has control characters or is not UTF-8"
    if any(len(part.encode()) > _LONGEST for part in name.split("/")):
        return f"a part of it is longer than {_LONGEST} bytes"
    if len(name.encode()) > _LONGEST_PATH:
        return f"it is longer than {_LONGEST_PATH} bytes"
    return ""


_LONGEST = 255  # bytes of a file name, on every usual file system
_LONGEST_PATH = 1024  # leaves room for the folder on systems that stop at 4096
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # the last are bytes that are not UTF-8

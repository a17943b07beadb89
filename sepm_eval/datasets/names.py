"""Checks of names and texts from a release, made before they are used."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from sepm_eval.datasets.types import MissingData


def safe_path(folder: Path, name: str, where: str) -> Path:
    """The path of a file that a release's list or archive names; it must not lead out of the release on any system.

    Args:
        folder: the folder of the release.
        name: the path as the list or archive gives it.
        where: the list and row, for messages.

    Returns:
        The path in the folder.

    Raises:
        ValueError: the path leads out of the folder, or is not a valid file name on every system.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or ":" in name:
        raise ValueError(
            f"{where}: the path {name!r} leads out of the release; write a relative one with /, without : and .."
        )
    if why := flaw(name):
        raise ValueError(f"{where}: the path {name!r} is not a file name: {why}")
    return folder / path


def read_text(path: Path, release: str) -> str:
    """Read a text file that a release must have; ``release`` is the name of the release, for messages.

    Raises:
        MissingData: the file does not exist, which may be because the release's preparation was interrupted.
        ValueError: the path is not a file, or is not UTF-8; the message names it.
    """
    if not path.exists():
        raise MissingData(
            f"{path.parent} has no {path.name}: it is not {release}, or its preparation was interrupted; prepare the "
            "set again"
        )
    if not path.is_file():
        raise ValueError(f"{path} is not a file: {path.parent} is not {release}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from error


def unprintable(text: str) -> bool:
    """Whether a text has control characters, which disturb terminals and tables, or bytes that are not UTF-8."""
    return _UNPRINTABLE.search(text) is not None


def flaw(name: str) -> str:
    """Why a name cannot be used in tables, in logs or on other systems; "" if it can."""
    if unprintable(name):
        return "it has control characters or is not UTF-8"
    if any(len(part.encode()) > _LONGEST for part in name.split("/")):
        return f"a part of it is longer than {_LONGEST} bytes"
    if len(name.encode()) > _LONGEST_PATH:
        return f"it is longer than {_LONGEST_PATH} bytes"
    return ""


_LONGEST = 255  # bytes of a file name on all common file systems
_LONGEST_PATH = 1024  # bytes; leaves room for the parent folder on systems with a limit of 4096
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # the last range: bytes that are not UTF-8

"""Answers that other projects publish, scored again. There is one file for each project's layout and rule.

A reader is found because it is a module of this folder with ``READERS = {"name": read}``; ``read`` takes a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from sepm_eval.plugins import built_in
from sepm_eval.report.published.answers import AnswerFile

Read = Callable[[Path], list[AnswerFile]]


@cache
def readers() -> dict[str, Read]:
    """The readers by the name of their project."""
    return {found.name: found.value for found in built_in(__name__, __path__, "READERS")}


def read_published(project: str, folder: Path) -> list[AnswerFile]:
    """Read the answers that a project published.

    Args:
        project: its name, one of ``readers()``.
        folder: the project's files, or some of them, as they were downloaded.

    Returns:
        One value for each file of answers.

    Raises:
        ValueError: the project is unknown, or the folder does not hold its answers in the layout that is known.
    """
    if project not in readers():
        raise ValueError(f"--from {project!r}: there are readers for {', '.join(readers())}")
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    return readers()[project](folder)

"""``sepm-eval rescore --from PROJECT``: answers that a project published, scored by its rule and by ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sepm_eval.cli._app import console, new_table, stop
from sepm_eval.report.text import visible

if TYPE_CHECKING:
    from sepm_eval.report.published.answers import AnswerFile, Published

_LONGEST = 300  # characters shown of a long answer, half from its beginning and half from its end


def rescore_published(project: str, folders: Sequence[Path]) -> None:
    """Print for every file the figures by both rules, and every answer that the two rules read differently.

    Args:
        project: name of the project whose answers these are.
        folders: folders with the project's published files.
    """
    from sepm_eval.report.published import read_published

    try:
        files = [file for folder in folders for file in read_published(project, folder)]
    except (ValueError, OSError) as error:
        stop(str(error))
    for file in files:
        _show(file)


def _show(file: AnswerFile) -> None:
    table = new_table("", "the project's rule %", "ours %", "difference")
    table.title = visible(f"{file.model}: {file.benchmark}, N = {len(file.answers)}")
    for name, theirs, ours in file.figures():
        table.add_row(visible(name), f"{theirs:.2f}", f"{ours:.2f}", f"{ours - theirs:+.2f}")
    console.print(table)
    counts = ", ".join(f"{file.count(status)} {status}" for status in ("right", "wrong", "unparsed", "failed"))
    console.print(f"{file.path}: by our rule {counts}", markup=False, soft_wrap=True)
    if file.left_out:
        console.print(f"{file.left_out} answers are left out: they are graded by marks, or not in the project's table")
    console.print(f"{len(file.disputed)} answers are read differently")
    for one in file.disputed:
        console.print(visible(_line(one)), markup=False, soft_wrap=True)


def _line(one: Published) -> str:
    verdict = "right" if one.right else "wrong"
    read = f"{one.theirs}, {verdict}" if one.theirs else verdict
    text = one.text
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return f"{one.item}: theirs {read}; ours {one.ours or one.status}; the answer is {one.target}; written {text!r}"

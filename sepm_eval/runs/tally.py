"""The running accuracy that is shown behind the progress bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.runs.asking import Asked


@dataclass
class Tally:
    """The running accuracy of the present task, for the progress display only.

    Attributes:
        task: the task.
        right: number of right answers.
        scored: number of answers whose right label is known.
    """

    task: str = ""
    right: int = 0
    scored: int = 0

    def add(self, asked: Asked, record: Mapping[str, Any]) -> None:
        """Count an answer, unless it failed or its right label is not known; a new task starts from zero."""
        if asked.target is None or record["status"] == "failed":
            return
        if asked.task != self.task:
            self.task, self.right, self.scored = asked.task, 0, 0
        self.right += record.get("label") == asked.target
        self.scored += 1

    def __str__(self) -> str:
        return f"{self.task} acc {self.right / self.scored:.1%}" if self.scored else ""

"""The running accuracy beside the progress bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.runs.asking import Asked


@dataclass
class Tally:
    """The running accuracy of the task being worked on, for the progress display only.

    Attributes:
        task: the task.
        right: how many answers were right.
        scored: how many answers there were whose right label is known.
    """

    task: str = ""
    right: int = 0
    scored: int = 0

    def add(self, asked: Asked, record: Mapping[str, Any]) -> None:
        """Count an answer, if it is one and the right label is known; another task starts from nothing."""
        if asked.target is None or record["status"] == "failed":
            return
        if asked.task != self.task:
            self.task, self.right, self.scored = asked.task, 0, 0
        self.right += record.get("label") == asked.target
        self.scored += 1

    def __str__(self) -> str:
        return f"{self.task} acc {self.right / self.scored:.1%}" if self.scored else ""

"""Checks that a run's answers are those of its method.

A method that is to drop visual tokens and never does only repeats zero-shot; and plain generation may have answered
questions that the method could not be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.runs.outcomes import Run, lost_tokens


@dataclass
class PruningCounter:
    """Counts, while answers arrive, for how many of them a visual token of the picture was dropped.

    Attributes:
        who: the method and the model, for the message.
        wanted: whether the method is to drop visual tokens (``Method.drops``).
        recorded: number of answers that record whether tokens were dropped.
        pruned: number of answers that record that tokens were dropped.
    """

    who: str
    wanted: bool
    recorded: int = 0
    pruned: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a journal record; records of failed questions, and those without this information, do not count."""
        lost = lost_tokens(record.get("dropped"), record.get("tokens_left"), record.get("visual_tokens"))
        self.recorded += lost is not None
        self.pruned += lost is True

    def restart(self) -> None:
        """Set the counts to zero, before other questions are asked."""
        self.recorded = self.pruned = 0

    def flaw(self) -> str:
        """A sentence if the method is to drop tokens but never did; "" otherwise, or if no answer records it."""
        return _sentence(self.who, self.recorded) if self.wanted and self.recorded and not self.pruned else ""


def never_pruned(run: Run) -> str:
    """Warning for a run whose method never dropped a visual token although its options ask for it.

    Returns:
        A sentence; "" for any other run, and if no journal record says whether tokens were dropped.
    """
    pruned, known = run.pruned
    if not run.drops or not known or pruned:
        return ""
    return _sentence(f"{run.column}, {run.title}", known)


def _sentence(who: str, pictures: int) -> str:
    return (
        f"{who} dropped no visual token of any of {pictures} pictures, although its options say so: these are "
        "zero-shot's answers under another name, and must not be reported as this method's"
    )


def answered_plainly(run: Run) -> str:
    """Warning for a run in which plain generation answered questions that the method could not be asked.

    Returns:
        A sentence; "" if the method answered all questions.
    """
    if not run.plain:
        return ""
    return (
        f"{run.column}, {run.title}: {run.plain} of {len(run.outcomes)} questions were answered by plain generation, "
        f"as {run.method} needs emotions of both polarities: these are no answers of {run.method}"
    )

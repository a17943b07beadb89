"""Proof that a method that drops visual tokens did: an adapter that does nothing answers as zero-shot does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.runs.outcomes import Run, lost_tokens


@dataclass
class Dropping:
    """Counts, while answers come, how many say that the picture lost a visual token.

    Attributes:
        who: the method and the model.
        wanted: whether the method is to drop tokens (``Method.drops``).
        told: how many answers say whether it did.
        fired: how many say that it did.
    """

    who: str
    wanted: bool
    told: int = 0
    fired: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a journal record; what failed, or does not say, does not count."""
        lost = lost_tokens(record.get("dropped"), record.get("tokens_left"), record.get("visual_tokens"))
        self.told += lost is not None
        self.fired += lost is True

    def restart(self) -> None:
        """Begin with other questions."""
        self.told = self.fired = 0

    def flaw(self) -> str:
        """Say that it never did although it is to; "" otherwise, and where no answer tells."""
        return _sentence(self.who, self.told) if self.wanted and self.told and not self.fired else ""


def never_pruned(run: Run) -> str:
    """Say that a run's method never dropped a visual token although its options ask for it.

    Returns:
        A sentence; "" of any other run, and where no record tells.
    """
    fired, known = run.pruned
    if not run.drops or not known or fired:
        return ""
    return _sentence(f"{run.column}, {run.title}", known)


def _sentence(who: str, pictures: int) -> str:
    return (
        f"{who} dropped no visual token of any of {pictures} pictures, although its options say so: these are "
        "zero-shot's answers under another name, and no result"
    )


def answered_plainly(run: Run) -> str:
    """Say that a run's method was not asked, because its questions have no sense for it.

    Returns:
        A sentence; "" if the method answered all questions.
    """
    plain = sum(outcome.plain for outcome in run.outcomes)
    if not plain:
        return ""
    return (
        f"{run.column}, {run.title}: {plain} of {len(run.outcomes)} questions were answered by plain generation, as "
        f"{run.method} needs emotions of both polarities: these are no answers of {run.method}"
    )

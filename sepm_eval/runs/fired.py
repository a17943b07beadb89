"""Proof that a method that drops visual tokens did: an adapter that does nothing answers as zero-shot does."""

from __future__ import annotations

from sepm_eval.runs.outcomes import Run


def pruned(run: Run) -> list[bool]:
    """Whether the picture lost a visual token, of each scored outcome whose record says so."""
    found = (one.record.pruned for one in run.scored if one.record is not None)
    return [one for one in found if one is not None]


def never_pruned(run: Run) -> str:
    """Say that a run's method never dropped a visual token although its options ask for it.

    Returns:
        A sentence; "" of any other run, and where no record tells.
    """
    told = pruned(run)
    if not run.drops or not told or any(told):
        return ""
    return (
        f"{run.column}, {run.title} dropped no visual token of any of {len(told)} pictures, although its options say "
        "so: these are zero-shot's answers under another name, and no result"
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

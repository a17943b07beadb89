"""Proof that a method that drops visual tokens did: an adapter that does nothing answers as zero-shot does."""

from __future__ import annotations

from sepm_eval.runs.outcomes import Run


def never_pruned(run: Run) -> str:
    """Say that a run's method never dropped a visual token although its options ask for it.

    Returns:
        A sentence; "" of any other run, and where no record tells.
    """
    fired, known = run.pruned
    if not run.drops or not known or fired:
        return ""
    return (
        f"{run.column}, {run.title} dropped no visual token of any of {known} pictures, although its options say "
        "so: these are zero-shot's answers under another name, and no result"
    )

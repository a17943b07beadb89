"""Choose which of the runs that were found are compared with each other."""

from __future__ import annotations

from collections.abc import Sequence

from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.pairs import DifferentItems, paired
from sepm_eval.runs.plan import logged_options, split_method


def choose(runs: Sequence[Run], method: str, model: str, where: str) -> list[Run]:
    """Choose the runs of one model with one method: one run for each set of items.

    Args:
        runs: the runs to choose from.
        method: as in a plan ("sepm,beta=0.1") or as in a report ("sepm (beta=0.1)"); "" accepts any method, if
            all runs have the same one.
        model: the model's name, or a part of it; "" accepts any model, if all runs have the same one.
        where: where the runs were looked for, named in messages.

    Returns:
        The runs, all of one model and one method.

    Raises:
        ValueError: no run matches, or runs of several models or methods do; the message lists what there is.
    """
    named = [run for run in runs if model in (run.model, run.identity.checkpoint, run.identity.key)]
    chosen = (named or [run for run in runs if model in run.model]) if model else list(runs)
    if method:
        try:
            chosen = [run for run in chosen if run.variant == method] or _with_options(chosen, method)
        except ValueError as error:
            raise ValueError(f"{where}: {error}. There are runs of {_list(runs)}") from error
    asked = " ".join(filter(None, (method, f"of {model}" if model else "")))
    if not chosen:
        raise ValueError(f"{where}: there is no run {asked}. There are {_list(runs)}")
    answering = dict.fromkeys(run.identity.digest for run in chosen)
    if len(answering) > 1:
        raise ValueError(
            f"{where}: {len(answering)} different runs are {asked or 'there'}: {_list(chosen)}. Say which with "
            "--a, --b and --model"
        )
    return chosen


def _with_options(runs: Sequence[Run], method: str) -> list[Run]:
    """Find the runs of a method that is written as in a plan; for a stock model, the runs of its entry.

    Runs with polarities set by hand are left out.

    Raises:
        ValueError: ``method`` is not a method as a plan writes it.
    """
    if any(run.entry == method for run in runs):
        return [run for run in runs if run.entry == method]
    name, _ = split_method(method)
    options = logged_options(method)
    mine = [run for run in runs if run.identity.method == name and not run.identity.polarity]
    return [run for run in mine if dict(run.identity.options) == options]


def side_by_side(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[tuple[Run, Run]], list[str]]:
    """Pair the runs of two methods or models that were asked the same items.

    Args:
        first: runs of one model and method.
        second: runs of the other.

    Returns:
        The pairs; and for each task of which both have runs, but only over different items, a sentence that says why
        these runs are not a pair.

    Raises:
        DifferentItems: no two runs are a pair; the message says why.
    """
    theirs = {run.exam: run for run in second}
    both = [(run, theirs[run.exam]) for run in first if run.exam in theirs]
    refused = []
    exams = {one.exam for one, _ in both}
    for run in first:
        others = [one for one in second if one.task == run.task and one.exam not in exams]
        if run.exam not in exams and others:
            try:
                paired(run, others[0])
            except DifferentItems as error:
                refused.append(str(error))
    if not both:
        told = [", ".join(sorted({run.task for run in runs})) for runs in (first, second)]
        raise DifferentItems("; ".join(refused) or f"no task in common: A has runs of {told[0]}, B of {told[1]}")
    return both, refused


def _list(runs: Sequence[Run]) -> str:
    return "; ".join(dict.fromkeys(f"{run.title} ({run.entry})" for run in runs))

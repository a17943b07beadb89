"""Pairing two runs item by item, which is allowed only if they were asked the same."""

from __future__ import annotations

from collections.abc import Iterable

from sepm_eval.plurals import counted
from sepm_eval.runs.outcomes import Outcome, Run


class DifferentItems(ValueError):
    """Two runs cannot be compared item by item, because they were not asked the same."""


def paired(first: Run, second: Run) -> list[tuple[Outcome, Outcome]]:
    """The outcomes of two runs as pairs, one for each item; an item that failed in either run is left out.

    Raises:
        DifferentItems: the runs are over different tasks, item lists, items, labels, pictures or questions.
    """
    asked = [[(one.item, one.question) for one in run.outcomes] for run in (first, second)]
    if first.exam == second.exam and asked[0] == asked[1]:  # same items in the same order: the usual case
        return _answered(zip(first.outcomes, second.outcomes, strict=True))
    for what in ("task", "item_list"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            raise DifferentItems(f"{first.title} and {second.title} differ in their {what}: {one!r} and {other!r}")
    ours = {outcome.item: outcome for outcome in first.outcomes}
    theirs = {outcome.item: outcome for outcome in second.outcomes}
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise DifferentItems(
            f"{first.title} and {second.title} were asked different items of {first.task}: {len(odd)} are only in one, "
            f"such as {odd[0]!r}. Run both over the same list, without --limit"
        )
    for what, name in (("target", "labels"), ("sha256", "pictures"), ("question", "questions")):
        unequal = [item for item, one in ours.items() if getattr(one, what) != getattr(theirs[item], what)]
        if unequal:
            raise DifferentItems(
                f"{first.title} and {second.title} had other {name} for {counted(len(unequal), 'item')} of "
                f"{first.task}, such as {unequal[0]!r}"
            )
    pairs = [(outcome, theirs[item]) for item, outcome in ours.items()]
    return _answered(pairs)


def _answered(pairs: Iterable[tuple[Outcome, Outcome]]) -> list[tuple[Outcome, Outcome]]:
    return [pair for pair in pairs if all(outcome.score.status != "failed" for outcome in pair)]

"""Finished runs side by side: their order, and which one counts if the same run was logged several times."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from sepm_eval.methods import KINDS, kind_of
from sepm_eval.runs.names import column_names, model_names, weights_apart
from sepm_eval.runs.outcomes import Run


def arranged(runs: Iterable[Run]) -> list[Run]:
    """Runs with unique names, one log of each, sorted by task, model, kind of method and method.

    If several logs have the same identity and cover the same items, only one of them is kept: a log in which everything
    was answered is preferred to one in which an answer failed or is missing; among equals the latest is kept.
    """
    same: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        same.setdefault((run.exam, run.identity.digest), []).append(run)
    apart = weights_apart(run.identity for group in same.values() for run in group)
    chosen = []
    for group in same.values():
        group.sort(key=lambda run: (run.answered_all, run.date, str(run.source)))
        *others, best = group
        superseded = tuple(run.source for run in others)
        chosen.append(dataclasses.replace(best, superseded=superseded, weights=apart[best.identity.digest]))
    models, columns = model_names(chosen), column_names(chosen)
    named = [
        dataclasses.replace(run, model=models[run.identity.of_model.digest], column=columns[run.exam]) for run in chosen
    ]
    titles = Counter(one for one, _ in {(run.called, run.variant) for run in named})
    named = [  # if two variants would be called the same, the variant's name is appended
        dataclasses.replace(run, called=f"{run.called} [{run.variant}]") if titles[run.called] > 1 else run
        for run in named
    ]
    order = {name: [*KINDS, ""].index(kind_of(name)) for name in {run.method for run in named}}
    return sorted(named, key=lambda r: (r.task, r.column, r.model, order[r.method], r.method, r.variant, r.entry))

"""Finished runs side by side: in which order, and which of several logs of the same run counts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from sepm_eval.methods import KINDS, kind_of
from sepm_eval.runs.names import column_names, model_names, weights_apart
from sepm_eval.runs.outcomes import Run


def arranged(runs: Iterable[Run]) -> list[Run]:
    """Runs named apart and sorted by task, model, kind of method and method; of logs of the same run one counts.

    Of several logs with the same identity over the same items, one in which everything was answered counts before one
    in which something failed, and of equals the latest.
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
    named = [  # two variants that would be called the same have their names behind it
        dataclasses.replace(run, called=f"{run.called} [{run.variant}]") if titles[run.called] > 1 else run
        for run in named
    ]
    order = {name: [*KINDS, ""].index(kind_of(name)) for name in {run.method for run in named}}
    return sorted(named, key=lambda r: (r.task, r.column, r.model, order[r.method], r.method, r.variant, r.entry))

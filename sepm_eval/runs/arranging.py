"""Finished runs side by side: names that tell them apart, their order, and which of several logs of a run counts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sepm_eval.methods import KINDS, kind_of
from sepm_eval.runs.identity import Identity, differences, weights_apart
from sepm_eval.runs.outcomes import OUR_ENTRIES, Run


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
    models, columns = _model_names(chosen), _columns(chosen)
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


def _model_names(runs: Sequence[Run]) -> dict[str, str]:
    """A name for each model, by the digest of its identity.

    Ours share a name only if they are the same in everything; a stock model may share the name of its checkpoint with
    ours, so that they stand in one table, because its entry tells them apart there.
    """
    groups: dict[tuple[str, str], dict[str, Identity]] = {}
    for run in runs:
        model = run.identity.of_model
        groups.setdefault((model.checkpoint, _shown_entry(run)), {})[model.digest] = model
    names: dict[str, str] = {}
    for (checkpoint, _), models in groups.items():
        odd = differences(list(models.values()))
        for digest, identity in models.items():
            told = ", ".join(f"{name.rpartition('.')[2]}={identity.fields().get(name)}" for name in odd)
            names[digest] = f"{checkpoint} ({told})" if odd else checkpoint
    return _unique(names, {run.identity.of_model.digest: _shown_entry(run) for run in runs})


def _shown_entry(run: Run) -> str:
    """What tells models of one name apart in a table: of a stock model its entry; ours have nothing but their name."""
    return "" if run.entry.startswith(OUR_ENTRIES) else run.entry


def _unique(names: dict[str, str], entries: Mapping[str, str]) -> dict[str, str]:
    """The same, where two models of ours, or of one entry, would still share a name with a part of their digest."""
    count = Counter((entries[digest], name) for digest, name in names.items())
    return {
        digest: f"{name} [{digest[:8]}]" if count[entries[digest], name] > 1 else name for digest, name in names.items()
    }


def _columns(runs: Sequence[Run]) -> dict[str, str]:
    """A name for each set of items, by the run's exam: the task where it is the only one of it."""
    groups: dict[str, dict[str, Run]] = {}
    for run in runs:
        groups.setdefault(run.task, {}).setdefault(run.exam, run)
    names = {}
    for task, exams in groups.items():
        told = {exam: f"{task} [{Path(run.item_list).name}, {run.part}]" for exam, run in exams.items()}
        count = Counter(told.values())
        for exam, name in told.items():
            if len(exams) == 1:
                names[exam] = task
            elif count[name] == 1:
                names[exam] = name
            else:
                names[exam] = f"{name[:-1]}, set {exam[:8]}]"
    return names

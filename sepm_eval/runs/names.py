"""What runs are called beside one another: models, sets of items and weights that differ have names that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sepm_eval.runs.identity import OUR_ENTRIES, Identity, differences

if TYPE_CHECKING:
    from sepm_eval.runs.outcomes import Run


def weights_apart(identities: Iterable[Identity]) -> dict[str, str]:
    """By each identity's digest: which weights its method had of its own, if another is the same but for these.

    "clip at 1a2b..."; "" of one that no other is so like.
    """
    alike: dict[str, dict[str, Identity]] = {}
    for identity in identities:
        alike.setdefault(replace(identity, weights={}).digest, {})[identity.digest] = identity
    return {
        digest: ", ".join(f"{option} at {one}" for option, one in identity.weights.items()) if len(group) > 1 else ""
        for group in alike.values()
        for digest, identity in group.items()
    }


def model_names(runs: Sequence[Run]) -> dict[str, str]:
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


def column_names(runs: Sequence[Run]) -> dict[str, str]:
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

"""Names of runs in a comparison: models, sets of items and weights that differ get different names."""

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
    """By each identity's digest, the weights that its method loaded, such as "clip at 1a2b...".

    They are named only if another identity is the same except for these weights; otherwise the text is "".
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
    """A name for each model, by the digest of ``Identity.of_model``.

    Two models of ours have the same name only if all their settings are the same. A host's own model may have the same
    name as ours, that of their checkpoint: they then share one table, in which the entry tells them apart.
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
    """The entry by which a table tells a host's own model from others of its name; "" for a model of ours."""
    return "" if run.entry.startswith(OUR_ENTRIES) else run.entry


def _unique(names: dict[str, str], entries: Mapping[str, str]) -> dict[str, str]:
    """The names, with a part of the digest appended if two models of ours, or of one entry, still share a name."""
    count = Counter((entries[digest], name) for digest, name in names.items())
    return {
        digest: f"{name} [{digest[:8]}]" if count[entries[digest], name] > 1 else name for digest, name in names.items()
    }


def column_names(runs: Sequence[Run]) -> dict[str, str]:
    """A name for each set of items, by the run's exam: the task's name if the task has only one set of items."""
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

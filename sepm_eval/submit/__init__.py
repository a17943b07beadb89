"""Write runs in the form that leaderboards and archives take. There is one file per target; each ends with FORMATS.

Other packages add formats by entry points of the group ``sepm_eval.submissions``: name -> a ``Writer``.

A writer whose attribute ``without_runs`` is true takes no runs: what it writes is not made from runs.

Everything is written to files; nothing is uploaded, and no access token is read. A file is checked against the
requirements of its target before it counts as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sepm_eval.plugins import built_in, by_name, installed, merged
from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.plan import slug

GROUP = "sepm_eval.submissions"
_HUB_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)(?:@.*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class About:
    """What a target needs to know and no run says.

    Attributes:
        organization: who ran the evaluation.
        datasets: by task, the benchmark's id on the Hugging Face Hub.
        benchmarks: our benchmarks by name (``datasets.find_benchmarks``), for writers that use them and not runs.
    """

    organization: str = ""
    datasets: Mapping[str, str] = field(default_factory=dict)
    benchmarks: Mapping[str, Any] = field(default_factory=dict)


Writer = Callable[[Sequence[Run], Path, About], list[Path]]


class Incomplete(ValueError):
    """A run that must not be submitted; the message says why."""


def formats() -> dict[str, Writer]:
    """All formats by name: those of the files in this folder, and those of other packages.

    A format of another package whose name is already taken is left out with a warning.

    Raises:
        ValueError: two files of this folder have a format of the same name; the message says which.
    """
    ours = built_in(__name__, __path__, "FORMATS")
    return merged({"submission format": by_name}, ours, installed(GROUP, _check))


def _check(_name: str, value: Any) -> None:
    """Refuse a value that is no ``Writer``.

    Raises:
        TypeError: the value cannot be called.
    """
    if not callable(value):
        raise TypeError(f"expected a function of runs, folder and About, found {type(value).__name__}")


def hub_id(run: Run) -> str:
    """The repository on the Hugging Face Hub whose weights answered; "" if it is not known.

    It is known if the run's revision consists of commits. A local folder has a digest of its files instead, and its
    name proves nothing.
    """
    named = _HUB_ID.fullmatch(run.identity.checkpoint)
    commits = run.identity.revision.split("+")  # of the checkpoint, and of its vision tower if that has its own
    return named[1] if named and all(map(_COMMIT.fullmatch, commits)) else ""


def model_folder(run: Run) -> str:
    """A name for a model's files, which no other model has."""
    return f"{slug(run.model)[:80]}-{run.identity.key}"


def submit(runs: Sequence[Run], target: str, out: Path, about: About) -> list[Path]:
    """Write runs for a target, and return the files written.

    Raises:
        ValueError: the target is unknown, a run is incomplete, or something that the target needs is not known.
    """
    known = formats()
    if target not in known:
        raise ValueError(f"unknown format {target!r}; there are {sorted(known)}")
    if not runs and not getattr(known[target], "without_runs", False):
        raise ValueError(f"{target} is made of finished runs: name their folders")
    for run in runs:
        if not run.complete:
            raise Incomplete(
                f"{run.column}, {run.title} is incomplete: asked {run.part} items, "
                f"{run.count('failed')} failed, {run.missing} missing. Finish it, or name folders without it"
            )
    return known[target](runs, out, about)

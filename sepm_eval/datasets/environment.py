"""Environment variables about benchmarks: where their releases are, and which item lists are evaluated."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_VARIABLE = "SEPM_EVAL_DATA"
LISTS_VARIABLE = "SEPM_EVAL_LISTS"


def data_folder() -> Path:
    """The folder that holds the releases: the environment variable SEPM_EVAL_DATA, or the user's data folder."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(os.path.expanduser(named)) if named else platformdirs.user_data_path("sepm_eval", appauthor=False)


def list_settings() -> dict[str, str]:
    """Benchmark -> item list, from the environment variable SEPM_EVAL_LISTS ("emotion6=full,abstract=unique").

    Raises:
        ValueError: the variable does not have this form, or names no benchmark.
    """
    from sepm_eval.datasets import find_benchmarks

    found = {}
    for part in filter(None, os.environ.get(LISTS_VARIABLE, "").split(",")):
        name, equals, chosen = part.partition("=")
        if not equals or not name.strip() or not chosen.strip():
            raise ValueError(f"{LISTS_VARIABLE}={os.environ[LISTS_VARIABLE]!r}: write benchmark=list,benchmark=list")
        found[name.strip()] = chosen.strip()
    known = find_benchmarks() if found else {}
    if unknown := sorted(found.keys() - known.keys()):
        raise ValueError(f"{LISTS_VARIABLE} names {unknown}, which are no benchmarks; there are {sorted(known)}")
    return found

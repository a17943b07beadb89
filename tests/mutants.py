"""Plausible slips in the core, made one at a time in a copy of the checkout: the named tests must notice each.

No part of `make test`. `make mutants` prints the mutants that survive and exits with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from slips import SLIPS

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300  # seconds for the tests of one mutant; one that hangs is noticed too


def _copy(folder: Path) -> Path:
    """A copy of the checkout in `folder` in which the two mapped folders resolve inside the copy."""
    copy = folder / "copy"
    left_out = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache", "build")
    shutil.copytree(ROOT, copy, ignore=left_out, symlinks=True)
    for name in ("tasks", "model_wrappers"):
        (copy / "sepm_eval" / name).symlink_to(Path("..") / name)
    return copy


def _run(copy: Path, names: str) -> None:
    """Run the named test files in this process on `copy`, and exit with pytest's status (9: imported elsewhere)."""
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(f"tests/test_{n}.py" for n in names.split())]))
    places = [getattr(sys.modules.get(name), "__file__", None) or "" for name in ("sepm_eval", "sepm_eval.tasks")]
    os._exit(9 if not status and any(p and not p.startswith(str(copy)) for p in places) else status)


def _status(copy: Path, names: str) -> int | None:
    """pytest's status for the named test files on `copy`; None if they had to be ended."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(copy, names))
    child.start()
    child.join(LIMIT)
    if child.exitcode is None:
        child.kill()
        child.join()
        return None
    return child.exitcode


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every mutant, or those of the files that are named; the number of survivors decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="mutate these files only, as they are named in slips.py")
    chosen = parser.parse_args(arguments).files or list(SLIPS)
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for library in (
        "pytest",
        "torch",
        "transformers",
        "scipy.stats",
        "sklearn.metrics",
        "statsmodels.stats.api",
        "datasets",
        "hypothesis",
        "lmms_eval",
        "matplotlib.pyplot",
    ):
        with contextlib.suppress(ImportError):
            __import__(library)  # once, before the tests of each mutant are forked off
    tried, survivors, broken = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(Path(folder))
        for file in chosen:
            tests, pairs = SLIPS[file]
            path = copy / file
            original = path.read_text(encoding="utf-8")
            if status := _status(copy, tests):
                print(f"UNUSABLE {file}: its tests fail without a mutant (status {status})", flush=True)
                broken += 1
                continue
            for old, new in pairs:
                if original.count(old) != 1:
                    print(f"UNUSABLE {file}: {old!r} occurs {original.count(old)} times", flush=True)
                    broken += 1
                    continue
                path.write_text(original.replace(old, new), encoding="utf-8")
                status, tried = _status(copy, tests), tried + 1
                path.write_text(original, encoding="utf-8")
                if status == 0 or status not in (None, 1, 2):
                    survivors += 1
                    print(f"SURVIVED {file} (status {status}): {old!r} -> {new!r}", flush=True)
    print(f"{tried} mutants tried, {tried - survivors} killed, {survivors} survived, {broken} unusable", flush=True)
    return 1 if survivors or broken else 0


if __name__ == "__main__":
    sys.exit(main())

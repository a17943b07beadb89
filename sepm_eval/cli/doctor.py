"""``sepm-eval doctor``: in one screen, what is installed, what is ready, and what will not work and why."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from importlib.util import find_spec

import platformdirs
import typer
from packaging.requirements import Requirement
from rich.markup import escape

from sepm_eval.cli._app import app, console, new_table
from sepm_eval.cli.data import state
from sepm_eval.datasets import data_folder, find_benchmarks
from sepm_eval.runs import environment

Finding = tuple[str, str, str]  # what, "ok" | "note" | "broken", in words

_LEAST_FREE = 5 * 2**30


@app.command()
def doctor() -> None:
    """Say what is installed, which data are ready, which device is used; exits 1 if something needed is broken."""
    table = new_table("what", "state", "")
    findings = [finding for look in (_packages, _hosts, _machine, _data) for finding in _readable(look)]
    colours = {"ok": "green", "note": "yellow", "broken": "red"}
    for what, verdict, words in findings:
        table.add_row(what, f"[{colours[verdict]}]{verdict}[/]", escape(words))
    console.print(table)
    if any(verdict == "broken" for _, verdict, _ in findings):
        raise typer.Exit(1)


def _readable(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds, and, where it meets a folder that it may not read, that."""
    try:
        yield from look()
    except OSError as error:
        yield look.__name__.strip("_"), "broken", str(error)


def _packages() -> Iterator[Finding]:
    yield "python", "ok", sys.version.split()[0]
    yield "sepm-eval", "ok", f"{version('sepm-eval')}, commit {environment.commit() or 'unknown'}"
    for line in requires("sepm-eval") or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield wanted.name, "broken", f"not installed; pip install '{line}'"
            continue
        if wanted.specifier.contains(found, prereleases=True):
            if wanted.name in environment.DECISIVE:
                yield wanted.name, "ok", found
        else:
            yield wanted.name, "broken", f"{found} does not fit {wanted.specifier}; pip install '{line}'"


def _hosts() -> Iterator[Finding]:
    ours = [point for point in entry_points(group="lmms_eval.models") if point.value.startswith("sepm_eval.")]
    if ours:
        yield "lmms-eval models", "ok", "sepm_llava, sepm_vila and the tasks are registered"
    else:
        yield "lmms-eval models", "broken", "the entry point is missing: install sepm-eval again (pip install .)"
    if find_spec("decord") is None:
        yield "decord", "note", "not installed: lmms-eval's stock llava_hf cannot be loaded (pip install decord)"
    for name in ("llava", "vila"):
        if (spec := find_spec(name)) is not None:
            where = spec.origin or next(iter(spec.submodule_search_locations or ()), "?")
            yield name, "note", f"another package of this name is at {where}; sepm-eval does not use it"
    if find_spec("vlmeval") is None:
        yield "VLMEvalKit", "note", "not installed; pip install 'sepm-eval[vlmeval]' for the second host"
    else:
        yield "VLMEvalKit", "ok", "installed; importing it turns TLS checks off, `sepm-eval vlmeval` restores them"


def _machine() -> Iterator[Finding]:
    for device in environment.devices():
        slow = device.startswith("CPU")
        yield "device", "note" if slow else "ok", device + (": a 7B model takes minutes a picture" if slow else "")
    state_folder = platformdirs.user_state_path("sepm_eval", appauthor=False)
    there = next(folder for folder in (state_folder, *state_folder.parents) if folder.exists())
    if os.access(there, os.W_OK):
        yield "journals", "ok", str(state_folder)
    else:
        yield "journals", "broken", f"{there} cannot be written: give journal=FILE in --model_args"
    free = shutil.disk_usage(there).free
    yield "free disk", "ok" if free > _LEAST_FREE else "note", f"{free / 2**30:.0f} GiB at {there}"
    offline = [
        name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name, "0") not in ("0", "")
    ]
    if offline:
        yield "hub", "note", f"{' and '.join(offline)} is set: only checkpoints in the cache or in folders load"


def _data() -> Iterator[Finding]:
    yield "data folder", "ok" if data_folder().is_dir() else "note", str(data_folder())
    for name, benchmark in sorted(find_benchmarks().items()):
        there, count = state(benchmark)
        verdict = "ok" if there == "yes" else "broken" if there.startswith("broken") else "note"
        words = f"{count} pictures, list {benchmark.chosen_list()!r}" if count else f"{there}: {benchmark.obtain}"
        yield f"task {name}", verdict, words

"""``sepm-eval doctor``: one table of what is installed, what is ready, and what will not work and why."""

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
from sepm_eval.methods import find_method, method_names
from sepm_eval.model_wrappers import backbone_names, find_backbones, plugin_backbones
from sepm_eval.runs import environment
from sepm_eval.runs.identity import OUR_ENTRIES

Finding = tuple[str, str, str]  # what was checked, "ok" | "note" | "broken", the finding in words

_LEAST_FREE = 5 * 2**30  # bytes of free disk below which a note is given


@app.command()
def doctor() -> None:
    """Say which packages, checkpoints, data and devices there are; exits 1 if something needed is broken."""
    table = new_table("what", "state", "")
    findings = [
        finding
        for look in (_packages, _hosts, _methods, _backbones, _checkpoints, _machine, _data)
        for finding in _readable(look)
    ]
    colours = {"ok": "green", "note": "yellow", "broken": "red"}
    for what, verdict, words in findings:
        table.add_row(what, f"[{colours[verdict]}]{verdict}[/]", escape(words))
    console.print(table)
    if any(verdict == "broken" for _, verdict, _ in findings):
        raise typer.Exit(1)


def _readable(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; if it cannot read a file or folder, that is its last finding."""
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
        models = ", ".join(f"{OUR_ENTRIES}{name}" for name in backbone_names())
        yield "lmms-eval models", "ok", f"{models} and the tasks are registered"
    else:
        yield "lmms-eval models", "broken", "the entry point is missing: install sepm-eval again (pip install .)"
    if find_spec("decord") is None:
        yield "decord", "note", "not installed: lmms-eval's stock llava_hf cannot be loaded (pip install decord)"
    if find_spec("vlmeval") is None:
        yield "VLMEvalKit", "note", "not installed; pip install 'sepm-eval[vlmeval]' for the second host"
    else:
        yield "VLMEvalKit", "ok", "installed; importing it turns TLS checks off, `sepm-eval vlmeval` restores them"


def _methods() -> Iterator[Finding]:
    """Yield a finding for each method of another package, and for each that cannot be loaded."""
    for name in method_names():
        try:
            home = find_method(name).__module__
        except ValueError as error:
            yield f"method {name}", "broken", str(error)
        else:
            if not home.startswith("sepm_eval."):
                yield f"method {name}", "ok", f"from {home}"


def _backbones() -> Iterator[Finding]:
    """Yield findings about backbones of other packages, unusable backbones, and packages named like one of ours."""
    outside = plugin_backbones()
    for name, found in find_backbones():
        if isinstance(found, ValueError):
            yield f"backbone {name}", "broken", str(found)
        elif name in outside:
            yield f"backbone {name}", "ok", f"from {outside[name]}"
        elif (spec := find_spec(name)) is not None:
            where = spec.origin or next(iter(spec.submodule_search_locations or ()), "?")
            yield name, "note", f"another package of this name is at {where}; sepm-eval does not use it"


def _checkpoints() -> Iterator[Finding]:
    """Yield findings about each backbone's usual checkpoint, and about other known checkpoints in the hub's cache."""
    from sepm_eval.backbone.checkpoints import cached_checkpoint

    yield "checkpoint", "ok", "demo: in the package"
    for name, architecture in find_backbones():
        if isinstance(architecture, ValueError):
            continue  # already reported by _backbones
        usual = architecture.default_checkpoint()
        known = [one.pretrained for one in architecture.checkpoints]
        for pretrained in dict.fromkeys(one for one in (usual, *known) if one and one.count("/") == 1):
            try:
                found = cached_checkpoint(pretrained)
            except (OSError, ValueError) as error:
                yield "checkpoint", "note", f"{pretrained}: in the cache, but not whole: {error}"
                continue
            if found is not None:
                size = sum(path.stat().st_size for path in found.folder.rglob("*") if path.is_file())
                cached = f"{size / 2**30:.1f} GiB in the cache, commit {found.revision[:12]}"
                yield "checkpoint", "ok", f"{pretrained}: {cached}"
            elif pretrained == usual:
                yield "checkpoint", "note", f"{pretrained}: usual for sepm_{name}, not downloaded yet"


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
    absent = []
    for name, benchmark in sorted(find_benchmarks().items()):
        there, count = state(benchmark)
        if there == "no":
            absent.append(name)
            continue
        verdict = "ok" if there == "yes" else "broken" if there.startswith("broken") else "note"
        words = f"{count} pictures, list {benchmark.chosen_list()!r}" if count else f"{there}: {benchmark.obtain}"
        yield f"task {name}", verdict, words
    if absent:
        yield (
            "other tasks",
            "note",
            f"without data: {', '.join(absent)}. `sepm-eval datasets NAME` says how to get them",
        )

"""Stops a plan's run at the n-th thing it does to a file, runs it again, and compares: ``python killing.py FOLDER``.

Counted are, below the run's folder and its folder for temporary files, every creation or opening for writing, write,
sync, close, renaming, removal and new folder. At the chosen one the process is killed (SIGKILL; a write is half done),
or the disk is full from then on. The same command must then give what an undisturbed run gives. A third fault are
results that are torn although they were finished, as an older version or a lying disk leaves them.

The host takes seconds to load, so one warm process forks a child for every run. The last line printed is JSON: how many
events an undisturbed run has by kind, how many faults of each kind were injected, and what was wrong after which.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import gc
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from lmms_eval.tasks import TaskManager

import sepm_eval.hosts.lmms_eval.run  # noqa: F401  -- so that every child has it
from sepm_eval.cli import app
from sepm_eval.hosts.lmms_eval.plugin import add_tasks
from sepm_eval.runs import environment
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import NoResults, read_runs

PLAN = {
    "tasks": ["emotion_demo"],
    "methods": ["zero_shot", "sepm"],
    "models": [{"model": "sepm_llava", "args": {"pretrained": "demo", "device": "cpu"}, "batch_size": 2}],
    "limit": 3,
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
AUDITED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
LONGEST = 300  # seconds a run may take
CRASHED = 70


class Watch:
    """Counts what this process does to files below a folder, and stops it at one of them."""

    def __init__(self, folder: Path, at: int, fault: str) -> None:
        self.kinds: list[str] = []
        self._folder, self._at, self._fault = os.path.join(os.path.realpath(folder), ""), at, fault
        self._open, self._sync = io.open, os.fsync
        sys.addaudithook(self._audit)
        io.open = builtins.open = self._opened
        os.fsync = self._synced

    def happens(self, kind: str, before: Callable[[], object] = lambda: None) -> None:
        """Count an event that is about to happen; do ``before`` and stop if it is the chosen one."""
        self.kinds.append(kind)
        if not self._at or len(self.kinds) < self._at:
            return
        if self._fault == "kill":
            before()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind in ("open", "write", "sync", "os.mkdir"):  # the disk is full from now on; the rest needs no room
            before()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _below(self, path: Any) -> bool:
        return not isinstance(path, int) and os.path.realpath(os.fsdecode(path)).startswith(self._folder)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in AUDITED or not self._below(arguments[0]):
            return
        if event == "open" and not arguments[2] & WRITING:
            return
        there = event == "open" and os.path.exists(arguments[0])
        self.happens("reopen" if there else event)

    def _opened(self, file: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        found = self._open(file, mode, *arguments, **more)
        return Writer(found, self) if set(mode) & set("wxa+") and self._below(file) else found

    def _synced(self, handle: Any) -> None:
        self.happens("sync")
        self._sync(handle)


class Writer:
    """A file whose writes and whose closing are events."""

    def __init__(self, file: Any, watch: Watch) -> None:
        self._file, self._watch = file, watch

    def write(self, content: Any) -> int:
        self._watch.happens("write", lambda: self._half(content))
        return self._file.write(content)

    def close(self) -> None:
        if not self._file.closed:
            self._watch.happens("close")
        self._file.close()

    def _half(self, content: Any) -> None:
        self._file.write(content[: len(content) // 2])
        self._file.flush()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Cases:
    """Runs of the plan below a folder, each in a folder of its own.

    Attributes:
        wrong: what was wrong, one sentence each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.wrong: list[str] = []
        (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))

    def run(self, case: str, at: int = 0, fault: str = "") -> int:
        """Run the plan in a child; its status, negative if it was killed."""
        place = self._folder / case
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if not child:
            os._exit(self._inside(place, at, fault))
        end = time.monotonic() + LONGEST
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                self.wrong.append(f"{case}: a run did not end")
                os.kill(child, signal.SIGKILL)
                end += LONGEST
            time.sleep(0.02)

    def _inside(self, place: Path, at: int, fault: str) -> int:
        """What the child does; its status."""
        log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        tempfile.tempdir = str(place / "tmp")
        watch = Watch(place, at, fault)
        status = CRASHED
        try:
            app(["run", str(self._folder / "plan.yaml"), "--out", str(place / "out")])
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        if not at:
            watch._open(place.with_suffix(".events"), "w").write(json.dumps(watch.kinds))
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def events(self, case: str) -> list[str]:
        """The kinds of all events of an undisturbed run, in order."""
        return json.loads((self._folder / f"{case}.events").read_text())

    def found(self, case: str) -> dict[str, Any]:
        """All that a run came to: answers, accuracy, and what its journals hold."""
        out = self._folder / case / "out"
        try:
            runs = read_runs([out])
        except NoResults:
            runs = []
        journals = [path for path in out.rglob("*.jsonl") if path.read_bytes().startswith(b'{"key": ')]
        records = [record for path in journals for record in read_journal(path)]
        return {
            "runs": {
                (run.task, run.variant): (run.accuracy, [(one.doc_id, one.item, one.output) for one in run.outcomes])
                for run in runs
            },
            "records": sorted(
                (str(r.get("method")), r["task"], r["doc_id"], r["status"], r.get("text")) for r in records
            ),
        }

    def resumed(self, case: str, reference: str) -> None:
        """Run again, and compare with an undisturbed run."""
        status = self.run(case)
        if status:
            self.wrong.append(f"{case}: the same command again ended with {status}")
            return
        if self.found(case) != self.found(reference):
            self.wrong.append(f"{case}: other results than an undisturbed run's")
        out = self._folder / case / "out"
        left = [path.name for path in out.rglob("*.part")]
        for path in out.rglob("*_samples_*.jsonl"):
            if not path.with_name(path.name.partition("_samples_")[0] + "_results.json").exists():
                left.append(path.name)
        if left:
            self.wrong.append(f"{case}: {left} are left")

    def stopped(self, fault: str, at: int, reference: str) -> None:
        """Stop a run at an event and go on with it."""
        case = f"{fault}-{at}"
        status = self.run(case, at, fault)
        expected = {"kill": [-signal.SIGKILL], "full": [0, 1]}[fault]
        if status not in expected:
            self.wrong.append(f"{case}: ended with {status}, not with {expected}")
        try:
            told = self.found(case)  # whatever is there can be reported on
            if status == 0 and told != self.found(reference):
                self.wrong.append(f"{case}: the run called itself complete and is not")
        except ValueError as error:
            self.wrong.append(f"{case}: what is left cannot be read: {error}")
        self.resumed(case, reference)

    def torn(self, number: int, reference: str) -> None:
        """Tear one finished file of results and go on."""
        path, cut = self.tears(reference)[number]
        case = f"torn-{number}"
        shutil.copytree(self._folder / reference, self._folder / case)
        os.truncate(self._folder / case / path, cut)
        self.resumed(case, reference)

    def tears(self, reference: str) -> list[tuple[Path, int]]:
        """Every file of results, and some lengths to cut it to: nothing, half a line, a line less."""
        place = self._folder / reference
        found = []
        for path in sorted([*place.rglob("*_results.json"), *place.rglob("*_samples_*.jsonl")]):
            content = path.read_bytes()
            less = content[:-1].rfind(b"\n") + 1
            found += [(path.relative_to(place), cut) for cut in (0, len(content) // 2, less)]
        return found


def warm() -> None:
    """Make ready what every child would: lmms-eval's list of tasks above all, which takes seconds."""
    torch.set_num_threads(1)
    loaded = environment.commit()
    environment.commit = lambda: loaded  # whatever becomes of the working tree meanwhile: all children run this code
    add_tasks()
    plain, known = TaskManager.initialize_tasks, {}

    def remembered(self: TaskManager, *arguments: Any, **more: Any) -> Any:
        told = str((arguments, more))
        if told not in known:
            known[told] = plain(self, *arguments, **more)
        return known[told]

    TaskManager.initialize_tasks = remembered
    TaskManager("WARNING")
    gc.collect()
    gc.freeze()


def spread(count: int, among: int) -> list[int]:
    """So many numbers from 1 to ``among``, evenly; all if there are no more, or if count is negative."""
    if count < 0 or count >= among:
        return list(range(1, among + 1))
    return sorted({1 + round(i * (among - 1) / max(count - 1, 1)) for i in range(count)})


def main() -> None:
    """Inject, compare, and print what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="empty; keeps the cases in which something was wrong")
    for fault in ("kill", "full", "torn"):
        parser.add_argument(f"--{fault}", type=int, default=-1, help="how many, spread over all; by default all")
    args = parser.parse_args()
    os.environ["HF_HOME"] = str(args.folder / "hf")
    cases = Cases(args.folder)
    warm()
    cases.run("first")  # fills the host's caches
    if cases.run("reference"):
        sys.exit((args.folder / "reference" / "log").read_text())
    kinds = cases.events("reference")
    injected: Counter[str] = Counter()
    for fault in ("kill", "full", "torn"):
        many = len(cases.tears("reference")) if fault == "torn" else len(kinds)
        for number in spread(getattr(args, fault), many):
            before = len(cases.wrong)
            if fault == "torn":
                cases.torn(number - 1, "reference")
            else:
                cases.stopped(fault, number, "reference")
            injected[fault] += 1
            if len(cases.wrong) == before:
                case = f"torn-{number - 1}" if fault == "torn" else f"{fault}-{number}"
                shutil.rmtree(args.folder / case)
        print(f"{injected[fault]} {fault}", flush=True)
    print(json.dumps({"events": Counter(kinds), "injected": injected, "wrong": cases.wrong}))


if __name__ == "__main__":
    main()

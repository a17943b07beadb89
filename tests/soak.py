"""Interrupt runs at random moments, many times, and count what is lost: ``make soak``.

A run of SEPM over demo pictures is killed with SIGKILL at 25 random moments (now and then SIGTERM or SIGINT) and
started again until it is done, over and over; a journal is cut at random bytes; a disk is full. After each the outputs
must be those of an undisturbed run, byte by byte, every question must be answered once, and its record must be the same
(``worker.same``). Then a plan of two methods is stopped at every single thing it does to a file (``killing.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from worker import same

from sepm_eval.runs.journal import read_journal

WORKER = Path(__file__).parent / "worker.py"
KILLING = Path(__file__).parent / "killing.py"
ITEMS, BATCH = 48, 4


def start(folder: Path, **more: object) -> subprocess.Popen[str]:
    """The worker on a folder's journal."""
    command = [sys.executable, str(WORKER), str(folder / "journal.jsonl"), str(folder / "outputs.json"), str(ITEMS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, **more
    )


def finished(folder: Path) -> bool:
    """Whether the run wrote its outputs."""
    return (folder / "outputs.json").exists()


def faithful(folder: Path, reference: Path) -> bool:
    """Whether outputs and journal are those of the undisturbed run, every question answered once."""
    records = read_journal(folder / "journal.jsonl")
    equal = (folder / "outputs.json").read_bytes() == (reference / "outputs.json").read_bytes()
    return (
        equal and len(records) == ITEMS and same(_by_item(records), _by_item(read_journal(reference / "journal.jsonl")))
    )


def _by_item(records: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {record["doc_id"]: record for record in records}


def killed(folder: Path, draw: random.Random, wanted: int, length: float) -> tuple[int, int]:
    """Kill runs at random moments until so many were killed; how many, and how many were found wanting."""
    kills = lost = 0
    number = 0
    while kills < wanted:
        place = folder / f"killed{number}"
        place.mkdir()
        number += 1
        while not finished(place) and kills < wanted:
            before = _answered(place)
            process = start(place)
            begins = draw.random() < 0.2  # before the first question, or anywhere
            if not begins and process.stdout is not None:
                process.stdout.readline()
            time.sleep(draw.uniform(0, length))
            if process.poll() is not None:
                break
            process.send_signal(draw.choice([signal.SIGKILL] * 8 + [signal.SIGTERM, signal.SIGINT]))
            process.wait()
            kills += 1
            lost += _answered(place) < before
        if start(place).wait() or not faithful(place, folder / "reference"):
            lost += 1
        print(f"  {kills} of {wanted} killed", flush=True)
    return kills, lost


def torn(folder: Path, draw: random.Random, times: int) -> tuple[int, int]:
    """Cut the journal at random bytes."""
    whole = (folder / "reference" / "journal.jsonl").read_bytes()
    lost = 0
    for number in range(times):
        place = folder / f"torn{number}"
        place.mkdir()
        (place / "journal.jsonl").write_bytes(whole[: draw.randrange(len(whole))])
        lost += bool(start(place).wait()) or not faithful(place, folder / "reference")
    return times, lost


def starved(folder: Path, draw: random.Random, times: int) -> tuple[int, int]:
    """Let the disk be full at random sizes, then give it room."""
    size = (folder / "reference" / "journal.jsonl").stat().st_size
    lost = 0
    for number in range(times):
        place, room = folder / f"starved{number}", draw.randrange(1000, size - 1000)
        place.mkdir()
        stopped = start(place, preexec_fn=lambda room=room: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
        lost += stopped.wait() == 0 or finished(place)
        lost += bool(start(place).wait()) or not faithful(place, folder / "reference")
    return times, lost


def stopped_at_every_event(folder: Path) -> dict[str, tuple[int, int]]:
    """Kill a plan, and take its room away, at each of its file events; tear each of its results."""
    (folder / "plan").mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(KILLING), str(folder / "plan")]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True).stdout
    report = json.loads(output.splitlines()[-1])
    print(f"  events of a plan's run: {report['events']}", *report["wrong"], sep="\n  ", flush=True)
    names = {
        "kill": "a plan killed at a file event, each of them",
        "full": "disk full from a file event on, each",
        "torn": "a finished file of results torn",
    }
    lost = {fault: len({why.partition(":")[0] for why in report["wrong"] if why.startswith(fault)}) for fault in names}
    return {name: (report["injected"][fault], lost[fault]) for fault, name in names.items()}


def _answered(place: Path) -> int:
    journal = place / "journal.jsonl"
    return len(read_journal(journal)) if journal.exists() else 0


def main() -> None:
    """Run all, print one table, and exit 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    counts: Counter[str] = Counter()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sepm_eval-soak-") as name:
        folder = Path(name)
        (folder / "reference").mkdir()
        process = start(folder / "reference")
        assert process.stdout is not None
        process.stdout.readline()
        asked = time.monotonic()
        if process.wait():
            sys.exit("the undisturbed run failed")
        length = time.monotonic() - asked
        rows = {
            "killed or stopped at a random moment": killed(folder, draw, args.kills, length),
            "journal cut at a random byte": torn(folder, draw, 5),
            "disk full at a random moment": starved(folder, draw, 3),
            **stopped_at_every_event(folder),
        }
    print(f"\n{'fault':<46}{'injected':>10}{'survived':>10}{'lost':>6}")
    for fault, (injected, lost) in rows.items():
        counts.update(injected=injected, lost=lost)
        print(f"{fault:<46}{injected:>10}{injected - lost:>10}{lost:>6}")
    print(f"{'all':<46}{counts['injected']:>10}{counts['injected'] - counts['lost']:>10}{counts['lost']:>6}")
    print(f"{ITEMS} questions a run, seed {args.seed}, {time.monotonic() - begin:.0f} s")
    sys.exit(counts["lost"] > 0)


if __name__ == "__main__":
    main()

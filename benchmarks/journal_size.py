"""The time and memory that a large journal takes: to open it for a run, and to read all of it as a report does.

The records are like those SEPM writes about a picture of 576 visual tokens. Time is processor time, which other work on
the machine changes little. Opening and reading each run in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resident import peak_resident
from table import Figure, show

from sepm_eval.emotions import MIKELS
from sepm_eval.runs.journal import Journal, question_key
from sepm_eval.runs.journal_records import records

TARGETS = {"open": (12, 300), "read": (15, 300)}  # seconds and MB for 500 MB


def write(path: Path, size: int) -> int:
    """Fill a journal with at least ``size`` bytes, and return the number of its records."""
    question = "\n".join(["Which of the following descriptions best represents the image?", *MIKELS])
    about = {
        "model": {"backbone": "llava", "pretrained": "llava-hf/llava-1.5-7b-hf", "revision": "0" * 40},
        "versions": {"sepm-eval": "0.2.0", "torch": "2.14.1", "transformers": "5.23.0", "python": "3.11.7"},
        "method": {"name": "sepm", "alpha": 0.1, "beta": 0.2, "preset": "paper", "cci": True, "foe": True, "vta": True},
        "question": question,
        "image_sha256": ["0" * 64],
        "option_probabilities": dict.fromkeys(MIKELS, 0.12345678901234567),
        "prompts": [question, question],
        "confidence": 0.12345678901234567,
        "dropped": list(range(100, 215)),
    }
    number = written = 0
    with path.open("wb") as file:
        while written < size:
            head = {
                "key": question_key(number=number),
                "status": "answered",
                "task": "t",
                "doc_id": number,
                "text": "A",
            }
            written += file.write(json.dumps({**head, **about}).encode() + b"\n")
            number += 1
    return number


class _Every:
    """A container that holds every key."""

    def __contains__(self, key: object) -> bool:
        return True


def run(what: str, path: Path) -> None:
    """Open or read the journal; print processor seconds, peak memory in bytes, and the number of records as JSON."""
    begin = time.process_time()
    if what == "open":
        journal = Journal(path)
        count = len(journal)
        journal.close()
    else:
        count = sum(1 for _ in records(path, _Every()))
    seconds = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "peak": peak_resident(), "records": count}))


def measure(megabytes: int) -> list[Figure]:
    """Measure the time to open and to read, scaled to 500 MB, and the process's peak memory."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        count = write(path, megabytes * 10**6)
        for what, (seconds, memory) in TARGETS.items():
            command = [sys.executable, __file__, "--run", what, str(path)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            if found["records"] != count:
                raise AssertionError(f"{found['records']} of {count} records were found")
            time_of_all = found["seconds"] * 500 / megabytes
            figures += [
                Figure(f"{what} a journal of 500 MB", time_of_all, at_most=seconds, unit="s"),
                Figure(
                    f"{what} a journal of {megabytes} MB: peak memory", found["peak"] / 1e6, at_most=memory, unit="MB"
                ),
            ]
    return figures


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("megabytes", type=int, nargs="?", default=500)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        run(args.run[0], Path(args.run[1]))
        return
    show(measure(args.megabytes))


if __name__ == "__main__":
    main()

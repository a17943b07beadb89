"""How long a report of many runs over N items takes, with journals, and how much memory it needs.

The runs are made up by the test suite (``tests/make_runs.py``), with as many items as asked for, 576 visual tokens, and
records as long as real ones. There are no pictures, so the figure of dropped tokens, which loads torch, is left out.
Reading and writing run in a process of their own. Time is processor time, which other work on the machine changes
little. The targets grow with the number of runs; they are 60 s and 1 GB for ten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from resident import peak_resident
from table import Figure, show

SIZES = [50_000]
RUNS = 10
METHODS = (
    *("zero_shot", "sepm", "sepm,beta=0.1", "sepm,beta=0.4", "sepm,alpha=0.05", "sepm,alpha=0.2", "sepm,vta=False"),
    *("zero_shot_cot", "sparsevlm", "random_drop"),
)
TESTS = Path(__file__).parent.parent / "tests"


def make(folder: Path, count: int, runs: int) -> None:
    """Write runs of the first methods of ``METHODS`` over ``count`` items."""
    sys.path.insert(0, str(TESTS))
    import make_runs

    short = make_runs.record

    def record(*arguments: Any) -> dict[str, Any]:
        found = short(*arguments)
        found["option_probabilities"] = dict.fromkeys(make_runs.POLARITY, 0.03125)
        return {**found, "prompts": [found["question"]] * len(found.get("prompts", ()))}

    make_runs.N["emoset"], make_runs.TOKENS, make_runs.record = count, 576, record
    for method in METHODS[:runs]:
        make_runs.run(folder, "sepm_llava", make_runs.LLAVA, method, "emoset", 0.5, "20261101_120000")


def report(folder: Path) -> None:
    """Write the report of a folder's runs, and print the figures as JSON.

    They are elapsed seconds, processor seconds, peak memory in bytes, and how many answers found their journal record.
    """
    begin = time.perf_counter()
    from sepm_eval.report.write import write_report
    from sepm_eval.runs.results import read_runs

    runs = read_runs([folder])
    write_report(runs, folder / "report")
    seconds = time.perf_counter() - begin
    joined = sum(outcome.record is not None for run in runs for outcome in run.outcomes)
    print(json.dumps({"seconds": seconds, "busy": time.process_time(), "peak": peak_resident(), "joined": joined}))


def measure(sizes: list[int], runs: int = RUNS) -> list[Figure]:
    """Measure time and peak memory for each size."""
    figures = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("--make", "--report"):
                command = [sys.executable, __file__, step, folder, str(size), str(runs)]
                output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = json.loads(output.splitlines()[-1])
        if found["joined"] != runs * size:
            raise AssertionError(f"{found['joined']} of {runs * size} answers found their journal record")
        what = f"report on {size:,} items x {runs} runs"
        figures += [
            Figure(f"{what}: time", found["busy"], at_most=10 + 5 * runs, unit="s"),
            Figure(f"{what}: memory", found["peak"] / 1e6, at_most=300 + 70 * runs, unit="MB"),
        ]
    return figures


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many, up to {len(METHODS)}")
    for step in ("--make", "--report"):
        parser.add_argument(step, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make(Path(args.make[0]), *map(int, args.make[1:]))
    elif args.report:
        report(Path(args.report[0]))
    else:
        show(measure(args.sizes, args.runs))


if __name__ == "__main__":
    main()

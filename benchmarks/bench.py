"""All speed figures that a CPU can give, in one table with their targets; exit 1 if one is missed (`make bench`).

Each part runs in a process of its own, one after the other. Run this on an idle machine: other work changes even the
ratios.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from table import Figure, show

# A file of this folder, and the arguments of its ``measure``: sizes at which all parts take under ten minutes.
# Left out are stock.py, processes.py and startup.py, which take minutes each, gpu.py, and what measures memory alone.
PARTS = {
    "speed": {"pictures": 4, "rounds": 4},
    "method_times": {"rounds": 4},
    "families": {"rounds": 6},
    "agreement": {"pictures": 128},
    "throughput": {"pictures": 12},
    "many_pictures": {"sizes": [100, 10000]},
    "variants": {"pictures": 32, "rounds": 3},
    "parsing": {},
    "report_scale": {"sizes": [50_000], "runs": 2},
    "journal_size": {"megabytes": 100},
}


def main() -> None:
    """Measure every part and show one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:  # this process is one part
        name, path = args.part
        found = importlib.import_module(name).measure(**PARTS[name])
        Path(path).write_text(json.dumps([asdict(figure) for figure in found]))
        return
    figures = []
    for part in PARTS:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            subprocess.run([sys.executable, __file__, "--part", part, str(path)], check=True)
            figures += [Figure(**figure) for figure in json.loads(path.read_text())]
        print(f"{part}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    show(figures)


if __name__ == "__main__":
    main()

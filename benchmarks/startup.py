"""Where the time to the first answer of lmms-eval goes: imports by package, and all else.

Runs ``lmms-eval --model sepm_llava --model_args pretrained=demo --tasks emotion_demo --limit 8`` twice, first to warm
the disk's cache. Python counts its imports (``-X importtime``), which itself costs some seconds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter

COMMAND = [
    *(sys.executable, "-X", "importtime", "-m", "lmms_eval", "--model", "sepm_llava"),
    *("--model_args", "pretrained=demo,device=cpu", "--tasks", "emotion_demo", "--limit", "8", "--batch_size", "8"),
]
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([^\s.]+)")
SHOWN = 8


def main() -> None:
    """Measure and print a table in Markdown."""
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_STATE_HOME": folder}
            begin = time.perf_counter()
            run = subprocess.run(COMMAND, cwd=folder, env=environment, capture_output=True, text=True, check=True)
            whole = time.perf_counter() - begin
    seconds: Counter[str] = Counter()
    for micros, package in LINE.findall(run.stderr):
        seconds[package] += int(micros) / 1e6
    ours = seconds.pop("sepm_eval", 0.0)
    imports = sum(seconds.values())
    shown = seconds.most_common(SHOWN)
    rows = [(f"importing {package}", value) for package, value in shown]
    rows += [
        (f"importing {len(seconds) - SHOWN} more packages", imports - sum(value for _, value in shown)),
        ("importing sepm_eval", ours),
        ("all else: tasks are indexed, the model is loaded, 8 questions are answered", whole - imports - ours),
        ("together", whole),
    ]
    print("| part | seconds |\n|---|---|")
    for what, value in rows:
        print(f"| {what} | {value:.1f} |")


if __name__ == "__main__":
    main()

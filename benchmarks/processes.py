"""How much faster two processes of one thread each are than one: ``torchrun --nproc-per-node 2 -m sepm_eval run``.

The model is LLaVA-1.5 scaled to a CPU (``checkpoints.SCALED``), the method SEPM, with one picture at a time. Each way
runs twice, on a few pictures and on more. The difference between the two times is answering alone, since all else is
the same in both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkpoints import write
from table import Figure, show

PLAN = """
tasks: [emotion_demo]
methods: [sepm]
models: [{{model: sepm_llava, args: {{pretrained: {folder}, device: cpu}}}}]
"""
WAYS = {
    1: [sys.executable, "-m", "sepm_eval"],
    2: [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sepm_eval"],
}


def seconds(processes: int, folder: Path, pictures: int) -> float:
    """The seconds that a whole run takes."""
    out = folder / f"{processes}-{pictures}"
    command = [*WAYS[processes], "run", str(folder / "plan.yaml"), "--limit", str(pictures), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def measure(few: int, many: int, size: str = "scaled") -> list[Figure]:
    """Measure answers per second of two processes over those of one."""
    if os.cpu_count() == 1:
        raise SystemExit("one processor only: two processes cannot be faster here")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "plan.yaml").write_text(PLAN.format(folder=write("llava", size, folder / "llava")), encoding="utf-8")
        seconds(1, folder, 1)  # reads the files once, so that the system has them in memory
        taken = {count: [seconds(count, folder, pictures) for pictures in (few, many)] for count in WAYS}
    alone, both = (longer - shorter for shorter, longer in taken.values())
    return [
        Figure("one process: a picture", alone / (many - few), unit="s"),
        Figure("one process: all else", taken[1][0] - few * alone / (many - few), unit="s"),
        Figure("two processes of one thread / one", alone / both, at_least=1.8),
    ]


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=4)
    parser.add_argument("--many", type=int, default=36)
    args = parser.parse_args()
    show(measure(args.few, args.many))


if __name__ == "__main__":
    main()

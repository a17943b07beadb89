"""Memory and speed of ``sepm-eval prepare`` on a synthetic EmoSet release.

Prints peak resident memory and time for several sizes: memory must not grow with the number of pictures. Each size
runs in a process of its own. The pictures are noise JPEGs of 500x375 (about 60 kB); 64 different ones are repeated,
each file made unique by bytes behind the picture's end.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from resident import peak_resident

from sepm_eval.emotions import MIKELS

LIMIT = 1.5e9  # bytes


def make_release(root: Path, count: int) -> None:
    """Write ``count`` pictures and their list."""
    pictures = []
    for seed in range(64):
        buffer = io.BytesIO()
        noise = Image.effect_noise((125, 94), 60 + seed).convert("RGB").resize((500, 375))
        noise.save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    folder, rows = root / "EmoSet-118K", []
    for label in MIKELS:
        (folder / "image" / label).mkdir(parents=True)
    for number in range(count):
        label = list(MIKELS)[number % len(MIKELS)]
        name = f"image/{label}/{label}_{number:06d}.jpg"
        (folder / name).write_bytes(pictures[number % len(pictures)] + number.to_bytes(4, "big"))
        rows.append([label, name, f"annotation/{label}/{label}_{number:06d}.json"])
    (folder / "test.json").write_text(json.dumps(rows))


def measure(root: Path) -> None:
    """Prepare the release below ``root`` and print N, seconds and peak memory as JSON."""
    from sepm_eval.datasets import find_benchmarks
    from sepm_eval.datasets.releases.prepare import prepare

    begin = time.perf_counter()
    manifest = prepare(find_benchmarks()["emoset"], root / "prepared")
    print(json.dumps({"n": manifest["n"], "seconds": time.perf_counter() - begin, "peak": peak_resident()}))


def main() -> None:
    """Measure every size; exit 1 if the largest needs more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[2000, 20000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return
    peak = 0
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_release(Path(folder), size)
            run = subprocess.run(
                [sys.executable, __file__, "--measure", folder],
                env={"SEPM_EVAL_DATA": folder, "PATH": ""},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        found = json.loads(run.stdout)
        peak = found["peak"]
        print(
            f"N = {found['n']:>6}   {found['seconds']:6.1f} s   {found['n'] / found['seconds']:6.0f} pictures/s   "
            f"peak {peak / 1e6:6.0f} MB (limit {LIMIT / 1e6:.0f} MB)",
            flush=True,
        )
    sys.exit(peak > LIMIT)


if __name__ == "__main__":
    main()

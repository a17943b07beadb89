"""Where the time to the first answers goes: ours, lmms-eval's own entry for the same model, and ``sepm-eval run``.

Three commands answer eight questions of the demo with the demo model. Each runs twice, the first time to fill the
disk's cache. Python times its imports (``-X importtime``), which itself costs some seconds. The fingerprint and the
loading of the model are timed in a process of their own, after all imports, since those of torch and transformers are
the same for any entry.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from table import Figure, show

from sepm_eval import demo

LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([^\s.]+)")
SHOWN = 6
OURS, STOCK, PLAN = "sepm_llava", "llava_hf", "sepm-eval run"
LMMS_EVAL = ["-m", "lmms_eval", "--tasks", "emotion_demo", "--limit", "8"]
COMMANDS = {
    OURS: [*LMMS_EVAL, "--model", OURS, "--model_args", "pretrained=demo,device=cpu", "--batch_size", "8"],
    STOCK: [*LMMS_EVAL, "--model", STOCK, "--model_args", f"pretrained={demo.MODEL},device=cpu,device_map=cpu"],
    PLAN: ["-m", "sepm_eval", "run", "plan.yaml", "--limit", "8"],
}
YAML = """
tasks: [emotion_demo]
methods: [sepm]
models: [{model: sepm_llava, args: {pretrained: demo, device: cpu}, batch_size: 8}]
"""


def whole(name: str) -> tuple[float, Counter[str]]:
    """The seconds that a command takes, and those that the import of each package takes."""
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "plan.yaml").write_text(YAML, encoding="utf-8")
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_STATE_HOME": folder}
            command, begin = [sys.executable, "-X", "importtime", *COMMANDS[name]], time.perf_counter()
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            taken = time.perf_counter() - begin
            if run.returncode:
                raise RuntimeError(f"{name} ended with {run.returncode}:\n{run.stdout}{run.stderr[-2000:]}")
    imports: Counter[str] = Counter()
    for micros, package in LINE.findall(run.stderr):
        imports[package] += int(micros) / 1e6
    return taken, imports


def loading(name: str) -> dict[str, float]:
    """The seconds of the fingerprint and of loading for one of lmms-eval's entries, after its imports."""
    command = [sys.executable, __file__, "--load", name]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def load(name: str) -> None:
    """Load a model as lmms-eval does; print the seconds as JSON."""
    from lmms_eval.models import get_model
    from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaImageProcessorPil  # noqa: F401

    entry, found = get_model(name), {"fingerprint": 0.0}
    settings = {"pretrained": str(demo.MODEL), "device": "cpu", "device_map": "cpu"}
    if name == OURS:
        import sepm_eval.model_wrappers._llava  # noqa: F401
        from sepm_eval.backbone.checkpoints import find_checkpoint

        begin = time.perf_counter()
        find_checkpoint("demo")
        found["fingerprint"] = time.perf_counter() - begin
        settings = {"pretrained": "demo", "device": "cpu", "journal": "journal.jsonl"}
    begin = time.perf_counter()
    entry(**settings)
    found["loading"] = time.perf_counter() - begin - found["fingerprint"]  # loading computes it again
    print(json.dumps(found))


def measure() -> list[Figure]:
    """Print where the time goes, and return the part that this package takes."""
    taken = {name: whole(name) for name in COMMANDS}
    loaded = {name: loading(name) for name in (OURS, STOCK)}
    rows: dict[str, list[float]] = {}
    packages = [package for package, _ in taken[OURS][1].most_common() if package != "sepm_eval"][:SHOWN]
    for package in packages:
        rows[f"importing {package}"] = [taken[name][1][package] for name in COMMANDS]
    rows["importing other packages"] = [
        sum(value for package, value in taken[name][1].items() if package not in (*packages, "sepm_eval"))
        for name in COMMANDS
    ]
    rows["importing sepm_eval"] = [taken[name][1]["sepm_eval"] for name in COMMANDS]
    for part in ("fingerprint", "loading"):
        rows[part] = [loaded[OURS][part], loaded[STOCK][part], loaded[OURS][part]]
    rows["all else: tasks are indexed, 8 questions are answered and logged"] = [
        whole_time - sum(row[column] for row in rows.values()) for column, (whole_time, _) in enumerate(taken.values())
    ]
    rows["together"] = [seconds for seconds, _ in taken.values()]
    print(f"| part, in seconds | {' | '.join(COMMANDS)} |\n|---|---|---|---|")
    for what, values in rows.items():
        print(f"| {what} | {' | '.join(f'{value:.2f}' for value in values)} |")
    print()
    ours = taken[OURS][1]["sepm_eval"] + sum(loaded[OURS].values())
    return [Figure("imports of ours, fingerprint and loading", ours, at_most=2, unit="s")]


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        load(args.load)
        return
    show(measure())


if __name__ == "__main__":
    main()

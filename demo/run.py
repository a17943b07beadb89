"""Score the demo model on the demo pictures, zero-shot and with SEPM, through the real lmms-eval command.

This is what ``make demo`` runs. It shows that everything works; the accuracy of a tiny model trained on emoji scenes
is no evidence for or against the method.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scipy.stats import binomtest

METHODS = ("zero_shot", "sepm")
RESULTS = Path("results") / "demo"


def evaluate(method: str) -> list[dict]:
    """Run lmms-eval with one method; the logged samples."""
    folder = RESULTS / method
    arguments = f"pretrained=demo,method={method},journal={folder / 'journal.jsonl'}"
    command = [str(Path(sys.executable).with_name("lmms-eval")), "--model", "sepm_llava", "--model_args", arguments]
    command += ["--tasks", "emotion_demo", "--batch_size", "16", "--output_path", str(folder), "--log_samples"]
    print("$", " ".join(["lmms-eval", *command[1:]]), flush=True)
    subprocess.run(command, check=True)
    logs = sorted(folder.rglob("*_samples_emotion_demo.jsonl"))
    if not logs:
        sys.exit(f"lmms-eval wrote no samples to {folder}; its output above says why")
    return [json.loads(line) for line in logs[-1].read_text(encoding="utf-8").splitlines()]


def row(method: str, pictures: str, samples: list[dict]) -> str:
    """One line of the table: N, accuracy with its 95 % Wilson interval, unparsed answers."""
    answered = [sample for sample in samples if "score" in sample]
    right = sum(sample["score"] == 1 for sample in answered)
    unparsed = sum(sample["unparsed"] == 1 for sample in answered)
    if not answered:
        return f"{method:<12}{pictures:<18}{0:>5}  none answered"
    low, high = binomtest(right, len(answered)).proportion_ci(method="wilson")
    accuracy = f"{right / len(answered):.1%} [{low:.1%}, {high:.1%}]"
    return f"{method:<12}{pictures:<18}{len(answered):>5}  {accuracy:<26}{unparsed:>8}{len(samples) - len(answered):>8}"


def main() -> None:
    """Evaluate both methods and print the table."""
    samples = {method: evaluate(method) for method in METHODS}
    print(f"\n{'method':<12}{'pictures':<18}{'N':>5}  {'accuracy [95 % interval]':<26}{'unparsed':>8}{'failed':>8}")
    for method, found in samples.items():
        for pictures, key in (("seen artwork", "acc_seen"), ("unseen artwork", "acc_unseen")):
            print(row(method, pictures, [sample for sample in found if key in sample]))
        print(row(method, "all", found))
    print("\nChance is 12.5 %. The demo shows that the plug-in works; its accuracy is no evidence for the method.")
    print(f"Results, per-picture samples and journals: {RESULTS.resolve()}")


if __name__ == "__main__":
    main()

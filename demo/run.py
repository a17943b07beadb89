"""Score the demo model on the demo pictures with every method, and print one table.

This is what ``make demo`` runs: zero-shot and SEPM through the real lmms-eval command, the other methods in one pass in
which they share what they ask of the model. It shows that everything works; the accuracy of a tiny model trained on
emoji scenes is no evidence for or against a method.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scipy.stats import binomtest

from sepm_eval import get_method, load_backbone
from sepm_eval.datasets import Item, find_benchmarks
from sepm_eval.images import open_image
from sepm_eval.methods import find_methods
from sepm_eval.parsing import Options
from sepm_eval.runner import Asked, Runner, answer_variants
from sepm_eval.scoring import Score, score
from sepm_eval.shared import Shared

THROUGH_LMMS_EVAL = ("zero_shot", "sepm")
RESULTS = Path("results") / "demo"
BATCH = 16
BENCHMARK = find_benchmarks()["emotion_demo"]


def with_lmms_eval(method: str) -> list[str]:
    """Run the lmms-eval command with one method; the outputs it logged."""
    folder = RESULTS / method
    arguments = f"pretrained=demo,method={method},journal={folder / 'journal.jsonl'}"
    command = [str(Path(sys.executable).with_name("lmms-eval")), "--model", "sepm_llava", "--model_args", arguments]
    command += ["--tasks", "emotion_demo", "--batch_size", str(BATCH), "--output_path", str(folder), "--log_samples"]
    print("$", " ".join(["lmms-eval", *command[1:]]), flush=True)
    subprocess.run(command, check=True)
    logs = sorted(folder.rglob("*_samples_emotion_demo.jsonl"))
    if not logs:
        sys.exit(f"lmms-eval wrote no samples to {folder}; its output above says why")
    samples = [json.loads(line) for line in logs[-1].read_text(encoding="utf-8").splitlines()]
    return [sample["filtered_resps"][0] for sample in sorted(samples, key=lambda sample: sample["doc_id"])]


def in_one_pass(methods: Sequence[str], items: Sequence[Item]) -> dict[str, list[str]]:
    """The outputs of several methods on one loaded model."""
    shared = Shared(load_backbone("llava", "demo"))
    runners = [
        Runner("llava", shared, name, get_method(name), BATCH, RESULTS / name / "journal.jsonl") for name in methods
    ]
    text = BENCHMARK.question()
    questions = [
        Asked(BENCHMARK.name, number, lambda item=item: (text, [open_image(item.path)]), max_new_tokens=16)
        for number, item in enumerate(items)
    ]
    return dict(zip(methods, answer_variants(runners, questions), strict=True))


def row(method: str, pictures: str, scores: Sequence[Score]) -> str:
    """One line of the table: N, accuracy with its 95 % Wilson interval, unparsed and failed answers."""
    count = {status: sum(one.status == status for one in scores) for status in ("answered", "unparsed", "failed")}
    scored = count["answered"] + count["unparsed"]
    accuracy = "none scored"
    if scored:
        right = sum(one.correct for one in scores)
        low, high = binomtest(right, scored).proportion_ci(method="wilson")
        accuracy = f"{right / scored:.1%} [{low:.1%}, {high:.1%}]"
    return f"{method:<15}{pictures:<16}{scored:>5}  {accuracy:<26}{count['unparsed']:>8}{count['failed']:>8}"


def main() -> None:
    """Evaluate all methods and print the table."""
    items = BENCHMARK.items()
    options = Options(tuple(BENCHMARK.names), tuple(BENCHMARK.names.values()))
    outputs = {method: with_lmms_eval(method) for method in THROUGH_LMMS_EVAL}
    outputs |= in_one_pass([name for name in sorted(find_methods()) if name not in THROUGH_LMMS_EVAL], items)
    print(f"\n{'method':<15}{'pictures':<16}{'N':>5}  {'accuracy [95 % interval]':<26}{'unparsed':>8}{'failed':>8}")
    for method, texts in outputs.items():
        scores = [score(text, item.label, options) for text, item in zip(texts, items, strict=True)]
        for pictures, wanted in (("seen artwork", {True}), ("unseen artwork", {False}), ("all", {True, False})):
            chosen = [one for one, item in zip(scores, items, strict=True) if item.extra["seen"] in wanted]
            print(row(method, pictures, chosen))
    print("\nChance is 12.5 %. The demo shows that the plug-in works; its accuracy is no evidence for any method.")
    print(f"Results, per-picture samples and journals: {RESULTS.resolve()}")


if __name__ == "__main__":
    main()

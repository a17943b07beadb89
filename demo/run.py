"""Score the demo model on the demo pictures with the paper's methods, and write the report.

This is what ``make demo`` runs, and only commands a user would type: lmms-eval with SEPM, ``sepm-eval run`` with the
plan that ships, ``sepm-eval report``. It shows that everything works; the accuracy of a tiny model trained on emoji
scenes is no evidence for or against a method.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sepm_eval.report.statistics import wilson
from sepm_eval.runs.results import Outcome, read_runs

RESULTS = Path("results") / "demo"
LMMS_EVAL, RUN, REPORT = RESULTS / "lmms-eval", RESULTS / "run", RESULTS / "report"
ARGUMENTS = f"pretrained=demo,method=sepm,journal={LMMS_EVAL / 'journal.jsonl'}"
COMMANDS = (
    (
        *("lmms-eval", "--model", "sepm_llava", "--model_args", ARGUMENTS, "--tasks", "emotion_demo"),
        *("--batch_size", "16", "--output_path", str(LMMS_EVAL), "--log_samples"),
    ),
    ("sepm-eval", "run", "demo", "--out", str(RUN)),
    ("sepm-eval", "report", str(RUN), "--out", str(REPORT)),
    ("sepm-eval", "compare", str(LMMS_EVAL), str(RUN), "--b", "sepm"),
)


def row(method: str, pictures: str, outcomes: Sequence[Outcome]) -> str:
    """One line of the table: N, accuracy with its 95 % Wilson interval, unparsed and failed answers."""
    count = {s: sum(one.score.status == s for one in outcomes) for s in ("answered", "unparsed", "failed")}
    scored = count["answered"] + count["unparsed"]
    accuracy = "none scored"
    if scored:
        right = sum(one.score.correct for one in outcomes)
        interval = wilson(right, scored)
        accuracy = f"{right / scored:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
    return f"{method:<28}{pictures:<16}{scored:>5}  {accuracy:<26}{count['unparsed']:>8}{count['failed']:>8}"


def main() -> None:
    """Run the commands and print the table by kind of picture."""
    for command in COMMANDS:
        print("$", " ".join(command), flush=True)
        program = Path(sys.executable).with_name(command[0])
        subprocess.run([str(program), *command[1:]], check=True)
    print(f"\n{'method':<28}{'pictures':<16}{'N':>5}  {'accuracy [95 % interval]':<26}{'unparsed':>8}{'failed':>8}")
    for run in read_runs([RUN]):
        seen = [outcome.item.startswith("seen/") for outcome in run.outcomes]
        for pictures, wanted in (("seen artwork", {True}), ("unseen artwork", {False}), ("all", {True, False})):
            chosen = [outcome for outcome, is_seen in zip(run.outcomes, seen, strict=True) if is_seen in wanted]
            print(row(run.variant, pictures, chosen))
    print("\nzero_shot_cot and dan are left out: the tiny model was never shown their wording, so it cannot follow it.")
    print("Chance is 12.5 %. The demo shows that the plug-in works; its accuracy is no evidence for any method.")
    print(f"The report: {(REPORT / 'report.html').resolve()}")


if __name__ == "__main__":
    main()

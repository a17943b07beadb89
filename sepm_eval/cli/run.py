"""``sepm-eval run``: runs a whole plan, can be resumed, and exits with status 1 if anything is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sepm_eval.cli._app import app, console, faults_said, new_table, stop
from sepm_eval.plurals import counted
from sepm_eval.runs.journal import answers_below
from sepm_eval.runs.method_checks import answered_plainly, never_pruned
from sepm_eval.runs.plan import MOST_ITEMS, Plan, load_plan

if TYPE_CHECKING:
    from sepm_eval.hosts.lmms_eval.run import PlanResult


@app.command()
def run(
    plan: Annotated[str, typer.Argument(help="A YAML file, or one that ships, such as table1 or dan_table1.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; by default results/PLAN.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST_ITEMS, help="Only the first so many items of each task.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and what it costs.")] = False,
    measure: Annotated[
        int,
        typer.Option(
            min=0,
            help="With --dry-run: load each model, ask so many questions of each task, and say how many hours and how "
            "much memory the whole plan takes on this device.",
        ),
    ] = 0,
) -> None:
    """Run models, methods and tasks through lmms-eval. Can be interrupted and repeated; exits 1 if anything is missing.

    Under `accelerate launch` or `torchrun` the questions are shared among the processes.
    """
    from sepm_eval.hosts.plan_settings import check_models

    try:
        chosen = load_plan(plan)
        check_models(chosen)
        if limit is not None:
            chosen = chosen.model_copy(update={"limit": limit})
        if measure and not dry_run:
            stop("--measure goes with --dry-run: add it, or leave --measure out")
        if dry_run:
            _print_dry_run(chosen, plan, measure)
            return
        folder = out or Path("results") / Path(plan).stem
        with _interruption_said(folder):
            from sepm_eval.hosts.lmms_eval.run import run_plan

            found = run_plan(chosen, folder)
    except (ValueError, OSError) as error:
        stop(str(error))
    if not _rank():
        _print_result(found, folder)


@contextmanager
def _interruption_said(folder: Path) -> Iterator[None]:
    """Within this context, Ctrl-C ends the command with status 130 and a line that says what the folder keeps."""
    try:
        yield
    except KeyboardInterrupt:
        if not _rank():
            kept = ""
            with suppress(ValueError, OSError, KeyboardInterrupt):
                number = answers_below(folder)
                kept = f"{counted(number, 'answer')} {'is' if number == 1 else 'are'} kept; "
            Console(stderr=True).print(f"\nstopped: {kept}the same command continues", soft_wrap=True, highlight=False)
        raise typer.Exit(130) from None


def _rank() -> int:
    return int(os.environ.get("RANK", 0))


def _print_result(found: PlanResult, folder: Path) -> None:
    """Print the results of a plan; exit with status 1 if a part is missing, or if a method dropped no token but should.

    Args:
        found: the result of the plan.
        folder: folder of the results.
    """
    table = new_table("task", "model", "method", "right / N", "accuracy", "unparsed", "failed", title=str(folder))
    for one in sorted([*found.done, *found.partial], key=lambda one: one.task):
        share = "none scored" if one.accuracy is None else f"{one.accuracy:.2f} %"
        table.add_row(
            *(one.task, one.model, one.variant, f"{one.right} / {len(one.scored)}", share),
            *(str(one.count("unparsed")), str(one.count("failed"))),
        )
    console.print(table)
    for said in filter(None, map(answered_plainly, found.done)):
        console.print(said, soft_wrap=True, markup=False)
    faults = [flaw for one in found.done if (flaw := never_pruned(one))]
    if found.missing:
        lines = [f"{part}: {why}" for part, why in found.missing]
        again = (
            "call it again to continue" if found.continues else "the reasons must be mended before it is called again"
        )
        faults.append(f"missing: {counted(len(lines), 'part')} of the plan; {again}:\n" + "\n".join(lines))
    if faults:
        stop("\n".join(faults))
    console.print(f"complete. Now: sepm-eval report {folder}", soft_wrap=True)


def _print_dry_run(plan: Plan, name: str, measure: int) -> None:
    _print_cost(plan)
    if measure:
        with faults_said():
            _print_measured(plan, measure)
    else:
        console.print(f"Hours and memory on this device: sepm-eval run {name} --dry-run --measure 4", soft_wrap=True)


def _print_cost(plan: Plan) -> None:
    from sepm_eval.runs.pricing import price

    prices = price(plan)
    for model in dict.fromkeys(row.model for row in prices):
        table = new_table("task", "method", "questions", "tokens each", "TFLOP each", "PFLOP", title=model)
        for row in (row for row in prices if row.model == model):
            total = None if row.questions is None or row.flops is None else row.questions * row.flops / 1e15
            each = None if row.flops is None else row.flops / 1e12
            cost = (_number(row.tokens, ",d"), _number(each, ".3g"), _number(total, ",.3g"))
            table.add_row(row.task, row.method or "as it is", _number(row.questions, ",d"), *cost)
        console.print(table)
    console.print(NOTE)


def _print_measured(plan: Plan, count: int) -> None:
    from sepm_eval.hosts.measuring import measure
    from sepm_eval.runs.environment import devices

    table = new_table(
        "model", "task", "questions", "seconds each", "in all", title="measured here, all methods together"
    )
    rows = list(measure(plan, count))
    known = [(row, row.seconds, row.questions) for row in rows if row.seconds is not None and row.questions is not None]
    for row, seconds, questions in known:
        table.add_row(row.model, row.task, f"{questions:,d}", f"{seconds:.3g}", duration(seconds * questions))
    if known:
        console.print(table)
        total = duration(sum(seconds * questions for _, seconds, questions in known))
        memory = max(row.memory or 0 for row, _, _ in known) / 1e9
        console.print(f"about {total} on this device ({', '.join(devices())}), {memory:.1f} GB", soft_wrap=True)
    for row in rows:
        if row.why:
            console.print(f"not measured: {row.model}, {row.task}: {row.why}", soft_wrap=True, markup=False)


def duration(seconds: float) -> str:
    """A duration as text with two significant digits, such as "3.1 h"."""
    for name, unit in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds:.2g} s"


def _number(value: float | None, form: str) -> str:
    return "?" if value is None else format(value, form)


NOTE = (
    "Nothing was run. Prefill of one question, prompt lengths estimated; answers that are written out cost more, and "
    "methods on one model share what they ask, so together they cost less than the sum. ?: data or model not known, or "
    "the method does not tell its cost."
)

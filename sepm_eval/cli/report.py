"""``sepm-eval report``, ``compare``, ``leaderboard``, ``rescore`` and ``submit``: commands for finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sepm_eval.cli._app import app, console, new_table, stop
from sepm_eval.plurals import counted
from sepm_eval.report.text import visible

if TYPE_CHECKING:
    from sepm_eval.report.comparing import Pairs
    from sepm_eval.report.statistics import Comparison
    from sepm_eval.runs.outcomes import Run

Folders = Annotated[list[Path], typer.Argument(help="Folders that `sepm-eval run` or `lmms-eval --log_samples` wrote.")]


@app.command()
def report(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("report"),
) -> None:
    """What helped, tables, figures and what went wrong: a page each for model and task, Markdown, CSV, PNG and SVG."""
    from sepm_eval.report.links import link_of
    from sepm_eval.report.write import write_report
    from sepm_eval.runs.results import read_runs
    from sepm_eval.view.static import write_items

    try:
        runs = read_runs(folders, quiet=False)
        page = write_report(runs, out, link=link_of, quiet=False)
        write_items(runs, folders, out, quiet=False)
    except (ValueError, OSError) as error:
        stop(str(error))
    console.print(f"written to {page}", soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run, or of many, such as a plan's.")],
    second: Annotated[Path | None, typer.Argument(help="Folder of the other run; by default the same.")] = None,
    a: Annotated[
        str, typer.Option("--a", help="Which runs of the first folder: a method, such as sepm,beta=0.1.")
    ] = "",
    b: Annotated[str, typer.Option("--b", help="Which runs of the second folder.")] = "",
    model: Annotated[str, typer.Option(help="Only runs of this model: its name, or a part of it.")] = "",
) -> None:
    """Compare two runs item by item: difference, its intervals, flips, agreement, McNemar's tests, power."""
    from sepm_eval.report import statistics
    from sepm_eval.report.choosing import choose, side_by_side
    from sepm_eval.report.comparing import compare_pairs
    from sepm_eval.runs.results import paired, read_runs

    if second is None and not (a and b):
        stop(f"name two folders, or say which two runs of {first} to compare: --a zero_shot --b sepm")
    try:
        ours = read_runs([first])
        theirs = ours if second is None else read_runs([second])
        both, refused = side_by_side(
            choose(ours, a, model, f"{first}, --a"), choose(theirs, b, model, f"{second or first}, --b")
        )
        pairs = [paired(one, other) for one, other in both]
        if not all(pairs):
            stop("there is no item that both answered")
        results = [compare_pairs(items) for items in pairs]
    except (ValueError, OSError) as error:
        stop(str(error))
    adjusted = statistics.holm([result.p_value for result in results])
    for (one, other), items, result, p_holm in zip(both, pairs, results, adjusted, strict=True):
        _show_comparison(one, other, items, result, p_holm)
    for reason in refused:
        console.print(f"Not compared: {visible(reason)}.", markup=False, soft_wrap=True)


def _show_comparison(one: Run, other: Run, items: Pairs, result: Comparison, p_holm: float) -> None:
    from sepm_eval.report import statistics
    from sepm_eval.report.comparing import power_note
    from sepm_eval.report.table import when

    same = sum(x.score.label == y.score.label and x.score.status == y.score.status for x, y in items)
    table = new_table("", "A", "B", title=visible(f"{one.task}, list {one.item_list!r}, N = {result.n}"))
    table.add_row("run", visible(one.title), visible(other.title))
    rights = [sum(pair[side].score.correct for pair in items) for side in (0, 1)]
    intervals = [statistics.wilson(right, result.n) for right in rights]
    accuracies = [
        f"{right / result.n:.2%} [{interval.low:.1%}, {interval.high:.1%}]"
        for right, interval in zip(rights, intervals, strict=True)
    ]
    table.add_row("accuracy", *accuracies)
    table.add_row("only this one right", str(result.lost), str(result.gained))
    table.add_row("of the task", one.part, other.part)
    table.add_row("answered", when(one.date), when(other.date))
    console.print(table)
    low, high = 100 * result.interval.low, 100 * result.interval.high
    console.print(f"B - A: {100 * result.difference:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}]")
    if result.bayesian is not None:
        low, high = 100 * result.bayesian.low, 100 * result.bayesian.high
        console.print(f"fewer than {statistics.SMALL} items: Bayesian 95 % interval [{low:+.2f}, {high:+.2f}]")
    console.print(f"same answer: {same} of {result.n} ({same / result.n:.1%})")
    mid_p = "" if result.mid_p is None else f"; mid-p {result.mid_p:.4g}"
    console.print(f"exact McNemar p = {result.p_value:.4g}; Holm over these tables: {p_holm:.4g}{mid_p}")
    smallest = "none" if result.detectable is None else f"{100 * result.detectable:.1f} points"
    console.print(f"smallest detectable difference: {smallest}")
    console.print(f"items for 80 % power: {power_note(result)}")
    for side, run in (("A", one), ("B", other)):
        for path in run.superseded:
            told = f"{side} is read from {run.source}; superseded, as the same run over the same items: {path}"
            console.print(visible(told), markup=False, soft_wrap=True)


@app.command()
def leaderboard(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("leaderboard"),
) -> None:
    """Merge many models and methods into one ranked page."""
    from sepm_eval.report.leaderboard import write_leaderboard
    from sepm_eval.runs.results import read_runs

    try:
        page = write_leaderboard(read_runs(folders, quiet=False), out)
    except (ValueError, OSError) as error:
        stop(str(error))
    console.print(f"written to {page}", soft_wrap=True)


@app.command()
def rescore(
    folders: Folders,
    project: Annotated[
        str | None,
        typer.Option("--from", help="Answers a project published: eemo-bench, mvei-plus, mllm-visual-emotion."),
    ] = None,
) -> None:
    """Score logged answers again with this version's rules, without a model; exits 1 if any verdict changed.

    With --from, answers that another project published: its score beside ours, and every answer read differently.
    """
    from sepm_eval.cli.published import rescore_published
    from sepm_eval.runs.results import read_runs

    if project is not None:
        return rescore_published(project, folders)
    try:
        runs = read_runs(folders)
    except (ValueError, OSError) as error:
        stop(str(error))
    table = new_table("task", "model", "method", "N", "logged right", "right now", "changed")
    changed = []
    for run in runs:
        logged = [outcome for outcome in run.outcomes if outcome.logged is not None]
        odd = [o for o in run.outcomes if o.logged != (None if o.score.status == "failed" else o.score.correct)]
        changed += [(run, outcome) for outcome in odd]
        before = sum(bool(outcome.logged) for outcome in logged)
        counts = (len(run.scored), before, run.right, len(odd))
        table.add_row(*map(visible, (run.column, run.model, run.variant)), *map(str, counts))
    console.print(table)
    for run, outcome in changed[:20]:
        verdict = outcome.score.label or outcome.score.status
        console.print(
            visible(
                f"{run.column}, {run.title}, {outcome.item}: {outcome.output!r} is {verdict}, label {outcome.target}"
            ),
            markup=False,
            soft_wrap=True,
        )
    if changed:
        stop(f"{counted(len(changed), 'answer')} scored otherwise than logged")


@app.command()
def submit(
    target: Annotated[
        str,
        typer.Option(
            "--format",
            help="lmms-eval, openvlm, hf-eval-results, every-eval-ever, csv, lmms-eval-task (takes no folders), or an "
            "added one.",
        ),
    ],
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders that `sepm-eval run` or `lmms-eval --log_samples` wrote.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("submission"),
    organization: Annotated[str, typer.Option(help="Who ran the evaluation.")] = "",
    dataset_id: Annotated[list[str] | None, typer.Option(help="TASK=owner/name of a benchmark on the Hub.")] = None,
) -> None:
    """Write runs as a leaderboard or archive takes them. Nothing is uploaded."""
    from sepm_eval.datasets import find_benchmarks
    from sepm_eval.runs.results import read_runs
    from sepm_eval.submit import About
    from sepm_eval.submit import submit as write

    try:
        datasets = dict(pair.split("=", 1) for pair in dataset_id or [])
    except ValueError:
        stop(f"--dataset-id {dataset_id}: write TASK=owner/name")
    try:
        about = About(organization, datasets, find_benchmarks())
        files = write(read_runs(folders) if folders else [], target, out, about)
    except (ValueError, OSError) as error:
        stop(str(error))
    for path in files[:10]:
        console.print(str(path), soft_wrap=True)
    console.print(f"{counted(len(files), 'file')} written to {out}; nothing was uploaded", soft_wrap=True)

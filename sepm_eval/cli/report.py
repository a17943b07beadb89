"""``sepm-eval report``, ``compare``, ``leaderboard``, ``rescore`` and ``submit``: what is made of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sepm_eval.cli._app import app, console, new_table, stop
from sepm_eval.results import Run

Folders = Annotated[list[Path], typer.Argument(help="Folders that `sepm-eval run` or `lmms-eval --log_samples` wrote.")]


@app.command()
def report(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("report"),
) -> None:
    """Tables 1-3, figures, statistics and lists of what went wrong, as one page, Markdown, CSV, PNG and SVG."""
    from sepm_eval.report.write import write_report
    from sepm_eval.results import read_runs

    try:
        page = write_report(read_runs(folders), out)
    except (ValueError, OSError) as error:
        stop(str(error))
    console.print(f"written to {page}", soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of one run, or of one run a task.")],
    second: Annotated[Path, typer.Argument(help="The other's.")],
) -> None:
    """Compare two runs item by item: difference, its interval, flips, agreement, McNemar's test, power."""
    from sepm_eval import statistics
    from sepm_eval.report.tables import compare_pairs, power_note
    from sepm_eval.results import paired, read_runs

    try:
        sides = [_one_a_task(read_runs([folder]), folder) for folder in (first, second)]
        tasks = [task for task in sides[0] if task in sides[1]]
        if not tasks:
            stop(f"{first} has runs of {sorted(sides[0])}, {second} of {sorted(sides[1])}: no task in common")
        both = [(sides[0][task], sides[1][task]) for task in tasks]
        pairs = [paired(one, other) for one, other in both]
        results = [compare_pairs(items) for items in pairs]
    except (ValueError, OSError) as error:
        stop(str(error))
    adjusted = statistics.holm([result.p_value for result in results])
    for (one, other), items, result, p_holm in zip(both, pairs, results, adjusted, strict=True):
        same = sum(a.score.label == b.score.label and a.score.status == b.score.status for a, b in items)
        table = new_table("", "A", "B", title=f"{one.task}, list {one.item_list!r}, N = {result.n}")
        table.add_row("run", one.title, other.title)
        rights = [sum(pair[side].score.correct for pair in items) for side in (0, 1)]
        intervals = [statistics.wilson(right, result.n) for right in rights]
        accuracies = [
            f"{right / result.n:.2%} [{interval.low:.1%}, {interval.high:.1%}]"
            for right, interval in zip(rights, intervals, strict=True)
        ]
        table.add_row("accuracy", *accuracies)
        table.add_row("only this one right", str(result.lost), str(result.gained))
        console.print(table)
        low, high = 100 * result.interval.low, 100 * result.interval.high
        console.print(f"B - A: {100 * result.difference:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}]")
        console.print(f"same answer: {same} of {result.n} ({same / result.n:.1%})")
        console.print(f"exact McNemar p = {result.p_value:.4g}; Holm over these tables: {p_holm:.4g}")
        console.print(f"items for 80 % power: {power_note(result)}")


@app.command()
def leaderboard(
    folders: Folders,
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("leaderboard"),
) -> None:
    """Merge many models and methods into one ranked page."""
    from sepm_eval.report.leaderboard import write_leaderboard
    from sepm_eval.results import read_runs

    try:
        page = write_leaderboard(read_runs(folders), out)
    except (ValueError, OSError) as error:
        stop(str(error))
    console.print(f"written to {page}", soft_wrap=True)


@app.command()
def rescore(folders: Folders) -> None:
    """Score logged answers again with this version's rules, without a model; exits 1 if any verdict changed."""
    from sepm_eval.results import read_runs

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
        table.add_row(run.task, run.model, run.variant, *map(str, (len(run.scored), before, run.right, len(odd))))
    console.print(table)
    for run, outcome in changed[:20]:
        verdict = outcome.score.label or outcome.score.status
        console.print(
            f"{run.task}, {run.variant}, {outcome.item}: {outcome.output!r} is {verdict}, label {outcome.target}",
            markup=False,
            soft_wrap=True,
        )
    if changed:
        stop(f"{len(changed)} verdicts differ from what was logged")


@app.command()
def submit(
    folders: Folders,
    target: Annotated[
        str, typer.Option("--format", help="lmms-eval, openvlm, hf-eval-results, every-eval-ever or csv.")
    ],
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("submission"),
    organization: Annotated[str, typer.Option(help="Who ran the evaluation.")] = "",
    dataset_id: Annotated[list[str] | None, typer.Option(help="TASK=owner/name of a benchmark on the Hub.")] = None,
) -> None:
    """Write runs as a leaderboard or archive takes them. Nothing is uploaded."""
    from sepm_eval.results import read_runs
    from sepm_eval.submit import About
    from sepm_eval.submit import submit as write

    try:
        datasets = dict(pair.split("=", 1) for pair in dataset_id or [])
    except ValueError:
        stop(f"--dataset-id {dataset_id}: write TASK=owner/name")
    try:
        files = write(read_runs(folders), target, out, About(organization, datasets))
    except (ValueError, OSError) as error:
        stop(str(error))
    for path in files[:10]:
        console.print(str(path), soft_wrap=True)
    console.print(f"{len(files)} files written to {out}; nothing was uploaded", soft_wrap=True)


def _one_a_task(runs: list[Run], folder: Path) -> dict[str, Run]:
    """Runs by task, if there is one a task."""
    found: dict[str, Run] = {}
    for run in runs:
        if run.task in found:
            titles = [one.title for one in runs if one.task == run.task]
            stop(
                f"{folder} holds {len(titles)} runs of {run.task} ({'; '.join(titles)}): name the folder of one of them"
            )
        found[run.task] = run
    return found

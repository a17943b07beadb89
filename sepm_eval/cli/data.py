"""``sepm-eval datasets``, ``prepare``, ``verify`` and ``download``: getting and checking the data sets' releases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from sepm_eval.cli._app import app, console, stop
from sepm_eval.datasets import DATA_VARIABLE, Benchmark, MissingData, data_folder, find_benchmarks
from sepm_eval.datasets.benchmark import Links

Name = Annotated[str, typer.Argument(help="A benchmark; `sepm-eval datasets` lists them.")]


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="A benchmark, to see all of it and how to get it.")] = None,
) -> None:
    """List the benchmarks: how many items and labels, on what terms, and which are there. With a name, all of one."""
    if name is not None:
        _show(_benchmark(name))
        return
    table = Table("benchmark", "on disk", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for header in ("N", "labels"):
        table.add_column(header, justify="right")
    for header in ("licence", "form", "votes"):
        table.add_column(header)
    for benchmark in _in_order():
        there, count = state(benchmark)
        told = _among(benchmark, count, "/") or (f"~{benchmark.size}" if benchmark.size else "?")
        votes = "yes" if benchmark.votes else "-"
        row = (benchmark.name, there.partition(":")[0], told, str(len(benchmark.names)))
        table.add_row(*row, benchmark.licence, benchmark.form, votes)
    console.print(table)
    console.print(f"Data folder: {data_folder()}", soft_wrap=True)
    console.print(
        "N: items of the list that is set, as 24/594 if more were published; ~ as published, where the release is not "
        "there. form: one must be filled in to get it.\nsepm-eval datasets NAME says where one is to be had, and the "
        "command that gets it.",
    )


def _in_order() -> list[Benchmark]:
    return [benchmark for _, benchmark in sorted(find_benchmarks().items())]


def _among(benchmark: Benchmark, count: str, of: str) -> str:
    """The number of items there, and how many are published if these are more; "" if it is not known."""
    fewer = bool(count) and benchmark.published is not None and int(count) < benchmark.published
    return f"{count}{of}{benchmark.published}" if fewer else count


def _show(benchmark: Benchmark) -> None:
    """Print all facts about a benchmark, one on each line."""
    there, count = state(benchmark)
    size = _among(benchmark, count, " there, published are ") or (
        f"{benchmark.size} as published" if benchmark.size else "not known"
    )
    home = data_folder() / benchmark.folder
    asked = "its own question for each item" if benchmark.own_questions else "one question for all"
    rows = [
        ("on disk", there if there != "no" else f"no: {home} is not there"),
        ("items", f"{size}; lists: {', '.join(benchmark.lists)} (set: {benchmark.chosen_list()})"),
        ("labels", f"{len(benchmark.names)}: {', '.join(benchmark.names)}; {asked}"),
        ("votes", "on each picture" if benchmark.votes else "none"),
        ("terms", f"{benchmark.terms}; form: {benchmark.form}"),
        ("folder", str(home)),
        ("to get it", benchmark.obtain),
        *(("", command) for command in benchmark.commands if command not in benchmark.obtain),
    ]
    console.print(benchmark.name, style="bold")
    for fact, told in rows:
        console.print(f"{fact:<10}{told}", markup=False, soft_wrap=True, highlight=False)


@app.command()
def prepare(
    name: Name,
    source: Annotated[
        str | None, typer.Option(help="The release: its folder, the one around it, its zip, or hf:owner/name.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write.")] = None,
    item_list: Annotated[str | None, typer.Option("--list", help="Item list, or a CSV file of your own.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="WHAT=NAME, where a column of the hub's copy is called otherwise.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Pictures read at once.")] = 4,
) -> None:
    """Check a release picture by picture; write Parquet, TSV and a manifest. Can be interrupted and repeated."""
    from sepm_eval.datasets.releases import prepare as preparing

    benchmark = _benchmark(name)
    try:
        folder = out or preparing.prepared_folder(name)
        if source is not None:
            _use(benchmark, source, _columns(column))
        elif column:
            raise ValueError("--column goes with --source hf:owner/name")
        manifest = preparing.prepare(benchmark, folder, item_list, workers)
    except OSError as error:
        stop(str(error) if isinstance(error, MissingData) else f"{name}: {error}. What is done is kept: call it again")
    except ValueError as error:
        stop(str(error))
    table = Table("class", "pictures", title=f"{name}, list {manifest['item_list']}, N = {manifest['n']}")
    for label, count in manifest["per_class"].items():
        table.add_row(label, str(count))
    console.print(table)
    console.print(f"{len(manifest['duplicates'])} groups of pictures with the same content")
    console.print(f"Written to {folder}", soft_wrap=True)
    if manifest["unreadable"]:
        for key, problem in list(manifest["unreadable"].items())[:20]:
            console.print(f"unreadable: {key}: {problem}", markup=False, soft_wrap=True)
        stop(f"{name}: {len(manifest['unreadable'])} pictures cannot be read; the manifest names them")


@app.command()
def verify(name: Name, folder: Annotated[Path | None, typer.Option(help="What prepare wrote.")] = None) -> None:
    """Check that what `prepare` wrote has not changed since."""
    from sepm_eval.datasets.releases import prepare as preparing

    _benchmark(name)
    folder = folder or preparing.prepared_folder(name)
    try:
        problems = preparing.verify(folder)
    except FileNotFoundError:
        stop(f"{folder} has no {preparing.MANIFEST}: run sepm-eval prepare {name}")
    except (OSError, ValueError) as error:
        stop(str(error))
    if problems:
        stop("\n".join(problems))
    console.print(f"{folder}: as it was written", soft_wrap=True)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="A benchmark whose release is a list of links, or its folder's name.")],
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 8,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
) -> None:
    """Fetch the pictures that a release names by URL. Can be interrupted and repeated."""
    from sepm_eval.datasets.releases.download import Wanted
    from sepm_eval.datasets.releases.download import download as fetch

    release, read = _linked(name)
    try:
        folder = release()
        links, faults = read(folder, limit)
        wanted = [Wanted(url, path) for url, path in links]
        found = fetch(wanted, folder / "download.jsonl", concurrency=concurrency)
    except (MissingData, ValueError) as error:
        stop(str(error))
    except OSError as error:
        stop(f"{name}: {error}. What was fetched is kept: call it again")
    found["refused"] += len(faults)
    for status, count in found.most_common():
        console.print(f"{count:>8} {status}")
    there = found["there"] + found["fetched"]
    console.print(f"{there} of {len(links) + len(faults)} pictures are there", soft_wrap=True)
    problems = [f"{found['failed']} requests failed for now; call it again"] if found["failed"] else []
    if found["no place"]:
        problems.append(f"{found['no place']} files cannot have their names; {folder / 'download.jsonl'} says which")
    if faults:
        problems.append(f"{len(faults)} rows of the list are broken, such as: {faults[0]}")
    if problems:
        stop("\n".join(problems))


def _benchmark(name: str) -> Benchmark:
    benchmarks = find_benchmarks()
    if name not in benchmarks:
        stop(f"unknown benchmark {name!r}; there are {sorted(benchmarks)}")
    return benchmarks[name]


def _linked(name: str) -> tuple[Callable[[], Path], Links]:
    """Look up a release that lists its pictures as links.

    Args:
        name: name of a benchmark, or of its folder in lower case.

    Returns:
        The function that finds the release's folder, and the one that reads its links.
    """
    linked: dict[str, tuple[Callable[[], Path], Links]] = {}
    for benchmark in find_benchmarks().values():
        if benchmark.links is not None:
            for known in (benchmark.name, Path(benchmark.folder).name.lower()):
                linked.setdefault(known, (benchmark.release, benchmark.links))
    if name not in linked:
        stop(f"{name!r}: only {', '.join(linked)} are lists of links; for the others see `sepm-eval datasets`")
    return linked[name]


def _columns(told: list[str] | None) -> dict[str, str]:
    """Parse the values of --column.

    Raises:
        ValueError: a value does not have the form WHAT=NAME.
    """
    pairs = [one.partition("=") for one in told or ()]
    if odd := [what for what, equals, name in pairs if not (what and equals and name)]:
        raise ValueError(f"--column {odd[0]}: write WHAT=NAME, such as picture=img")
    return {what: name for what, _, name in pairs}


def _use(benchmark: Benchmark, source: str, columns: dict[str, str]) -> None:
    """Copy or unpack a release into the data folder; if it is a folder already, use that or its parent as data folder.

    Raises:
        ValueError: the source is neither a folder nor a file nor a copy on the hub.
    """
    from sepm_eval.datasets.releases import hub_copies
    from sepm_eval.datasets.releases.archives import unpack

    path = Path(os.path.expanduser(source))
    if source.startswith(hub_copies.PREFIX):
        hub_copies.fetch(benchmark, source, data_folder(), columns)
    elif path.is_file():
        unpack(path, data_folder())
    elif not path.is_dir():
        raise ValueError(
            f"{benchmark.name}: --source {source} does not exist; name a folder, a zip file or hf:owner/name"
        )
    else:
        os.environ[DATA_VARIABLE] = str(path.parent if path.name == str(benchmark.folder) else path)


def state(benchmark: Benchmark) -> tuple[str, str]:
    """Check whether the release of a benchmark is there.

    Returns:
        "yes", "no", "in part" or "broken: ..."; and the number of items as text, "" if it is not known.
    """
    try:
        return "yes", str(len(benchmark.items()))
    except MissingData as error:
        return ("no" if "no folder" in str(error) else "in part"), ""
    except (OSError, ValueError) as error:
        return f"broken: {error}", ""

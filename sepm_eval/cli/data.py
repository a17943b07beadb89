"""``sepm-eval datasets``, ``prepare``, ``verify`` and ``download``: getting and checking the releases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sepm_eval.cli._app import app, console, stop
from sepm_eval.datasets import DATA_VARIABLE, Benchmark, MissingData, data_folder, find_benchmarks
from sepm_eval.datasets.benchmark import Links

Name = Annotated[str, typer.Argument(help="A benchmark; `sepm-eval datasets` lists them.")]


@app.command()
def datasets() -> None:
    """List the benchmarks: which are there, how many pictures, where to get them, on what terms."""
    table = Table(
        "benchmark", "there", "N", "item lists", "terms", "how to get it", title=f"Data folder: {data_folder()}"
    )
    for name, benchmark in sorted(find_benchmarks().items()):
        there, count = state(benchmark)
        table.add_row(name, there, count, ", ".join(benchmark.lists), benchmark.terms, benchmark.obtain)
    console.print(table)


@app.command()
def prepare(
    name: Name,
    source: Annotated[
        str | None, typer.Option(help="The release: its folder, the one around it, its zip, or hf:owner/name.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write.")] = None,
    item_list: Annotated[str | None, typer.Option("--list", help="Item list, or a CSV file of your own.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Pictures read at once.")] = 4,
) -> None:
    """Check a release picture by picture; write Parquet, TSV and a manifest. Can be interrupted and repeated."""
    from sepm_eval.datasets.releases import prepare as preparing

    benchmark = _benchmark(name)
    try:
        folder = out or preparing.prepared_folder(name)
        if source is not None:
            _use(benchmark, source)
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
    """How to find and read the release whose pictures are links; ``name`` is a benchmark's or its folder's."""
    linked: dict[str, tuple[Callable[[], Path], Links]] = {}
    for benchmark in find_benchmarks().values():
        if benchmark.links is not None:
            for known in (benchmark.name, Path(benchmark.folder).name.lower()):
                linked.setdefault(known, (benchmark.release, benchmark.links))
    if name not in linked:
        stop(f"{name!r}: only {', '.join(linked)} are lists of links; for the others see `sepm-eval datasets`")
    return linked[name]


def _use(benchmark: Benchmark, source: str) -> None:
    """Put the release into the data folder, or make the folder around it the data folder."""
    from sepm_eval.datasets.releases import hub_copies
    from sepm_eval.datasets.releases.prepare import unpack

    path = Path(os.path.expanduser(source))
    if source.startswith(hub_copies.PREFIX):
        hub_copies.fetch(benchmark, source, data_folder())
    elif path.is_file():
        unpack(path, data_folder())
    elif not path.is_dir():
        raise ValueError(
            f"{benchmark.name}: --source {source} does not exist; name a folder, a zip file or hf:owner/name"
        )
    else:
        os.environ[DATA_VARIABLE] = str(path.parent if path.name == str(benchmark.folder) else path)


def state(benchmark: Benchmark) -> tuple[str, str]:
    """Look whether the release of a benchmark is there.

    Returns:
        "yes", "no", "in part" or "broken: ..."; and how many pictures, "" if that is not known.
    """
    try:
        return "yes", str(len(benchmark.items()))
    except MissingData as error:
        return ("no" if "no folder" in str(error) else "in part"), ""
    except (OSError, ValueError) as error:
        return f"broken: {error}", ""

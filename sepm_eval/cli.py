"""The ``sepm-eval`` command."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from sepm_eval.datasets import DATA_VARIABLE, Benchmark, MissingData, data_folder, find_benchmarks, webemo
from sepm_eval.emotions import MIKELS
from sepm_eval.methods import Method, get_method

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = Console()

Name = Annotated[str, typer.Argument(help="A benchmark; `sepm-eval datasets` lists them.")]


@app.command()
def datasets() -> None:
    """List the benchmarks: which are there, how many pictures, where to get them, on what terms."""
    table = Table(
        "benchmark", "there", "N", "item lists", "terms", "how to get it", title=f"Data folder: {data_folder()}"
    )
    for name, benchmark in sorted(find_benchmarks().items()):
        there, count = _state(benchmark)
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
    """Check a release picture by picture and write it as Parquet, with a manifest. Can be interrupted and repeated."""
    from sepm_eval import prepare as preparing

    benchmark = _benchmark(name)
    try:
        folder = out or preparing.prepared_folder(name)
        if source is not None:
            _use(benchmark, source)
        manifest = preparing.prepare(benchmark, folder, item_list, workers)
    except OSError as error:
        _stop(str(error) if isinstance(error, MissingData) else f"{name}: {error}. What is done is kept: call it again")
    except ValueError as error:
        _stop(str(error))
    table = Table("class", "pictures", title=f"{name}, list {manifest['item_list']}, N = {manifest['n']}")
    for label, count in manifest["per_class"].items():
        table.add_row(label, str(count))
    console.print(table)
    console.print(f"{len(manifest['duplicates'])} groups of pictures with the same content")
    console.print(f"Written to {folder}", soft_wrap=True)
    if manifest["unreadable"]:
        for key, problem in list(manifest["unreadable"].items())[:20]:
            console.print(f"unreadable: {key}: {problem}", markup=False, soft_wrap=True)
        _stop(f"{name}: {len(manifest['unreadable'])} pictures cannot be read; the manifest names them")


@app.command()
def verify(name: Name, folder: Annotated[Path | None, typer.Option(help="What prepare wrote.")] = None) -> None:
    """Check that what `prepare` wrote has not changed since."""
    from sepm_eval import prepare as preparing

    _benchmark(name)
    folder = folder or preparing.prepared_folder(name)
    try:
        problems = preparing.verify(folder)
    except FileNotFoundError:
        _stop(f"{folder} has no {preparing.MANIFEST}: run sepm-eval prepare {name}")
    if problems:
        _stop("\n".join(problems))
    console.print(f"{folder}: as it was written", soft_wrap=True)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="Only webemo is fetched picture by picture.")],
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 8,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
) -> None:
    """Fetch the pictures that a release names by URL. Can be interrupted and repeated."""
    from sepm_eval.download import Wanted
    from sepm_eval.download import download as fetch

    if name != "webemo":
        _stop(f"{name!r}: only webemo is a list of links; for the others see `sepm-eval datasets`")
    try:
        folder = find_benchmarks()["webemo25"].release()
        rows = webemo.rows(folder)[:limit]
        wanted = [Wanted(url, webemo.place(folder, url, label)) for url, label in rows]
    except (MissingData, ValueError) as error:
        _stop(str(error))
    found = fetch(wanted, folder / "download.jsonl", concurrency=concurrency)
    for status, count in found.most_common():
        console.print(f"{count:>8} {status}")
    console.print(f"{found['there'] + found['fetched']} of {len(wanted)} pictures are there", soft_wrap=True)
    if found["failed"]:
        _stop(f"{found['failed']} requests failed for now; call it again")


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    model: Annotated[str, typer.Option(help="Backbone: llava or vila.")] = "llava",
    pretrained: Annotated[str | None, typer.Option(help="Hub id, folder or demo.")] = None,
    method: Annotated[str, typer.Option(help="A method; its options after commas: sepm,beta=0.4.")] = "sepm",
    labels: Annotated[str, typer.Option(help="Emotions to choose from, joined by commas.")] = ",".join(MIKELS),
    out: Annotated[Path, typer.Option(help="Where to write the picture of dropped tokens.")] = Path("dropped.png"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
) -> None:
    """Answer one picture, say how sure the model was and of what, and show which visual tokens were dropped."""
    from sepm_eval.images import open_image
    from sepm_eval.model_wrappers import load_backbone
    from sepm_eval.overlay import draw_dropped
    from sepm_eval.types import Question

    try:
        chosen = parse_method(method)
        picture = open_image(image)
        keys = tuple(label.strip() for label in labels.split(","))
        question = Question(picture, keys, tuple(MIKELS.get(key, key.capitalize()) for key in keys))
        backbone = load_backbone(model, pretrained, device=device)
        (answer,) = chosen.answer([question], backbone)
    except (ValueError, OSError) as error:
        _stop(str(error))
    table = Table(
        "option", "emotion", "probability", title=f"{image.name}: {answer.label or 'unparsed'} ({answer.text!r})"
    )
    for (letter, name), probability in zip(question.options(), answer.option_probabilities.values(), strict=True):
        table.add_row(letter, name, f"{probability:.4f}")
    console.print(table)
    evidence = answer.evidence
    if evidence is None:
        return
    console.print(
        f"stage 1: {evidence.polarity}{' (ambiguous)' if evidence.ambiguous else ''}, positive "
        f"{evidence.p_positive:.4f}, negative {evidence.p_negative:.4f}, confidence {evidence.confidence:.4f}"
    )
    console.print(f"stage 2 chose among: {', '.join(evidence.candidates)}", soft_wrap=True)
    console.print(f"dropped {len(evidence.dropped)} of {answer.visual_tokens} visual tokens")
    if evidence.dropped:
        draw_dropped(backbone.frame(picture), backbone.cells(answer.visual_tokens), evidence.dropped).save(out)
        console.print(f"written to {out}", soft_wrap=True)


def parse_method(text: str) -> Method:
    """A method from the command line: "sepm,alpha=0.2,cci=False".

    Raises:
        ValueError: an unknown method or option, or a value out of range.
    """
    name, *settings = text.split(",")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no option: write name=value")
        try:
            options[key.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key.strip()] = value
    return get_method(name, **options)


def main() -> None:
    """Entry point."""
    app()


def _benchmark(name: str) -> Benchmark:
    benchmarks = find_benchmarks()
    if name not in benchmarks:
        _stop(f"unknown benchmark {name!r}; there are {sorted(benchmarks)}")
    return benchmarks[name]


def _use(benchmark: Benchmark, source: str) -> None:
    """Put the release into the data folder, or make the folder around it the data folder."""
    from sepm_eval import hub_copies
    from sepm_eval.prepare import unpack

    path = Path(source).expanduser()
    if source.startswith(hub_copies.PREFIX):
        hub_copies.fetch(benchmark, source, data_folder())
    elif path.is_file():
        unpack(path, data_folder())
    else:
        os.environ[DATA_VARIABLE] = str(path.parent if path.name == str(benchmark.folder) else path)


def _state(benchmark: Benchmark) -> tuple[str, str]:
    try:
        return "yes", str(len(benchmark.items()))
    except MissingData as error:
        return ("no" if "no folder" in str(error) else "in part"), ""
    except ValueError as error:
        return f"broken: {error}", ""


def _stop(message: str) -> NoReturn:
    Console(stderr=True).print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)

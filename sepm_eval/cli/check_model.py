"""``sepm-eval check-model``: checks what works with a checkpoint, before days of GPU time are spent on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape

from sepm_eval.cli._app import app, console, faults_said, new_table, stop
from sepm_eval.images import open_image
from sepm_eval.prompts import letters
from sepm_eval.runs.identity import OUR_ENTRIES

if TYPE_CHECKING:
    from sepm_eval.backbone.interface import Backbone
    from sepm_eval.model_wrappers._trial import Line

_SIZE = (1024, 768)  # pixels of the picture whose visual tokens are counted
_LETTERS = "ABCDEFGH"
_LONGEST_ANSWER = 16  # tokens
_COLOURS = {"holds": "green", "fails": "red", "no": "yellow"}


@app.command()
def check_model(
    pretrained: Annotated[str, typer.Argument(help="Hub id, folder or, with --model llava, demo.")],
    model: Annotated[str, typer.Option(help="A backbone: hf, llava, vila; sepm-eval doctor names them.")] = "hf",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the backbone, name=value as in a plan, such as tiling=true. Repeat."),
    ] = None,
) -> None:
    """Load a checkpoint, hold it to what every model must do, and say how it answers the demo pictures.

    Exits 1 with the reason if the checkpoint is refused or a line of the contract fails.
    """
    from sepm_eval.hosts.loading import read_settings

    with faults_said():
        given = {"pretrained": pretrained, "device": device, "dtype": dtype}
        backbone = read_settings(f"{OUR_ENTRIES}{model}", model, {**given, **_settings(setting or [])}).load()
        from sepm_eval.model_wrappers._trial import hold_to_contract

        lines = hold_to_contract(backbone)
        _show_lines(lines, f"{model}: {backbone.name}")
        table = new_table("what", "")
        for what, value in _facts(backbone):
            table.add_row(what, escape(value))
        console.print(table)
    failed = [line.what for line in lines if line.verdict == "fails"]
    if failed:
        stop(f"{backbone.name} as {model} fails these checks: {'; '.join(failed)}. Its answers cannot be trusted")


def _settings(written: list[str]) -> dict[str, Any]:
    """Parse settings from --set; their values are YAML, as in a plan.

    Raises:
        ValueError: a setting does not have the form name=value, is given twice, or has its own option or argument.
    """
    from sepm_eval.hosts.loading import OF_A_MODEL

    found: dict[str, Any] = {}
    for one in written:
        name, given, value = one.partition("=")
        if not given or not name or name in found:
            raise ValueError(f"--set {one[:200]}: write name=value, each name once, such as --set tiling=true")
        if name in OF_A_MODEL:
            raise ValueError(f"--set {name}: it has an option or argument of its own")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--set {name}={value[:200]}: its value is not YAML; quote text with odd signs") from error
    return found


def _show_lines(lines: list[Line], title: str) -> None:
    table = new_table("what every model must do", "", "", title=escape(title))
    for line in lines:
        table.add_row(line.what, f"[{_COLOURS[line.verdict]}]{line.verdict}[/]", escape(line.words))
    console.print(table)


def _facts(backbone: Backbone) -> Iterator[tuple[str, str]]:
    """Yield facts about a model for the user, each as a name and a value in words."""
    from PIL import Image

    from sepm_eval.model_wrappers._trial import inside, spelt

    yield "supports", ", ".join(sorted(backbone.supports)) or "reading and writing only"
    (picture,) = backbone.see([Image.new("RGB", _SIZE)]).pictures
    grids = ", ".join(f"{block.rows} x {block.columns}" for block in picture.blocks)
    separators = int(picture.separators.sum())
    yield (
        f"visual tokens of a {_SIZE[0]} x {_SIZE[1]} picture",
        f"{len(picture)} (rows x columns: {grids}{f'; {separators} separators' if separators else ''})",
    )
    ids = backbone.letter_ids(_LETTERS)
    yield "letters", ", ".join(f"{text!r} {one}" for text, one in zip(spelt(backbone, ids), ids, strict=True))
    if (own := inside(backbone)) is not None:
        yield "probed layer", str(own.probed_layer)
    for name, value in backbone.settings.items():
        if name != "probed_layer":
            yield name, repr(value) if "\n" in value else value
    yield "revision", backbone.revision
    yield from _answers(backbone)


def _answers(backbone: Backbone) -> Iterator[tuple[str, str]]:
    """Yield facts about zero-shot answers to the first demo pictures, asked one at a time, and about the speed."""
    from sepm_eval.datasets import find_benchmarks
    from sepm_eval.methods.evidence import answer_probabilities
    from sepm_eval.model_wrappers._trial import inside
    from sepm_eval.runs.first_answers import LEAST, LOOKED_AT, beginnings

    benchmark, own = find_benchmarks()["emotion_demo"], inside(backbone)
    masses, texts = [], []
    read = written = 0
    reading_took = writing_took = 0.0
    for item in benchmark.items()[:LOOKED_AT]:
        image = open_image(item.path)
        start = time.perf_counter()
        reading = backbone.read([benchmark.question()], backbone.see([image]))
        row = answer_probabilities(reading.logits, backbone.letter_ids(letters(len(benchmark.names))))[0].tolist()
        begun = time.perf_counter()
        texts += backbone.write(reading, _LONGEST_ANSWER)
        reading_took, writing_took = reading_took + begun - start, writing_took + time.perf_counter() - begun
        masses.append(sum(row))
        read += int(reading.attended[0].sum())
        written += 0 if own is None else min(len(own.write(reading, _LONGEST_ANSWER)[0]), _LONGEST_ANSWER - 1)
    mean = sum(masses) / len(masses)
    yield (
        f"option letters in the first token, {len(masses)} demo pictures",
        f"{100 * mean:.1f} % of its probability (lowest {100 * min(masses):.1f} %)"
        + ("" if mean >= LEAST else ": it does not begin with a letter; answers are written out and parsed"),
    )
    yield "answers begin with", beginnings(texts)
    yield "reading", f"{read / reading_took:,.0f} tokens a second, pictures included, one question at a time"
    yield "writing", f"{written / writing_took:,.1f} tokens a second ({written} written)" if written else "not measured"

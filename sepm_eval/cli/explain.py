"""``sepm-eval explain``: answers one picture and shows why the model answered so."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from sepm_eval.cli._app import app, console, faults_said, stop
from sepm_eval.emotions import MIKELS, POLARITY
from sepm_eval.methods.needs import check_question
from sepm_eval.plurals import counted
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.plan import parse_method

if TYPE_CHECKING:
    from sepm_eval.types import Answer, Question

_LONGEST_TEXT = 60  # characters of an answer that are shown above the table
_LONGEST_STEM = 80  # characters of the picture's name that are kept in the name of the written file


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    model: Annotated[str, typer.Option(help="A backbone, such as llava; sepm-eval doctor names them.")] = "llava",
    pretrained: Annotated[str | None, typer.Option(help="Hub id, folder or demo.")] = None,
    method: Annotated[str, typer.Option(help="A method; its options after commas: sepm,beta=0.4.")] = "sepm",
    labels: Annotated[
        str,
        typer.Option(
            help="Emotions to choose from, joined by commas; of your own ones say the polarity: cozy:positive."
        ),
    ] = ",".join(MIKELS),
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture file to write or replace: picture, heat map, dropped tokens, answer. By default a new file "
            "PICTURE-explained.png in this folder."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
) -> None:
    """Answer one picture, say how probable each option was, and draw what it looked at and what was dropped."""
    from sepm_eval.hosts.loading import read_settings
    from sepm_eval.report.explanation import explain as put_beside

    with faults_said():
        there = out is not None and out.exists()
        out = _free_name(image) if out is None else out
        _check_out(out, image)
        chosen = parse_method(method)
        settings = read_settings(f"{OUR_ENTRIES}{model}", model, {"pretrained": pretrained, "device": device})
        question = _question(image, labels)
        check_question(chosen, question)
        found = put_beside(question, chosen.answer(question, settings.load(chosen)))
    _show(found.answer, question, image.name)
    try:
        found.sheet(f"{image.name}, {method}").save(out)
    except (ValueError, OSError) as error:
        stop(f"{out} cannot be written: {error}")
    if found.heat is None and found.covered is None:
        why = "drops no visual token and reads no attention: there is only the answer to draw"
        console.print(f"{method} {why}", soft_wrap=True, markup=False)
    console.print(f"{'replaced' if there else 'written to'} {out}", soft_wrap=True, markup=False)


def _question(image: Path, labels: str) -> Question:
    """Make the question from the command line's picture and labels.

    Raises:
        ValueError: the labels make no valid question, or a label's polarity is neither known nor given.
    """
    from sepm_eval.types import Question

    pairs = [label.strip().partition(":") for label in labels.split(",")]
    keys = tuple(key for key, _, _ in pairs)
    wrong = [f"{key}:{side}" for key, colon, side in pairs if colon and side not in ("positive", "negative")]
    if wrong:
        raise ValueError(f"--labels {','.join(wrong)}: write label:positive or label:negative")
    sides = {key: side or POLARITY.get(key, "") for key, _, side in pairs}
    unknown = [key for key, side in sides.items() if not side]
    if unknown:
        raise ValueError(
            f"unknown emotions {unknown}: say whether each is positive or negative, as in "
            f"--labels joy,{unknown[0]}:negative. Known without that are {sorted(POLARITY)}"
        )
    positive = frozenset(key for key, side in sides.items() if side == "positive")
    return Question(image, keys, tuple(MIKELS.get(key, key.capitalize()) for key in keys), positive=positive)


def _show(answer: Answer, question: Question, name: str) -> None:
    """Print the answer to the picture of this name, with its probabilities and its evidence."""
    table = Table(
        "option",
        "emotion",
        "probability",
        title=escape(f"{name}: {answer.label or 'unparsed'} ({_short(answer.text)})"),
    )
    for (letter, shown), probability in zip(question.options(), answer.option_probabilities.values(), strict=True):
        table.add_row(letter, shown, f"{probability:.4f}")
    console.print(table)
    for what, value in [] if answer.evidence is None else answer.evidence.facts():
        console.print(f"{what}: {value}", markup=False, soft_wrap=True)
    dropped = answer.kept.count(False)
    if answer.evidence is not None or dropped:
        console.print(f"dropped {dropped} of {counted(answer.visual_tokens, 'visual token')}")


def _short(text: str) -> str:
    """The beginning of a model's text, quoted, with control characters as escapes."""
    return repr(text) if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]!r} ..."


def _free_name(image: Path) -> Path:
    """A name for a new file in the current folder, made from the picture's name."""
    stem = f"{image.stem[:_LONGEST_STEM]}-explained"
    names = (Path(f"{stem}{'' if number == 1 else f'-{number}'}.png") for number in count(1))
    return next(name for name in names if not name.exists())


def _check_out(out: Path, image: Path) -> None:
    """Check that a picture can be written to a path.

    Raises:
        ValueError: the path is a folder or the picture that is asked about, its parent folder does not exist or cannot
            be written to, or its suffix is not that of a picture format.
    """
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; give the name of a picture, such as explained.png")
    folder = out.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"--out {out}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--out {out}: the folder {folder} cannot be written; name another")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ValueError(f"--out {out}: end it with .png, .jpg or .webp")
    if out.exists() and image.exists() and out.samefile(image):
        raise ValueError(f"--out {out} is the picture itself, which would be lost; name another file")

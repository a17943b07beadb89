"""``sepm-eval explain``: one picture, one answer, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sepm_eval.cli._app import app, console, faults_said, stop
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.needs import check_question
from sepm_eval.runs.plan import parse_method

if TYPE_CHECKING:
    from sepm_eval.types import Answer, Question


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    model: Annotated[str, typer.Option(help="A backbone, such as llava; sepm-eval doctor names them.")] = "llava",
    pretrained: Annotated[str | None, typer.Option(help="Hub id, folder or demo.")] = None,
    method: Annotated[str, typer.Option(help="A method; its options after commas: sepm,beta=0.4.")] = "sepm",
    labels: Annotated[str, typer.Option(help="Emotions to choose from, joined by commas.")] = ",".join(MIKELS),
    out: Annotated[Path, typer.Option(help="Where to write the picture with dropped tokens covered.")] = Path(
        "dropped.png"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "auto",
) -> None:
    """Answer one picture, say how sure the model was and of what, and show which visual tokens were dropped."""
    from sepm_eval.hosts.loading import read_settings
    from sepm_eval.report.explanation import explain as put_beside
    from sepm_eval.types import Question

    with faults_said():
        _check_out(out)
        chosen = parse_method(method)
        settings = read_settings(f"sepm_{model}", model, {"pretrained": pretrained, "device": device})
        keys = tuple(label.strip() for label in labels.split(","))
        question = Question(image, keys, tuple(MIKELS.get(key, key.capitalize()) for key in keys))
        check_question(chosen, question)
        found = put_beside(question, chosen.answer(question, settings.load(chosen)))
    _show(found.answer, question, image.name)
    if found.covered is None:
        return
    try:
        found.covered.save(out)
    except (ValueError, OSError) as error:
        stop(f"{out} cannot be written: {error}")
    console.print(f"written to {out}", soft_wrap=True)


def _show(answer: Answer, question: Question, name: str) -> None:
    """The answer to a picture of this name, its probabilities and its evidence."""
    table = Table("option", "emotion", "probability", title=f"{name}: {answer.label or 'unparsed'} ({answer.text!r})")
    for (letter, shown), probability in zip(question.options(), answer.option_probabilities.values(), strict=True):
        table.add_row(letter, shown, f"{probability:.4f}")
    console.print(table)
    for what, value in [] if answer.evidence is None else answer.evidence.facts():
        console.print(f"{what}: {value}", markup=False, soft_wrap=True)
    dropped = answer.kept.count(False)
    if answer.evidence is not None or dropped:
        console.print(f"dropped {dropped} of {answer.visual_tokens} visual tokens")


def _check_out(out: Path) -> None:
    """Check that a picture can be written to a path.

    Raises:
        ValueError: it is a folder, its folder does not exist, or its ending is no picture format.
    """
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; give the name of a picture, such as dropped.png")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.absolute().parent}")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ValueError(f"--out {out}: end it with .png, .jpg or .webp")

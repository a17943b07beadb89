"""One picture with its answer and the reasons for it, as ``sepm-eval explain`` and notebooks show them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from textwrap import fill
from typing import TYPE_CHECKING

from sepm_eval.plurals import counted
from sepm_eval.report.overlay import draw_dropped, draw_heat
from sepm_eval.report.text import visible
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

_INCHES = 3.6  # side of a panel
_DOTS = 130  # pixels per inch
_CHARACTERS = 46  # in a line of small print below a panel
_CHOSEN, _OTHER = "#27646f", "#b9c2ca"


@dataclass(frozen=True)
class Explanation:
    """An answer together with the picture it is about. A notebook shows both.

    Attributes:
        question: what was asked.
        answer: what the method answered, and what stage 1 decided.
        covered: the picture, in which the visual tokens that the last stage did not see are covered (Fig. 4 of the
            paper); None if it saw all.
        heat: the picture with its visual tokens coloured by how much they matter: the attention of the focus words
            (SEPM, Eq. 8) or the discrepancy between candidates (DAN, Eq. 7); None if the method read neither.
    """

    question: Question
    answer: Answer
    covered: Image | None = field(default=None, repr=False, compare=False)
    heat: Image | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """HTML for a notebook: the picture, its heat map, the covered picture, then the answer."""
        drawn = [one for one in (self.heat, self.covered) if one is not None]
        return self.answer.html([self.question.image, *drawn])

    def sheet(self, title: str = "") -> Image:
        """Draw all of it as one picture: the panels side by side, a legend below each, and the probabilities as bars.

        Args:
            title: text in front of the answer, such as the picture's name.

        Returns:
            A picture that can be saved.
        """
        from matplotlib.figure import Figure
        from PIL import Image as pillow

        panels: list[tuple[Image, str, str]] = [(self.question.image, "the picture", "")]
        if self.heat is not None:
            panels.append((self.heat, *self._about_heat()))
        if self.covered is not None:
            dropped = self.answer.kept.count(False)
            told = f"dark: the {dropped} of {counted(self.answer.visual_tokens, 'visual token')} dropped"
            panels.append((self.covered, "visual tokens dropped", told))
        figure = Figure(figsize=(_INCHES * (len(panels) + 1), _INCHES + 1), dpi=_DOTS, layout="constrained")
        *places, bars = figure.subplots(1, len(panels) + 1)
        for axes, (picture, name, legend) in zip(places, panels, strict=True):
            _panel(axes, picture, name, legend)
        self._bars(bars)
        answer = f"{self.answer.label or 'unparsed'} ({self.answer.text!r})"
        figure.suptitle(_plain(f"{title}: {answer}" if title else answer), parse_math=False)
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return pillow.open(file).convert("RGB")

    def _about_heat(self) -> tuple[str, str]:
        """The name and the legend of the heat map."""
        evidence = self.answer.evidence
        if evidence is not None and evidence.significance is not None:
            return "attention (Eq. 8)", "of the focus words to each visual token; dark: little, bright: much"
        return "discrepancy (DAN, Eq. 7)", "of the candidates' looks at a visual token; dark: little, bright: much"

    def _bars(self, axes: Axes) -> None:
        shown = self.question.options()
        shares = list(self.answer.option_probabilities.values())
        colours = [_CHOSEN if label == self.answer.label else _OTHER for label in self.question.labels]
        at = list(range(len(shown)))
        axes.barh(at, shares, color=colours)
        axes.set_yticks(at, [_plain(f"{letter}. {name}") for letter, name in shown], parse_math=False)
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.set_title("probability of each option")
        axes.set_xlabel("\n".join(map(_folded, self._lines())), fontsize="small", parse_math=False)

    def _lines(self) -> list[str]:
        """The lines below the bars: what stage 1 decided."""
        if self.answer.evidence is None:
            return ["asked once: there is no stage 1"]
        return [_plain(f"{name}: {value}") for name, value in self.answer.evidence.facts()[:2]]


def explain(question: Question, answer: Answer) -> Explanation:
    """Put an answer beside its picture.

    Args:
        question: what was asked.
        answer: the result of ``method.answer(question, backbone)``.

    Returns:
        An explanation, which a notebook shows as pictures, bars and facts.
    """
    dropped = [token for token, stays in enumerate(answer.kept) if not stays]
    covered = draw_dropped(question.image, answer.blocks, dropped) if dropped else None
    evidence = answer.evidence
    rated = None
    if evidence is not None:
        rated = evidence.discrepancy if evidence.significance is None else evidence.significance
    heat = None if rated is None else draw_heat(question.image, answer.blocks, rated)
    return Explanation(question, answer, covered, heat)


def _panel(axes: Axes, picture: Image, name: str, legend: str) -> None:
    axes.imshow(picture.convert("RGB"))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(name)
    axes.set_xlabel(_folded(legend), fontsize="small")


def _folded(text: str) -> str:
    """Wrap a text to the width of a panel."""
    return fill(text, _CHARACTERS)


def _plain(text: str) -> str:
    """Shorten a text from outside, and replace its control characters by visible escapes."""
    shown = visible(text)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"

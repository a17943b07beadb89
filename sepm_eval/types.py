"""The data types of an evaluation: a question, what stage 1 found, and the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sepm_eval import display, emotions, prompts

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


def _picture(image: Image | str | Path) -> Image:
    """The picture itself; if a path is given, its file is read."""
    from PIL import Image as pillow  # imported here, because importing the package must load nothing heavy

    from sepm_eval.images import open_image

    if isinstance(image, (str, Path)):
        return open_image(image)
    if not isinstance(image, pillow.Image):
        raise TypeError(f"image must be a PIL picture or the path of a file, not {type(image).__name__}")
    return image


@dataclass(frozen=True, init=False)
class Question:
    """A multiple-choice question: which of these emotions does this picture show?

    Attributes:
        image: the picture, decoded.
        labels: the emotions offered, in the order of their letters.
        names: how each label is shown to the model; by default the label with a capital letter.
        text: the question word for word as an evaluation harness asked it; None if none did.
        positive: which labels are positive. By default ``emotions.POLARITY`` decides; if it lacks a label, this must
            be given.
    """

    image: Image = field(repr=False, compare=False)
    labels: tuple[str, ...]
    names: tuple[str, ...]
    text: str | None
    positive: frozenset[str]

    def __init__(
        self,
        image: Image | str | Path,
        labels: Iterable[str],
        names: Iterable[str] = (),
        text: str | None = None,
        positive: Collection[str] | None = None,
    ) -> None:
        """Check the question, and read its picture if it is given as a path.

        Args:
            image: a PIL picture, or the path of a picture file. A file is read at once, by ``images.open_image``.
            labels: the emotions offered, in the order of their letters.
            names: the shown name of each label, or nothing for the labels with a capital letter.
            text: the question word for word as an evaluation harness asked it, if one did.
            positive: the positive ones among the labels; None looks each label up in ``emotions.POLARITY``.

        Raises:
            UnreadableImage: the file cannot be read as a picture; the message names the file and the reason.
            TypeError: the image is neither a picture nor a path.
            ValueError: the labels, names or polarities make no valid question; the message says what is allowed.
        """
        put = partial(object.__setattr__, self)  # a frozen dataclass can only be filled this way
        put("labels", tuple(labels))
        put("names", tuple(names) or tuple(label.capitalize() for label in self.labels))
        put("text", text)
        self._check_names()
        put("positive", self._known_positive() if positive is None else self._checked(positive))
        put("image", _picture(image))

    def _check_names(self) -> None:
        prompts.letters(len(self.labels))
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"a question offers each label once, not {self.labels}")
        if len(self.names) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels need as many names, not {self.names}")
        if any(not name.strip() or len(name.splitlines()) != 1 for name in self.names):
            raise ValueError(f"every label is shown by a name on one line, not {self.names}")
        if len({name.strip().casefold() for name in self.names}) < len(self.names):
            raise ValueError(f"no two labels are shown by the same name, as in {self.names}")

    def _known_positive(self) -> frozenset[str]:
        unknown = [label for label in self.labels if label not in emotions.POLARITY]
        if unknown:
            raise ValueError(
                f"unknown emotions {unknown}: the polarity of a label must be known. "
                f"Known are {sorted(emotions.POLARITY)}; for others pass positive={{...}}, the positive labels"
            )
        return frozenset(label for label in self.labels if emotions.POLARITY[label] == "positive")

    def _checked(self, positive: Collection[str]) -> frozenset[str]:
        if not set(positive) <= set(self.labels):
            raise ValueError(f"positive={sorted(positive)} names labels that are not among {self.labels}")
        return frozenset(positive)

    @property
    def letters(self) -> str:
        """The letters of the options, from A on."""
        return prompts.letters(len(self.labels))

    def options(self, labels: tuple[str, ...] | None = None) -> list[tuple[str, str]]:
        """The options as they are shown.

        Args:
            labels: the labels to show; None is all of them. The letter of a label does not depend on which others are
                shown.

        Returns:
            Letter and shown name of each option, in the question's order.
        """
        rows = zip(self.labels, self.letters, self.names, strict=True)
        return [(letter, name) for label, letter, name in rows if labels is None or label in labels]

    def of_polarity(self, polarity: emotions.Polarity) -> tuple[str, ...]:
        """The labels of this polarity, in the question's order."""
        return tuple(label for label in self.labels if (label in self.positive) == (polarity == "positive"))


Cell = tuple[int, int, int]
"""Block, row and column of a visual token; the column of a separator is -1."""


@dataclass(frozen=True, slots=True)
class Block:
    """A grid of visual tokens that covers a part of a picture, such as a tile or a thumbnail of the whole picture.

    Attributes:
        box: left, top, right and bottom of this part, in pixels of the picture; the box reaches beyond the picture
            where the picture was padded.
        rows: number of rows of the grid.
        columns: number of columns of the grid; separators are not counted.
        separators: where the grid has separators, tokens that show nothing of the picture and are never dropped: one at
            the end of every row ("rows"), one at the end of the grid ("end"), or none.
        by_columns: whether the tokens run column by column instead of row by row; only for a grid without separators.
    """

    box: tuple[float, float, float, float]
    rows: int
    columns: int
    separators: Literal["none", "rows", "end"] = "none"
    by_columns: bool = False

    def __len__(self) -> int:
        """How many tokens the grid has, separators included."""
        return self.rows * self.columns + {"none": 0, "rows": self.rows, "end": 1}[self.separators]

    def places(self) -> list[tuple[int, int]]:
        """Row and column of each token, in the order of the tokens; the column of a separator is -1."""
        if self.by_columns:
            found = [(row, column) for column in range(self.columns) for row in range(self.rows)]
        else:
            ending = [-1] if self.separators == "rows" else []
            found = [(row, column) for row in range(self.rows) for column in [*range(self.columns), *ending]]
        return [*found, (self.rows - 1, -1)] if self.separators == "end" else found


@dataclass(frozen=True)
class Evidence:
    """What stage 1 (the coarse stage) decided about one picture (SEPM, Sec. 3.2 and 3.3; DAN where it is named).

    Attributes:
        p_positive: probability of the letter A (positive), by a softmax over the whole vocabulary (Eq. 3); for DAN that
            of the number 1, by a softmax over the two numbers.
        p_negative: the corresponding probability of the letter B (negative), for DAN of the number 2.
        confidence: variance of the two probabilities (Eq. 4; the preset decides which variance).
        polarity: the more probable polarity.
        ambiguous: whether the confidence is too low to narrow the list of emotions; for DAN, whether more than one
            emotion is a candidate.
        candidates: the labels offered in stage 2; for DAN the most probable one first.
        significance: [N_v] float32, the scores by which visual tokens are dropped: in SEPM the attention of the focus
            tokens to each visual token (Eq. 8), in other methods that of a whole question, or random numbers. None if
            no such scores are used.
        dropped: indices of the visual tokens that stage 2 does not see, ascending (Eq. 9).
        scores: score of each label, weighted by its polarity (DAN, Eq. 4); None for methods without scores.
        analysis: what the model wrote about the emotional clues in the picture before the first question (DAN); it is
            never read as an answer. None for methods without an analysis.
        written: how many tokens the model wrote before the last question; None for methods that let it write nothing
            before.
        discrepancy: [N_v] float32, how much the candidates' attention to each visual token differs (DAN, Eq. 7); None
            if not read.
    """

    p_positive: float
    p_negative: float
    confidence: float
    polarity: emotions.Polarity
    ambiguous: bool
    candidates: tuple[str, ...]
    significance: np.ndarray | None = field(default=None, repr=False, compare=False)
    dropped: tuple[int, ...] = ()
    scores: dict[str, float] | None = None
    analysis: str | None = None
    written: int | None = None
    discrepancy: np.ndarray | None = field(default=None, repr=False, compare=False)

    def facts(self) -> list[tuple[str, str]]:
        """The evidence in words for a reader: a pair of a name and a value for each row to show."""
        sides = {"positive": self.p_positive, "negative": self.p_negative}
        likelier = sides.pop(self.polarity)
        ((other, less_likely),) = sides.items()
        facts = [
            ("stage 1", f"{self.polarity}, with probability {likelier:.4f} ({other}: {less_likely:.4f})"),
            ("confidence", f"{self.confidence:.4f}{' (ambiguous)' if self.ambiguous else ''}"),
            ("stage 2 chose among", ", ".join(self.candidates)),
        ]
        if self.scores is not None:
            facts.append(("scores", ", ".join(f"{label} {score:.4f}" for label, score in self.scores.items())))
        if self.analysis is not None:
            facts.append(("analysis", self.analysis))
        if self.written is not None:
            facts.append(("tokens written", str(self.written)))
        for name, value in self.discrepancy_summary().items():
            facts.append((f"discrepancy of a visual token, {name}", f"{value:.3g}"))
        return facts

    def discrepancy_summary(self) -> dict[str, float]:
        """Discrepancy of the visual tokens: mean, largest, and mean of the dropped ones; empty if it was not read."""
        if self.discrepancy is None:
            return {}
        summary = {"mean": float(self.discrepancy.mean()), "largest": float(self.discrepancy.max())}
        return summary | ({"of_dropped": float(self.discrepancy[list(self.dropped)].mean())} if self.dropped else {})


@dataclass(frozen=True)
class Shuffled:
    """How a question was shown to the model, if its options were shown in another order.

    Attributes:
        labels: the labels in the order in which they were shown, from A on.
        text: what the model wrote; its letters are those of this order.
    """

    labels: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Answer:
    """A model's answer to one question.

    Attributes:
        text: what the model wrote; for DAN, in which it writes no answer, the letter of the most probable option.
        letter: the letter of the option it chose, or None if the text names none ("unparsed").
        label: the emotion of that option.
        option_probabilities: probability of each label's letter as the first token, by a softmax over the whole
            vocabulary; labels that the last stage did not offer are included. For DAN, whose options are numbers, see
            docs/dan.md.
        visual_tokens: N_v, the number of visual tokens of the picture before any was dropped.
        blocks: where the visual tokens lie in the picture.
        evidence: what the coarse stage found; None for methods without a coarse stage.
        prompts: the user's turns that the model was shown, in order.
        tokens_read: for each prompt, how many visual tokens the model read with it; 0 if the model continued from the
            KV cache of an earlier prompt.
        dropped: indices of the visual tokens that the model did not see, ascending, for methods without a coarse stage;
            for a method with one, they are in ``evidence``.
        tokens_left: with the last prompt, the mean number of visual tokens over the decoder layers. It is smaller than
            ``visual_tokens`` if any were dropped, before or inside the language model. None if it was not recorded.
        shuffled: what the model was really shown and wrote, if the options were shown in another order. ``text`` is
            then the letter that the label has in the question itself. If the model chose no option, ``text`` is what it
            wrote, or empty if this would name an option in the question's own order.
    """

    text: str
    letter: str | None
    label: str | None
    option_probabilities: dict[str, float]
    visual_tokens: int
    blocks: tuple[Block, ...] = ()
    evidence: Evidence | None = None
    prompts: tuple[str, ...] = ()
    tokens_read: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    tokens_left: float | None = None
    shuffled: Shuffled | None = None

    @property
    def kept(self) -> tuple[bool, ...]:
        """Whether the last stage saw each visual token of the picture, [N_v] bool."""
        dropped = set(self._dropped)
        return tuple(token not in dropped for token in range(self.visual_tokens))

    @property
    def _dropped(self) -> tuple[int, ...]:
        return self.dropped if self.evidence is None else self.evidence.dropped

    def _repr_html_(self) -> str:
        """Show the answer in a notebook: the label, a bar for each option, and what stage 1 found."""
        return self.html()

    def html(self, pictures: Sequence[Image] = ()) -> str:
        """Show the answer as HTML, as a notebook does.

        Args:
            pictures: pictures to show first, as thumbnails.

        Returns:
            HTML in which all text of the model is escaped.
        """
        facts: list[tuple[str, str]] = []
        if self.evidence is not None:
            facts = self.evidence.facts()
        if self.evidence is not None or self.dropped:
            facts = [*facts, ("visual tokens dropped", f"{len(self._dropped)} of {self.visual_tokens}")]
        return display.answer_html(self.label, self.text, self.option_probabilities, facts, pictures)

"""The values that travel through an evaluation: a question, what stage 1 found, and the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sepm_eval import emotions, prompts

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True)
class Question:
    """Which of these emotions does this picture show?

    Attributes:
        image: the picture.
        labels: the emotions offered, in the order they are lettered.
        names: how each label is shown to the model; by default the label with a capital.
        text: the question word for word as a harness asked it, if one did.
        positive: which labels are positive. By default the known polarity of each label (``emotions.POLARITY``);
            labels unknown to it need this.
    """

    image: Image = field(repr=False, compare=False)
    labels: tuple[str, ...]
    names: tuple[str, ...] = ()
    text: str | None = None
    positive: frozenset[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "names", tuple(self.names) or tuple(label.capitalize() for label in self.labels))
        prompts.letters(len(self.labels))
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"a question offers each label once, not {self.labels}")
        if len(self.names) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels need as many names, not {self.names}")
        if any(not name.strip() or len(name.splitlines()) != 1 for name in self.names):
            raise ValueError(f"every label is shown by a name on one line, not {self.names}")
        if len({name.strip().casefold() for name in self.names}) < len(self.names):
            raise ValueError(f"no two labels are shown by the same name, as in {self.names}")
        if self.positive is None:
            unknown = [label for label in self.labels if label not in emotions.POLARITY]
            if unknown:
                raise ValueError(
                    f"unknown emotions {unknown}: the polarity of a label must be known. "
                    f"Known are {sorted(emotions.POLARITY)}; for others pass positive={{...}}, the positive labels"
                )
            positive = frozenset(label for label in self.labels if emotions.POLARITY[label] == "positive")
            object.__setattr__(self, "positive", positive)
        elif not frozenset(self.positive) <= set(self.labels):
            raise ValueError(f"positive={sorted(self.positive)} names labels that are not among {self.labels}")

    @property
    def letters(self) -> str:
        """The letters of the options, in order."""
        return prompts.letters(len(self.labels))

    def options(self, labels: tuple[str, ...] | None = None) -> list[tuple[str, str]]:
        """Letter and shown name of the given labels (of all by default); a letter never depends on which are given."""
        rows = zip(self.labels, self.letters, self.names, strict=True)
        return [(letter, name) for label, letter, name in rows if labels is None or label in labels]

    def of_polarity(self, polarity: emotions.Polarity) -> tuple[str, ...]:
        """The labels of one polarity, in order."""
        assert self.positive is not None  # filled in above
        return tuple(label for label in self.labels if (label in self.positive) == (polarity == "positive"))


Cell = tuple[int, int, int]
"""Block, row and column of a visual token; the column of a separator is -1."""


@dataclass(frozen=True, slots=True)
class Block:
    """A grid of visual tokens that covers a part of a picture, such as a tile or a thumbnail of the whole.

    Attributes:
        box: left, top, right and bottom of that part, in pixels of the picture; it reaches beyond the picture where
            this was padded.
        rows: of the grid.
        columns: of the grid, separators not counted.
        separators: where tokens stand that show nothing and are never dropped: "rows" behind every row, "end" behind
            the last one.
        by_columns: the tokens run column by column, not row by row; without separators.
    """

    box: tuple[float, float, float, float]
    rows: int
    columns: int
    separators: Literal["none", "rows", "end"] = "none"
    by_columns: bool = False

    def __len__(self) -> int:
        """How many tokens it has, separators counted."""
        return self.rows * self.columns + {"none": 0, "rows": self.rows, "end": 1}[self.separators]

    def places(self) -> list[tuple[int, int]]:
        """Row and column of each token, in their order; the column of a separator is -1."""
        if self.by_columns:
            found = [(row, column) for column in range(self.columns) for row in range(self.rows)]
        else:
            ending = [-1] if self.separators == "rows" else []
            found = [(row, column) for row in range(self.rows) for column in [*range(self.columns), *ending]]
        return [*found, (self.rows - 1, -1)] if self.separators == "end" else found


@dataclass(frozen=True)
class Evidence:
    """What the coarse stage found out about one picture (SEPM, Sec. 3.2 and 3.3).

    Attributes:
        p_positive: probability of the letter A, over the whole vocabulary (Eq. 3).
        p_negative: the same for B.
        confidence: variance of the two (Eq. 4; the preset says which variance).
        polarity: the likelier of the two.
        ambiguous: the confidence is too low to narrow the list.
        candidates: labels offered in stage 2.
        significance: [N_v] float32, attention of the focus tokens to each visual token (Eq. 8); None if not read.
        dropped: indices of the visual tokens left out in stage 2, ascending (Eq. 9).
    """

    p_positive: float
    p_negative: float
    confidence: float
    polarity: emotions.Polarity
    ambiguous: bool
    candidates: tuple[str, ...]
    significance: np.ndarray | None = field(default=None, repr=False, compare=False)
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A model's answer to one question.

    Attributes:
        text: what the model wrote.
        letter: the option it chose, or None if the text names none ("unparsed").
        label: the emotion of that option.
        option_probabilities: probability of each label's letter as the first token, over the whole vocabulary; labels
            not offered in the last stage are included.
        visual_tokens: how many visual tokens the picture gave, before any was dropped.
        blocks: where they lie in the picture.
        evidence: what the coarse stage found, for methods that have one.
        prompts: the user's turns the model was shown, in order.
        tokens_read: for each of them, how many visual tokens the model read with it; none anew where it went on from an
            earlier one.
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

    @property
    def kept(self) -> tuple[bool, ...]:
        """Which of the picture's visual tokens the last stage saw, one value a token."""
        dropped = set(self.evidence.dropped) if self.evidence else set()
        return tuple(token not in dropped for token in range(self.visual_tokens))

"""The seam between methods and models: what a method may ask of a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import Cache


Cell = tuple[int, int, int]
"""Block, row and column of a visual token; the column of a separator is -1."""


@dataclass(frozen=True)
class Block:
    """A grid of visual tokens that covers a part of a picture, such as a tile or a thumbnail of the whole.

    Attributes:
        box: left, top, right and bottom of that part, in pixels of the picture; it reaches beyond the picture where
            this was padded.
        rows: of the grid.
        columns: of the grid, separators not counted.
        separators: where tokens stand that show nothing and are never dropped: "rows" behind every row, "end" behind
            the last one.
        by_columns: the tokens run column by column, not row by row.
    """

    box: tuple[float, float, float, float]
    rows: int
    columns: int
    separators: Literal["none", "rows", "end"] = "none"
    by_columns: bool = False

    def places(self) -> list[tuple[int, int]]:
        """Row and column of each token, in their order; the column of a separator is -1."""
        if self.by_columns:
            found = [(row, column) for column in range(self.columns) for row in range(self.rows)]
        else:
            ending = [-1] if self.separators == "rows" else []
            found = [(row, column) for row in range(self.rows) for column in [*range(self.columns), *ending]]
        return [*found, (self.rows - 1, -1)] if self.separators == "end" else found


@dataclass(frozen=True)
class PictureTokens:
    """One picture as the language model receives it.

    Attributes:
        features: [n, D], one row a visual token.
        blocks: where they lie; the tokens of a block are neighbours, and blocks are in the tokens' order.
        more: what else a family's language model needs of the picture, by a name of the family's own.
    """

    features: Tensor
    blocks: tuple[Block, ...]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Where each visual token lies, [n]."""
        return [(index, *place) for index, block in enumerate(self.blocks) for place in block.places()]

    @property
    def separators(self) -> Tensor:
        """Which visual tokens are separators, [n] bool; they are never dropped."""
        import torch

        return torch.tensor([column < 0 for _, _, column in self.cells], device=self.features.device)


@dataclass(frozen=True)
class VisualTokens:
    """Pictures as the language model receives them; how many tokens a picture gives may differ."""

    pictures: tuple[PictureTokens, ...]

    def __getitem__(self, rows: Sequence[int]) -> VisualTokens:
        """The tokens of some of the pictures."""
        return VisualTokens(tuple(self.pictures[row] for row in rows))


@dataclass(frozen=True)
class Reading:
    """What a language model makes of a batch of prompts.

    Attributes:
        logits: [B, V] float32, next-token logits over the true vocabulary.
        probe_attention: [B, N_v] float32, attention to the visual tokens, mean over the probe's tokens and over the
            heads of the last layer; 0 for dropped tokens, None without a probe.
        cache: keys and values of the batch, to write on from.
        attended: [B, L] bool for each decoder layer, which positions of its cache are not padding. Layers differ in
            length where tokens were pruned on the way.
        before: for each row, the ids of the tokens in front of the picture, where the cache holds the whole picture
            behind them: such a reading can be gone on from. Empty otherwise.
        evicted: [B], how many tokens of each row are masked out of the cache while the positions of the others stayed;
            None is none.
    """

    logits: Tensor
    probe_attention: Tensor | None
    cache: Cache
    attended: list[Tensor]
    before: tuple[tuple[int, ...], ...] = ()
    evicted: Tensor | None = None

    def __getitem__(self, rows: Sequence[int]) -> Reading:
        """Some of the rows, as a reading of their own: changing one does not change the other."""
        from transformers import DynamicCache

        chosen, cache = list(rows), DynamicCache()
        for index, layer in enumerate(self.cache.layers):
            cache.update(layer.keys[chosen], layer.values[chosen], index)
        return Reading(
            logits=self.logits[chosen],
            probe_attention=None if self.probe_attention is None else self.probe_attention[chosen],
            cache=cache,
            attended=[layer[chosen] for layer in self.attended],
            before=tuple(self.before[row] for row in chosen) if self.before else (),
            evicted=None if self.evicted is None else self.evicted[chosen],
        )


class Prune(Protocol):
    """Removes or merges visual tokens between decoder layers, while a prompt is read.

    Rows of a batch must lose the same number of tokens.
    """

    @property
    def layers(self) -> Sequence[int]:
        """Indices of the decoder layers after which something happens."""

    def raters(self, visual: Tensor, text: Tensor) -> Tensor:
        """Which tokens after the image judge the visual ones: [N_v, D], [N_t, D] input embeddings -> [N_t] bool."""

    def step(self, layer: int, visual: Tensor, scores: Tensor) -> Tensor:
        """The visual tokens that go on after a layer.

        Args:
            layer: its index.
            visual: [n, D] hidden states of one prompt's visual tokens after it.
            scores: [n] attention of the raters to them in it, mean over raters and heads.

        Returns [m, D], m < n, the same m for every prompt.
        """


class Backbone(Protocol):
    """A multimodal model that a method can ask. All calls take a batch; no answer depends on the rest of its batch."""

    name: str
    """The checkpoint, as it was asked for."""
    revision: str
    """What identifies its weights: a hub commit or a fingerprint of the folder."""
    settings: dict[str, str]
    """What else decides an answer: dtype, prompt template, image preprocessing."""
    image_first: bool
    """All prompts are the same up to the end of the picture, so one can go on from what was read of another."""

    def prepare(self, image: Image) -> None:
        """Preprocess a picture before its turn, in any thread; ``see`` then need not, while the picture lives."""

    def see(self, images: Sequence[Image], side: float = 1.0) -> VisualTokens:
        """Run the vision tower and the projector, once for all stages and methods.

        Args:
            images: the pictures.
            side: the tower's input side as a share of its usual one, for fewer tokens.
        """

    def read(
        self,
        prompts: Sequence[str],
        visual: VisualTokens | None,
        *,
        keep: Tensor | None = None,
        probe: str | Sequence[str] | None = None,
        prune: Prune | None = None,
        prefix: Reading | None = None,
    ) -> Reading:
        """Read one prompt a picture up to the point where the answer starts.

        Args:
            prompts: the user's turns; the backbone adds its template around them.
            visual: the pictures; None for prompts without one.
            keep: [B, N_v] bool. Visual tokens that are False are left out and the positions close up (Eq. 10).
            probe: a phrase of every prompt, or one phrase a prompt; the attention of the tokens that overlap it is
                reported.
            prune: removes visual tokens between decoder layers.
            prefix: an earlier reading of the same pictures. Its cache is gone on from: the text behind the pictures is
                cut off, tokens that ``keep`` drops are masked out, positions stay, and only the new text is read. The
                kept tokens have then seen the dropped ones. The earlier reading is not changed.

        Raises:
            ValueError: a prompt does not hold the probe's phrase, or ``prefix`` cannot be gone on from.
        """

    def write(self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None) -> list[str]:
        """Go on greedily from a reading until the model stops; the texts of the given rows (of all by default)."""

    def cells(self, visual_tokens: int) -> list[tuple[int, int]]:
        """Row and column of each visual token in the square grid that covers ``frame``."""

    def frame(self, image: Image) -> Image:
        """The picture as the vision tower sees it, before it is resized to a square."""

    def letter_ids(self, letters: str) -> list[int]:
        """The token id with which an answer starts that is this letter, for each letter."""

"""The interface between methods and models: what a method may ask of a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from sepm_eval.types import Block as Block
from sepm_eval.types import Cell as Cell

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import Cache

Turns: TypeAlias = "str | Sequence[str]"
"""A prompt: one user turn, or the turns of a dialogue (user, model, user, ...), which ends with a user turn."""

ProbedLayers: TypeAlias = Literal["last", "last3", "first3", "all"]
"""Which decoder layers are probed, counted among those that have attention; their attention is averaged."""

Shares: TypeAlias = Literal["picture", "text"]
"""What is reused of an earlier reading's cache: all up to the end of the picture, or also the text after it as far as
both prompts have the same."""


@dataclass(frozen=True)
class PictureTokens:
    """One picture as the language model receives it.

    Attributes:
        features: [n, D], one row per visual token.
        blocks: the grids in which the tokens lie in the picture. The tokens of a block follow one another, and the
            blocks are in the order of the tokens.
        more: what else the language model of a family needs of the picture, under names of that family; if
            ``Backbone.see`` was called with ``tower``, also "class_attention", [n] float32, and "tower_features",
            [n, C].
    """

    features: Tensor
    blocks: tuple[Block, ...]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Block, row and column of each visual token, [n]; the column of a separator is -1."""
        return [(index, *place) for index, block in enumerate(self.blocks) for place in block.places()]

    @property
    def separators(self) -> Tensor:
        """Which visual tokens are separators (such as line ends), [n] bool; they are never dropped."""
        import torch

        if all(block.separators == "none" for block in self.blocks):
            return torch.zeros(len(self), dtype=torch.bool, device=self.features.device)
        return torch.tensor([column < 0 for _, _, column in self.cells], device=self.features.device)

    def __len__(self) -> int:
        """n, the number of visual tokens."""
        return len(self.features)


@dataclass(frozen=True)
class VisualTokens:
    """Pictures as the language model receives them; they may differ in their number of tokens."""

    pictures: tuple[PictureTokens, ...]

    def __getitem__(self, rows: Sequence[int]) -> VisualTokens:
        """The tokens of some of the pictures."""
        return VisualTokens(tuple(self.pictures[row] for row in rows))

    @property
    def counts(self) -> list[int]:
        """The number of visual tokens of each picture, [B]."""
        return [len(picture) for picture in self.pictures]

    def check_keep(self, keep: Sequence[Tensor] | None) -> None:
        """Make sure that masks fit the pictures, and that none drops a separator.

        Args:
            keep: bool [n_i] of each picture, or None.

        Raises:
            ValueError: there are not as many masks as pictures, or a mask has the wrong length or dtype or drops a
                separator.
        """
        if keep is None:
            return
        if len(keep) != len(self.pictures):
            raise ValueError(f"keep has {len(keep)} masks for {len(self.pictures)} pictures; give one a picture")
        for row, (mask, picture) in enumerate(zip(keep, self.pictures, strict=True)):
            if tuple(mask.shape) != (len(picture),) or str(mask.dtype) != "torch.bool":
                raise ValueError(
                    f"keep[{row}] is {list(mask.shape)} {str(mask.dtype).removeprefix('torch.')}; picture {row} has "
                    f"{len(picture)} visual tokens: give a bool mask of that length"
                )
            if any(block.separators != "none" for block in picture.blocks):
                lost = picture.separators & ~mask.to(picture.features.device)
                if bool(lost.any()):
                    raise ValueError(
                        f"keep[{row}] drops the separators {lost.nonzero().flatten().tolist()}; they show nothing of "
                        "the picture and must stay (see PictureTokens.separators)"
                    )


@dataclass(frozen=True)
class Reading:
    """The result of reading (prefilling) a batch of prompts.

    Attributes:
        logits: [B, V] float32, next-token logits: of LLaVA and VILA over the vocabulary they were trained with, of
            ``hf`` models over all rows of the output layer.
        probe_attention: for each picture float32 [n_i], attention to its visual tokens, mean over the probed layers,
            their heads and the probe's tokens; 0 for dropped tokens. None without a probe.
        cache: KV cache of the batch, from which ``Backbone.write`` continues.
        attended: [B, L] bool for each decoder layer, which positions of its cache are attended to: neither padding nor
            masked out. L differs between layers if tokens were pruned between them.
        before: for each row, the token ids before the picture (``hf``: up to its end), if the cache holds the whole
            picture, so that the reading can be continued. Empty otherwise.
        position_offset: [B], by how much the next position of each row exceeds the number of tokens that the first
            layer still sees, because tokens were dropped and the others kept their positions. None: in each layer, the
            next position follows the tokens seen there.
        visual_left: for each picture, the number of visual tokens that each decoder layer received; None without
            ``prune``.
        behind: for each row, the token ids after the picture.
    """

    logits: Tensor
    probe_attention: list[Tensor] | None
    cache: Cache
    attended: list[Tensor]
    before: tuple[tuple[int, ...], ...] = ()
    position_offset: Tensor | None = None
    visual_left: Sequence[tuple[int, ...]] | None = None
    behind: tuple[tuple[int, ...], ...] = ()

    def __getitem__(self, rows: Sequence[int]) -> Reading:
        """Some of the rows, as a new reading: changing one of the two does not change the other."""
        from transformers import DynamicCache

        chosen, cache = list(rows), DynamicCache()
        for index, layer in enumerate(self.cache.layers):
            cache.update(layer.keys[chosen], layer.values[chosen], index)
        return Reading(
            logits=self.logits[chosen],
            probe_attention=None if self.probe_attention is None else [self.probe_attention[row] for row in chosen],
            cache=cache,
            attended=[layer[chosen] for layer in self.attended],
            before=tuple(self.before[row] for row in chosen) if self.before else (),
            behind=tuple(self.behind[row] for row in chosen) if self.behind else (),
            position_offset=None if self.position_offset is None else self.position_offset[chosen],
            visual_left=None if self.visual_left is None else [self.visual_left[row] for row in chosen],
        )


@dataclass(frozen=True)
class Tail:
    """The written tokens that were read again while writing: all but the last one, if the length limit ended the text.

    Attributes:
        ids: [n] token ids.
        cache: for each decoder layer, their keys and values, [H_kv, n, d] each.
    """

    ids: tuple[int, ...]
    cache: list[tuple[Tensor, Tensor]]


class Written(str):
    """A text that a model wrote.

    Attributes:
        tokens: number of its tokens, without the stop token.
        tail: what ``continuing.with_written`` needs to continue behind it; None if ``Backbone.write`` was not asked for
            it.
    """

    tokens: int
    tail: Tail | None = None

    def __new__(cls, text: str, tokens: int) -> Written:
        """Make a text of a known number of tokens."""
        written = super().__new__(cls, text)
        written.tokens = tokens
        return written

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        """The arguments of ``__new__`` when the text is copied or unpickled, also in another process."""
        return str(self), self.tokens


class Prune(Protocol):
    """Removes or merges visual tokens between decoder layers, while a prompt is read."""

    @property
    def layers(self) -> Sequence[int]:
        """Indices of the decoder layers after which tokens are removed or merged."""

    def raters(self, visual: Tensor, text: Tensor) -> Tensor:
        """Choose the text tokens after the picture that rate the visual tokens.

        Args:
            visual: [N_v, D], input embeddings of the visual tokens.
            text: [N_t, D], input embeddings of the text after the picture.

        Returns:
            [N_t] bool.
        """

    def step(self, layer: int, visual: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the visual tokens that continue after a layer.

        Args:
            layer: index of the layer.
            visual: [n, D], the layer's output for one prompt's visual tokens, without separators.
            scores: [n], attention of the raters to these tokens in this layer, mean over raters and heads.

        Returns:
            Indices of the tokens that stay, [k], ascending; new tokens merged from others, [c, D], which are put after
            the last token that stays; and for each new token the index of the token whose place it takes, [c].
            k + c < n.
        """


@runtime_checkable
class Cut(Protocol):
    """Keeps the visual tokens that a prompt's last token attends to most, mean over heads, and drops the others.

    An object is hashable, and equal to another one that does the same.
    """

    positions: ClassVar[Literal["closed", "kept"]]
    """Positions of the tokens after a dropped one, from the next layer on: "closed", renumbered without gaps, or
    "kept"."""
    ahead: ClassVar[bool]
    """Whether tokens are rated by the attention that the next layer would pay them, not by that of the layer before."""

    def left(self, layers: int, tokens: int) -> Mapping[int, int]:
        """How many visual tokens continue, and after which layers.

        Args:
            layers: how many decoder layers the model has.
            tokens: N_v, of the picture.

        Returns:
            The number of visual tokens left, by the index of the layer after which the others are dropped. These
            layers do not depend on the picture.
        """


class Backbone(Protocol):
    """A multimodal model that a method can ask. All calls take a batch; no answer depends on the rest of its batch."""

    name: str
    """The checkpoint, as the user named it."""
    revision: str
    """What identifies its weights: a hub commit or a fingerprint of the folder."""
    settings: dict[str, str]
    """What else determines an answer: dtype, prompt template, image preprocessing, positions ("closed": when visual
    tokens are dropped, the others are renumbered without gaps; "kept": they keep their positions)."""
    supports: frozenset[str]
    """Which of ``abilities.ABILITIES`` it has: "probe" (``read`` with a probe), "keep" and "prune" (``read`` with it),
    "reuse" (``read`` with a prefix: all prompts are the same up to the end of the picture), "resize" (``see`` with a
    side), "class_token" and "tower" (``see`` with ``tower``: the attention of the tower's class token, and the tower's
    features)."""

    def prepare(self, image: Image) -> int | None:
        """Preprocess a picture ahead of time, in any thread; ``see`` uses the result while the picture object exists.

        Returns:
            How many visual tokens the picture will have, or None if all pictures have the same number.
        """

    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """Run the vision tower and the projector, once for all stages and methods.

        Args:
            images: the pictures.
            side: the side of the tower's input as a share of the usual side; below 1 there are fewer tokens.
            tower: put into each picture's ``PictureTokens.more`` what the projector does not pass on:
                "class_attention", [n] float32, the attention of the class token to each visual token's patch in the
                layer whose features are used (mean over heads), and "tower_features", [n, C], those features before
                the projector. A backbone that supports neither "class_token" nor "tower" may lack this argument.
        """

    def read(
        self,
        prompts: Sequence[Turns],
        visual: VisualTokens | None,
        *,
        keep: Sequence[Tensor] | None = None,
        probe: str | Sequence[str] | None = None,
        probe_layers: ProbedLayers = "last",
        prune: Prune | Cut | None = None,
        prefix: Reading | None = None,
        shares: Shares = "picture",
        begun: Sequence[int] = (),
    ) -> Reading:
        """Read (prefill) one prompt per picture, up to the point where the answer starts.

        Args:
            prompts: user turns, or dialogues whose picture is in the first turn; the backbone puts its chat template
                around them.
            visual: the pictures; None for prompts without one.
            keep: bool [n_i] for each picture. Visual tokens whose entry is False are left out (SEPM, Eq. 10);
                separators must stay. ``settings`` says what happens to the positions of the others.
            probe: a phrase of every prompt's last turn, or one phrase per prompt; the attention of the tokens that
                overlap the phrase is reported.
            probe_layers: the layers whose attention is reported.
            prune: removes visual tokens between decoder layers. Positions are then renumbered without gaps, unless
                ``prune`` says otherwise or they are places in the picture (M-RoPE).
            prefix: an earlier reading of the same pictures, whose KV cache is reused: the text after the pictures is
                cut off, tokens that ``keep`` drops are masked out, positions stay, and only the new text is read. The
                kept visual tokens have then already attended to the dropped ones. The earlier reading is not changed.
            shares: what is reused of ``prefix``: "picture", all up to the end of the picture, or "text", also the
                tokens after it with which both prompts begin. The tokens of a probe are always read anew.
            begun: token ids with which every answer begins; the logits are those of the token after them.

        Raises:
            ValueError: a prompt does not contain the probe's phrase, ``keep`` does not fit the pictures, or ``prefix``
                cannot be continued.
        """

    def write(
        self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None, *, tails: bool = False
    ) -> list[Written]:
        """Decode greedily from a reading until the model stops; the texts of the given rows (of all by default).

        tails: keep ``Written.tail`` of each, which asks for "reuse" in ``supports``.
        """

    def letter_ids(self, letters: str) -> list[int]:
        """For each letter, the token id with which an answer starts that consists of this letter."""

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """For each text, the token ids with which an answer starts that consists of this text.

        There may be more of them than for the text alone: Llama's tokenizer writes "1" as a space and the digit.

        Raises:
            ValueError: the tokenizer joins a text to the end of the prompt.
        """

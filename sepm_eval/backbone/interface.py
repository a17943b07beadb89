"""The seam between methods and models: what a method may ask of a backbone."""

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
"""A prompt: the user's turn, or the turns of a dialogue (user, model, user, ...), of which the last is the user's."""

ProbedLayers: TypeAlias = Literal["last", "last3", "first3", "all"]
"""Which of the decoder layers that have attention are probed; what they report is averaged."""

Shares: TypeAlias = Literal["picture", "text"]
"""What is taken over from an earlier reading: all up to the end of the picture, or text behind it, too."""

ABILITIES = frozenset({"probe", "keep", "prune", "reuse", "resize", "class_token", "tower"})
"""What a method may need of a backbone beyond looking, reading and writing (see ``Backbone.supports``)."""


@dataclass(frozen=True)
class PictureTokens:
    """One picture as the language model receives it.

    Attributes:
        features: [n, D], one row a visual token.
        blocks: where they lie; the tokens of a block are neighbours, and blocks are in the tokens' order.
        more: what else a family's language model needs of the picture, by a name of the family's own; and where
            ``Backbone.see`` was asked for it "class_attention", [n] float32, and "tower_features", [n, C].
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

        if all(block.separators == "none" for block in self.blocks):
            return torch.zeros(len(self), dtype=torch.bool, device=self.features.device)
        return torch.tensor([column < 0 for _, _, column in self.cells], device=self.features.device)

    def __len__(self) -> int:
        """n, how many tokens the picture gives."""
        return len(self.features)


@dataclass(frozen=True)
class VisualTokens:
    """Pictures as the language model receives them; how many tokens a picture gives may differ."""

    pictures: tuple[PictureTokens, ...]

    def __getitem__(self, rows: Sequence[int]) -> VisualTokens:
        """The tokens of some of the pictures."""
        return VisualTokens(tuple(self.pictures[row] for row in rows))

    @property
    def counts(self) -> list[int]:
        """How many tokens each picture gives, [B]."""
        return [len(picture) for picture in self.pictures]

    def check_keep(self, keep: Sequence[Tensor] | None) -> None:
        """Make sure that masks fit the pictures, and that none drops a separator.

        Args:
            keep: bool [n_i] of each picture, or None.

        Raises:
            ValueError: there are not as many masks as pictures, one is of another length or kind, or drops a separator.
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
    """What a language model makes of a batch of prompts.

    Attributes:
        logits: [B, V] float32, next-token logits over the true vocabulary.
        probe_attention: for each picture float32 [n_i], attention to its visual tokens, mean over the probed layers,
            their heads and the probe's tokens; 0 for dropped tokens. None without a probe.
        cache: keys and values of the batch, to write on from.
        attended: [B, L] bool for each decoder layer, which positions of its cache are not padding. Layers differ in
            length where tokens were pruned on the way.
        before: for each row, the ids of the tokens in front of the picture, where the cache holds the whole picture
            behind them: such a reading can be continued. Empty otherwise.
        evicted: [B], how far positions behind each row are ahead of the tokens that the first layer still sees, because
            others were dropped and the positions stayed. None: in each layer they follow the tokens seen there.
        visual_left: for each picture, how many visual tokens each decoder layer was given; None where no layer was
            given fewer than the one before it.
        behind: for each row, the ids of the tokens behind the picture.
    """

    logits: Tensor
    probe_attention: list[Tensor] | None
    cache: Cache
    attended: list[Tensor]
    before: tuple[tuple[int, ...], ...] = ()
    evicted: Tensor | None = None
    visual_left: Sequence[tuple[int, ...]] | None = None
    behind: tuple[tuple[int, ...], ...] = ()

    def __getitem__(self, rows: Sequence[int]) -> Reading:
        """Some of the rows, as a reading of their own: changing one does not change the other."""
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
            evicted=None if self.evicted is None else self.evicted[chosen],
            visual_left=None if self.visual_left is None else [self.visual_left[row] for row in chosen],
        )


class Written(str):
    """A text that a model wrote; ``tokens`` is how many it wrote, without the one at which it stopped."""

    tokens: int

    def __new__(cls, text: str, tokens: int) -> Written:
        """A text of so many tokens."""
        written = super().__new__(cls, text)
        written.tokens = tokens
        return written

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        """What a copy, also one in another process, is made of."""
        return str(self), self.tokens


class Prune(Protocol):
    """Removes or merges visual tokens between decoder layers, while a prompt is read."""

    @property
    def layers(self) -> Sequence[int]:
        """Indices of the decoder layers after which something happens."""

    def raters(self, visual: Tensor, text: Tensor) -> Tensor:
        """Which tokens after the image judge the visual ones: [N_v, D], [N_t, D] input embeddings -> [N_t] bool."""

    def step(self, layer: int, visual: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The visual tokens that go on after a layer.

        Args:
            layer: its index.
            visual: [n, D] hidden states of one prompt's visual tokens after it, without separators.
            scores: [n] attention of the raters to them in it, mean over raters and heads.

        Returns:
            Indices of those that stay, [k], ascending; new tokens made of others, [c, D], which stand behind the last
            one; and for each of these the index of the token whose place it takes, [c]. k + c < n.
        """


@runtime_checkable
class Cut(Protocol):
    """Keeps the visual tokens that a prompt's last token attends to most, mean over heads, and drops the others.

    It is hashable, and compares by what it does.
    """

    positions: ClassVar[Literal["closed", "kept"]]
    """Of the tokens behind a dropped one, from the next layer on: they close up, or stay."""
    ahead: ClassVar[bool]
    """Whether tokens are rated by the attention that the next layer would give, not by that of the layer before."""

    def left(self, layers: int, tokens: int) -> Mapping[int, int]:
        """How many visual tokens go on, and from where.

        Args:
            layers: how many decoder layers the model has.
            tokens: N_v, of the picture.

        Returns:
            By the index of the layer after which others are dropped, how many are left. The layers do not depend on
            the picture.
        """


class Backbone(Protocol):
    """A multimodal model that a method can ask. All calls take a batch; no answer depends on the rest of its batch."""

    name: str
    """The checkpoint, as it was asked for."""
    revision: str
    """What identifies its weights: a hub commit or a fingerprint of the folder."""
    settings: dict[str, str]
    """What else decides an answer: dtype, prompt template, image preprocessing, positions ("closed": where visual
    tokens are dropped the others close up; "kept": they keep the position they had)."""
    supports: frozenset[str]
    """What ``ABILITIES`` it has: "probe" (``read`` with a probe), "keep" and "prune" (``read`` with them), "reuse"
    (``read`` with a prefix: prompts are the same up to the end of the picture), "resize" (``see`` with a side),
    "class_token" and "tower" (``see`` with ``tower``: the attention of the tower's class token, and the features it
    gives)."""

    def prepare(self, image: Image) -> int | None:
        """Preprocess a picture before its turn, in any thread; ``see`` then need not, while the picture lives.

        Returns how many visual tokens it will give, or None where all pictures give as many.
        """

    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """Run the vision tower and the projector, once for all stages and methods.

        Args:
            images: the pictures.
            side: the tower's input side as a share of its usual one, for fewer tokens.
            tower: put into each picture's ``PictureTokens.more`` what the projector does not pass on:
                "class_attention", [n] float32, the attention of the class token to each visual token's patch in the
                layer whose features are used (mean over heads), and "tower_features", [n, C], those features before
                the projector. A backbone that supports neither "class_token" nor "tower" may do without this argument.
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
        """Read one prompt a picture up to the point where the answer starts.

        Args:
            prompts: the user's turns, or dialogues whose picture is in the first turn; the backbone adds its template
                around them.
            visual: the pictures; None for prompts without one.
            keep: bool [n_i] for each picture. Visual tokens that are False are left out (Eq. 10); separators never are.
                What becomes of the positions of the others is in ``settings``.
            probe: a phrase of every prompt's last turn, or one phrase a prompt; the attention of the tokens that
                overlap it is reported.
            probe_layers: of which layers.
            prune: removes visual tokens between decoder layers; positions close up, unless it says otherwise.
            prefix: an earlier reading of the same pictures. Its cache is continued: the text behind the pictures is
                cut off, tokens that ``keep`` drops are masked out, positions stay, and only the new text is read. The
                kept tokens have then seen the dropped ones. The earlier reading is not changed.
            shares: what is taken over from ``prefix``: "picture", or "text", which is besides the text behind the
                picture as far as both prompts have the same. A probe's tokens are read in any case.
            begun: token ids with which every answer begins; the logits are those of what follows them.

        Raises:
            ValueError: a prompt does not hold the probe's phrase, ``keep`` does not fit the pictures, or ``prefix``
                cannot be continued.
        """

    def write(self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None) -> list[Written]:
        """Go on greedily from a reading until the model stops; the texts of the given rows (of all by default)."""

    def letter_ids(self, letters: str) -> list[int]:
        """The token id with which an answer starts that is this letter, for each letter."""

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids with which an answer starts that is this text, for each text.

        They may be more than those of the text alone: Llama's tokenizer writes "1" as a space and the digit.

        Raises:
            ValueError: the tokenizer joins a text to the end of the prompt.
        """

"""What is shared by backbones whose prompt has one image first and the text after it."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.backbone.causal_lm import CausalLM, Prompt
from sepm_eval.backbone.checkpoints import Checkpoint
from sepm_eval.backbone.interface import (
    Cut,
    ProbedLayers,
    Prune,
    Reading,
    Shares,
    Turns,
    VisualTokens,
    Written,
)
from sepm_eval.backbone.tokenizers import Tokenizer, as_text, encode_further, last_tokens, overlapping, tokens_behind
from sepm_eval.backbone.writing import Caches, texts
from sepm_eval.images import check_size, enough_memory
from sepm_eval.model_wrappers._templates import Template

if TYPE_CHECKING:
    from PIL.Image import Image


def pick_positions(wanted: str) -> Literal["closed", "kept"]:
    """The value of the option ``positions``: "auto" is "closed" (renumbered without gaps), as in SEPM's public code.

    Raises:
        ValueError: it is none of "auto", "closed" and "kept".
    """
    if wanted not in ("auto", "closed", "kept"):
        raise ValueError(f"positions={wanted!r}: use one of ['auto', 'closed', 'kept']")
    return "kept" if wanted == "kept" else "closed"


def preprocess(processor: Any, images: Sequence[Image], size: int, patch: int, side: float = 1.0) -> Tensor:
    """Pixels of pictures for a vision tower, [B, 3, S, S]; a picture's pixels do not depend on the other pictures.

    Args:
        processor: a Pillow-backed image processor of transformers.
        images: pictures of any mode.
        size: usual side of the tower's input, in pixels.
        patch: side of a patch, in pixels.
        side: wanted share of the usual side; S is then the nearest whole number of patches.

    Raises:
        UnreadableImage: a picture is too large to be prepared.
    """
    for image in images:
        check_size(image)
    smaller = {}
    if side != 1:
        wanted = max(round(size // patch * side), 1) * patch
        square = {"height": wanted, "width": wanted}
        smaller = {"size": square, "crop_size": square}
    with enough_memory(images):
        pictures = [image.convert("RGB") for image in images]
        return processor(pictures, input_data_format="channels_last", return_tensors="pt", **smaller)["pixel_values"]


class ImageFirst(ABC):
    """Reading and writing with one image; a subclass adds ``see``, and how pictures and text become its input.

    Its methods are described in ``sepm_eval.backbone.interface.Backbone``.
    """

    supports = ABILITIES

    def __init__(
        self,
        checkpoint: Checkpoint,
        language_model: CausalLM,
        tokenizer: Tokenizer,
        template: Template,
        settings: dict[str, str],
    ) -> None:
        self._prepared: dict[int, tuple[weakref.ref[Image], Tensor]] = {}
        self.name = checkpoint.name
        self.revision = checkpoint.revision
        self.settings = settings
        self._language_model = language_model
        self._tokenizer = tokenizer
        self._template = template
        rows = language_model.decoder.get_input_embeddings().num_embeddings
        if tokenizer.largest_id >= rows:
            raise ValueError(
                f"{checkpoint.name}: its tokenizer has the id {tokenizer.largest_id}, its model only {rows} "
                "embeddings; one of them is damaged or belongs to another checkpoint"
            )
        self._letter_ids: dict[str, list[int]] = {}  # remembered, because every question needs them
        self.letter_ids("AB")  # fails here if the tokenizer cannot write a letter as one token

    def prepare(self, image: Image) -> None:
        """See ``Backbone.prepare``."""
        key = id(image)  # comparing pictures by content would take longer than preprocessing them
        if key in self._prepared:
            return
        known = weakref.ref(image, lambda _: self._prepared.pop(key, None))
        self._prepared[key] = known, self._pixels([image], 1.0)

    def _prepared_pixels(self, images: Sequence[Image], side: float) -> Tensor:
        """Like ``_pixels``, [B, 3, S, S], but pictures that were prepared are not preprocessed again."""
        found = [self._prepared.get(id(image)) if side == 1 else None for image in images]
        return torch.cat(
            [
                known[1] if known is not None and known[0]() is image else self._pixels([image], side)
                for image, known in zip(images, found, strict=True)
            ]
        )

    @abstractmethod
    def _pixels(self, images: Sequence[Image], side: float) -> Tensor:
        """Preprocess pictures for the vision tower, on the CPU, [B, 3, S, S]."""

    def read(
        self,
        prompts: Sequence[Turns],
        visual: VisualTokens | None,
        *,
        keep: Sequence[Tensor] | None = None,
        probe: str | Sequence[str] | None = None,
        probe_layers: ProbedLayers = "last",
        prune: Cut | Prune | None = None,
        prefix: Reading | None = None,
        shares: Shares = "picture",
        begun: Sequence[int] = (),
    ) -> Reading:
        """See ``Backbone.read``."""
        phrases = [probe] * len(prompts) if probe is None or isinstance(probe, str) else probe
        tokens = [
            self._tokenise(prompt, image=visual is not None, probe=phrase, begun=begun)
            for prompt, phrase in zip(prompts, phrases, strict=True)
        ]
        features = None
        if visual is not None:
            visual.check_keep(keep)
            features = [picture.features for picture in visual.pictures]
        elif keep is not None:
            raise ValueError("keep needs an image: without one there is nothing to drop")
        if prune is not None:
            if features is None or keep is not None or probe is not None or prefix is not None:
                raise ValueError("prune needs an image, and goes without keep, probe and prefix")
            return self._language_model.read_pruned(tokens, features, prune)
        layers = None if probe is None else probe_layers
        if prefix is not None:
            if visual is None:
                raise ValueError("prefix needs an image")
            return self._language_model.read_continued(tokens, visual.counts, keep, prefix, shares, layers)
        return self._language_model.read(tokens, features, keep, layers)

    def write(
        self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None, *, tails: bool = False
    ) -> list[Written]:
        """See ``Backbone.write``."""
        caches: Caches | None = {} if tails else None
        written = self._language_model.write(reading, max_new_tokens, rows, caches)
        return texts(written, lambda ids: self._tokenizer.decode(ids).strip(), caches)

    def letter_ids(self, letters: str) -> list[int]:
        """See ``Backbone.letter_ids``.

        Raises:
            ValueError: a letter after the prompt is not a single token.
        """
        if letters not in self._letter_ids:
            self._letter_ids[letters] = last_tokens(self.name, self._ending, letters, *self._answers(letters))
        return self._letter_ids[letters]

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See ``Backbone.answer_ids``."""
        return tokens_behind(self.name, self._ending, texts, *self._answers(texts))

    @property
    def _ending(self) -> str:
        """How every prompt ends."""
        return self._template.after.lstrip(" ")

    def _answers(self, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Token ids of a prompt's ending, and for each text those of the ending followed by the text as its answer."""
        before, _ = self._tokenizer.encode(self._ending)
        return before, [self._tokenizer.encode(f"{self._ending}{self._template.lead}{text}")[0] for text in texts]

    @abstractmethod
    def _encode(self, before: str, after: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Token ids of the text before and after the image, and the character spans of the tokens after it."""

    def _encode_turns(
        self, before: str, after: str, *, dialogue: bool
    ) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Like ``_encode``, but in a dialogue the text after a special token is tokenised as in the original code."""
        stop = self._template.stop
        if not dialogue or not stop:
            return self._encode(before, after)
        stop_id = self._tokenizer.id_of(stop)
        if stop_id is None:
            raise ValueError(f"{self.name}: its tokenizer has no {stop!r}, which ends the turns of a dialogue")
        (first, *others), rest = (after or before).split(stop), after
        before_ids, after_ids, spans = self._encode(before, first) if rest else self._encode(first, "")
        place = len(first)
        for piece in others:
            ids, covered = encode_further(self._tokenizer, piece)
            place += len(stop)
            (after_ids if rest else before_ids).extend([stop_id, *ids])
            spans += [(place - len(stop), place), *((place + start, place + end) for start, end in covered)]
            place += len(piece)
        return before_ids, after_ids, spans

    def _tokenise(self, prompt: Turns, *, image: bool, probe: str | None, begun: Sequence[int] = ()) -> Prompt:
        before, after = self._template.around(as_text(prompt, self._tokenizer.special), image=image)
        before_ids, after_ids, spans = self._encode_turns(before, after, dialogue=not isinstance(prompt, str))
        (after_ids if image else before_ids).extend(begun)
        if probe is None:
            return Prompt(before_ids, after_ids, [])
        last = prompt if isinstance(prompt, str) else prompt[-1]
        start = after.find(probe, max(len(after) - len(self._template.after) - len(last), 0))
        if start < 0:
            raise ValueError(f"the prompt does not hold the probe {probe!r}: {last!r}")
        return Prompt(before_ids, after_ids, overlapping(spans, start, start + len(probe)))

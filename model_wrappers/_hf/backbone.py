"""A model of transformers behind the ``Backbone`` interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepm_eval.backbone.checkpoints import Checkpoint
from sepm_eval.backbone.interface import Prune, Reading, VisualTokens
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.pictures import Pictures
from sepm_eval.model_wrappers._hf.prompts import Prompts
from sepm_eval.model_wrappers._hf.reading import FamilyReading

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Hf:
    """Its methods are described in ``sepm_eval.backbone.interface.Backbone``."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: Prompts,
        pictures: Pictures,
        decoder: Decoder,
        settings: dict[str, str],
        supports: frozenset[str],
    ) -> None:
        self.name, self.revision = checkpoint.name, checkpoint.revision
        self.settings, self.supports = settings, supports
        self._prompts, self._pictures, self._decoder = prompts, pictures, decoder
        self._letter_ids: dict[str, list[int]] = {}  # asked for with every question
        self.letter_ids("AB")  # a tokenizer that cannot answer with a letter is found out here

    def prepare(self, image: Image) -> None:
        """See ``Backbone.prepare``."""
        self._pictures.prepare(image)

    def see(self, images: Sequence[Image], side: float = 1.0) -> VisualTokens:
        """See ``Backbone.see``."""
        return VisualTokens(tuple(self._pictures.see(image, side) for image in images))

    def read(
        self,
        prompts: Sequence[str | Sequence[str]],
        visual: VisualTokens | None,
        *,
        keep: Sequence[Tensor] | None = None,
        probe: str | Sequence[str] | None = None,
        probe_layers: str = "last",
        prune: Prune | None = None,
        prefix: Reading | None = None,
    ) -> FamilyReading:
        """See ``Backbone.read``."""
        if prune is not None:
            raise ValueError(f"{self.name}: hf models cannot prune visual tokens between layers (method sparsevlm)")
        if prefix is not None and (visual is None or probe is not None or "reuse" not in self.supports):
            raise ValueError(
                f"{self.name}: prefix needs a picture, goes without probe, and needs a model that can reuse a reading "
                f"(this one supports {sorted(self.supports)})"
            )
        if keep is not None and visual is None:
            raise ValueError("keep needs pictures")
        phrases = [probe] * len(prompts) if probe is None or isinstance(probe, str) else probe
        pictures = None if visual is None else visual.pictures
        encoded = [
            self._prompts.encode(turns, None if pictures is None else pictures[i].more["expansion"], phrases[i])
            for i, turns in enumerate(prompts)
        ]
        layers = None if probe is None else self._decoder.probed_layers(probe_layers)
        if prefix is not None and not isinstance(prefix, FamilyReading):
            raise ValueError("prefix is a reading of another kind of model")
        return self._decoder.read(encoded, pictures, keep, layers, prefix)

    def write(self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None) -> list[str]:
        """See ``Backbone.write``."""
        assert isinstance(reading, FamilyReading)  # its own
        return [self._prompts.decode(ids) for ids in self._decoder.write(reading, max_new_tokens, rows)]

    def letter_ids(self, letters: str) -> list[int]:
        """See ``Backbone.letter_ids``.

        Raises:
            ValueError: a letter after the prompt is not one token of its own.
        """
        if letters not in self._letter_ids:
            self._letter_ids[letters] = self._prompts.letter_ids(letters)
        return self._letter_ids[letters]

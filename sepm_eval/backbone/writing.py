"""Where an answer is being written: behind a reading, whose keys and values are shared and stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from sepm_eval.backbone.interface import Reading
from sepm_eval.backbone.pruning import pad_left, positions


class Behind(DynamicLayer):
    """Keys and values behind those of a reading's layer.

    Only the new ones are held. All of a layer stands together only while that layer is computed, so that writing needs
    no second cache.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Begin behind keys and values of a layer, [B, H, L, d] each."""
        super().__init__()
        self._before = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add positions, [B, H, new, d] each, and return keys and values of all."""
        new = super().update(key_states, value_states, *args, **kwargs)
        keys, values = (torch.cat(pair, dim=-2) for pair in zip(self._before, new, strict=True))
        return keys, values

    def get_seq_length(self) -> int:
        """How many positions there are, those of the reading among them."""
        return int(self._before[0].shape[-2]) + int(super().get_seq_length())

    def __getitem__(self, rows: Sequence[int]) -> Behind:
        """Some of the rows, as a layer of their own."""
        keys, values = self._before
        chosen = Behind(keys[rows], values[rows])
        if self.is_initialized:
            DynamicLayer.update(chosen, self.keys[rows], self.values[rows])
        return chosen


@dataclass
class End:
    """The end of a reading, to write on from; it grows and the reading does not.

    Attributes:
        cache: keys and values, in ``Behind`` layers.
        attended: [B, L] bool, which positions are not padding: one for all layers or, where layers differ in length
            because tokens were pruned on the way, one for each.
        gap: [B, 1], see ``Reading.evicted``.
    """

    cache: DynamicCache
    attended: list[Tensor]
    gap: Tensor | None

    @classmethod
    def of(cls, reading: Reading) -> End:
        """The end of all rows of a reading."""
        even = len({layer.shape[1] for layer in reading.attended}) == 1
        attended = reading.attended[:1] if even else reading.attended
        gap = None if reading.evicted is None else reading.evicted[:, None]
        return cls(_cache([Behind(layer.keys, layer.values) for layer in reading.cache.layers]), attended, gap)

    def grow(self) -> None:
        """Attend to one more position."""
        self.attended = [torch.cat([layer, layer.new_ones(len(layer), 1)], dim=1) for layer in self.attended]

    def place(self, layer: int) -> Tensor:
        """Position of the last token in a layer, [B, 1]."""
        if self.gap is None:
            return positions(self.attended[layer])[:, -1:]
        return positions(self.attended[0])[:, -1:] + self.gap

    def __getitem__(self, rows: Sequence[int]) -> End:
        """Some of the rows, as an end of their own."""
        chosen = list(rows)
        layers = [layer[chosen] for layer in self.cache.layers]
        gap = None if self.gap is None else self.gap[chosen]
        return End(_cache(layers), [layer[chosen] for layer in self.attended], gap)


def kept_positions(stays: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Positions of the tokens that stay, as if none had been dropped, and how many were.

    stays: of each row, [length] bool. Returns [B, L], where padding on the left gets 0, and [B].
    """
    rows = [row.nonzero() for row in stays]
    return pad_left(rows)[0][..., 0], torch.stack([(~row).sum() for row in stays])


def _cache(layers: Sequence[Behind]) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache

"""Greedy decoding after a reading, whose KV cache is shared and never changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from typing_extensions import Self

from sepm_eval.backbone.interface import Reading, Tail, Written
from sepm_eval.backbone.pruning import pad_left, positions

CACHE = "cache" if "cache" in inspect.signature(LlamaDecoderLayer.forward).parameters else "past_key_values"
"""Name of the KV cache among the arguments and results of transformers' forward passes: "cache" since 5.24."""


SHORT = 8
"""Up to so many written tokens, their keys and values are held apart; an answer of one letter has fewer tokens."""


class GrowingLayer(DynamicLayer):
    """A cache layer that continues the layer of a reading.

    The first few new keys and values are held apart and joined to the reading's only while the layer is computed, so a
    short answer needs no second cache. For a longer answer the reading's are copied once, into tensors with free room
    for new tokens, instead of once for every token.
    """

    keys: Tensor  # the new ones, as long as they are held apart
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Continue the keys and values of a reading's layer, [B, H_kv, L, d] each."""
        super().__init__()
        self._held = keys, values  # later with free room: longer along L
        self._read = self._length = int(keys.shape[-2])

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append new positions, [B, H_kv, new, d] each; the result is the keys and values of all positions."""
        start, self._length = self._length, self._length + int(key_states.shape[-2])
        if self._length - self._read <= SHORT:
            new = super().update(key_states, value_states, *args, **kwargs)
            keys, values = (torch.cat(pair, dim=-2) for pair in zip(self._held, new, strict=True))
            return keys, values
        if self._held[0].shape[-2] < self._length:
            self._make_room(start)
        for held, added in zip(self._held, (key_states, value_states), strict=True):
            held[:, :, start : self._length] = added
        keys, values = (held[:, :, : self._length] for held in self._held)
        return keys, values

    def get_seq_length(self) -> int:
        """The number of positions, including those of the reading."""
        return self._length

    def __getitem__(self, rows: Sequence[int]) -> GrowingLayer:
        """Some of the rows, as a new layer."""
        keys, values = self._held
        chosen = GrowingLayer(keys[rows], values[rows])
        chosen._read, chosen._length = self._read, self._length
        if self.is_initialized:
            DynamicLayer.update(chosen, self.keys[rows], self.values[rows])
        return chosen

    def written(self, row: int) -> tuple[Tensor, Tensor]:
        """Copies of a row's keys and values behind the reading's, [H_kv, n, d] each."""
        if self._held[0].shape[-2] > self._read:
            keys, values = (held[row, :, self._read : self._length] for held in self._held)
        elif self.is_initialized:
            keys, values = self.keys[row], self.values[row]
        else:
            keys, values = (held[row, :, :0] for held in self._held)
        return keys.clone(), values.clone()

    def _make_room(self, filled: int) -> None:
        """Copy the first ``filled`` positions, with room after them for four times as many as were written so far."""
        parts = [[held[:, :, :filled]] for held in self._held]
        if self._held[0].shape[-2] == self._read and self.is_initialized:  # the first time: new ones are held apart
            parts = [[*part, new] for part, new in zip(parts, (self.keys, self.values), strict=True)]
            self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]
        empty = 4 * (self._length - self._read)
        for part in parts:
            part.append(part[0].new_zeros(*part[0].shape[:2], empty, part[0].shape[3]))
        keys, values = (torch.cat(part, dim=-2) for part in parts)
        self._held = keys, values


@dataclass
class WritingState:
    """The end of a reading, where decoding continues: it grows, while the reading does not change.

    Attributes:
        cache: keys and values, in ``GrowingLayer`` layers.
        attended: [B, L] bool, which positions are attended to: one mask for all layers, or one for each layer if
            pruning made them differ in length.
        position_offset: [B, 1], see ``Reading.position_offset``.
    """

    cache: DynamicCache
    attended: list[Tensor]
    position_offset: Tensor | None

    @classmethod
    def of(cls, reading: Reading) -> WritingState:
        """The end of all rows of a reading."""
        even = len({layer.shape[1] for layer in reading.attended}) == 1
        attended = reading.attended[:1] if even else reading.attended
        position_offset = None if reading.position_offset is None else reading.position_offset[:, None]
        return cls(
            _cache([GrowingLayer(layer.keys, layer.values) for layer in reading.cache.layers]),
            attended,
            position_offset,
        )

    def grow(self) -> None:
        """Add one position, which is attended to."""
        self.attended = [torch.cat([layer, layer.new_ones(len(layer), 1)], dim=1) for layer in self.attended]

    def written(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """See ``SelectableState``."""
        return [layer.written(row) for layer in self.cache.layers]

    def place(self, layer: int) -> Tensor:
        """Position of the last token in a layer, [B, 1]."""
        if self.position_offset is None:
            return positions(self.attended[layer])[:, -1:]
        return positions(self.attended[0])[:, -1:] + self.position_offset

    def __getitem__(self, rows: Sequence[int]) -> WritingState:
        """Some of the rows, as a new end."""
        chosen = list(rows)
        layers = [layer[chosen] for layer in self.cache.layers]
        position_offset = None if self.position_offset is None else self.position_offset[chosen]
        return WritingState(_cache(layers), [layer[chosen] for layer in self.attended], position_offset)


Caches: TypeAlias = dict[int, list[tuple[Tensor, Tensor]]]
"""By row, for each decoder layer: keys and values of written tokens, [H_kv, n, d] each."""


class SelectableState(Protocol):
    """What ``greedily`` needs of the end of a reading: indexed by rows, it returns a new end of these rows."""

    def __getitem__(self, rows: Sequence[int]) -> Self: ...

    def written(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of what was written in a row, for each layer."""
        ...


E = TypeVar("E", bound=SelectableState)


def greedily(
    logits: Tensor,
    end: E,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    step: Callable[[Tensor, E], Tensor],
    caches: Caches | None = None,
) -> list[list[int]]:
    """Decode greedily: write the most likely token of each row until the row stops.

    Rows that have stopped leave the batch, so that they cost nothing while a longer answer is still being written.

    Args:
        logits: [B, V], of the first token.
        end: the end of the reading that is continued.
        stop_ids: tokens that end an answer.
        max_new_tokens: how many tokens are written at most.
        step: runs one decoding step: it takes one token id for each row that continues, [B'], and the end of these
            rows, which it makes grow by one position; it returns logits, [B', V].
        caches: filled, for each row, with the keys and values of the written tokens that were read again.

    Returns:
        The new token ids of each row, without the stop token.
    """
    stop = torch.tensor(stop_ids, device=logits.device)
    written: list[list[int]] = [[] for _ in logits]
    running = list(range(len(written)))
    for number in range(max_new_tokens):
        token = logits.argmax(-1)
        goes_on = (~torch.isin(token, stop)).tolist()
        left = [place for place, on in enumerate(goes_on) if on]
        if caches is not None:
            caches.update((running[place], end.written(place)) for place, on in enumerate(goes_on) if not on)
        if not left:
            return written
        if len(left) < len(running):
            running, token, end = [running[place] for place in left], token[left], end[left]
        for row, new in zip(running, token.tolist(), strict=True):
            written[row].append(new)
        if number + 1 < max_new_tokens:
            logits = step(token, end)
    if caches is not None:
        caches.update((row, end.written(place)) for place, row in enumerate(running))
    return written


def texts(written: Sequence[list[int]], decode: Callable[[list[int]], str], caches: Caches | None) -> list[Written]:
    """The texts of what ``greedily`` wrote, with their ``Written.tail`` if it filled in the caches."""
    found = [Written(decode(ids), len(ids)) for ids in written]
    for row, cache in (caches or {}).items():
        found[row].tail = Tail(tuple(written[row][: cache[0][0].shape[1]]), cache)
    return found


def kept_positions(stays: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The original positions of the tokens that stay, and the number of dropped tokens of each row.

    stays: [length] bool for each row. The results are [B, L], where padding on the left gets 0, and [B].
    """
    rows = [row.nonzero() for row in stays]
    return pad_left(rows)[0][..., 0], torch.stack([(~row).sum() for row in stays])


def _cache(layers: Sequence[GrowingLayer]) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache

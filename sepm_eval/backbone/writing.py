"""Where an answer is being written: behind a reading, whose keys and values are shared and stay as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from typing_extensions import Self

from sepm_eval.backbone.interface import Reading
from sepm_eval.backbone.pruning import pad_left, positions

CACHE = "cache" if "cache" in inspect.signature(LlamaDecoderLayer.forward).parameters else "past_key_values"
"""What transformers calls keys and values among a forward pass's arguments and results: "cache" since 5.24."""


SHORT = 8
"""How many written tokens' keys and values are held alone; an answer of one letter has fewer tokens."""


class Behind(DynamicLayer):
    """Keys and values behind those of a reading's layer.

    While they are few, only the new ones are held, and all of a layer stand together only while that layer is computed:
    a short answer needs no second cache. For a longer one the reading's are copied once, in front of room for what is
    to be written, instead of once for every token.
    """

    keys: Tensor  # the new ones, as long as they are held alone
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Begin behind keys and values of a layer, [B, H, L, d] each."""
        super().__init__()
        self._held = keys, values  # with room, of the same shape but longer
        self._read = self._length = int(keys.shape[-2])

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add positions, [B, H, new, d] each, and return keys and values of all."""
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
        """How many positions there are, those of the reading among them."""
        return self._length

    def __getitem__(self, rows: Sequence[int]) -> Behind:
        """Some of the rows, as a layer of their own."""
        keys, values = self._held
        chosen = Behind(keys[rows], values[rows])
        chosen._read, chosen._length = self._read, self._length
        if self.is_initialized:
            DynamicLayer.update(chosen, self.keys[rows], self.values[rows])
        return chosen

    def _make_room(self, filled: int) -> None:
        """Copy the first so many positions, with room behind them for four times as many as were written."""
        parts = [[held[:, :, :filled]] for held in self._held]
        if self._held[0].shape[-2] == self._read and self.is_initialized:  # no room was made so far
            parts = [[*part, new] for part, new in zip(parts, (self.keys, self.values), strict=True)]
            self.keys, self.values = self.keys[:, :, :0], self.values[:, :, :0]
        empty = 4 * (self._length - self._read)
        for part in parts:
            part.append(part[0].new_zeros(*part[0].shape[:2], empty, part[0].shape[3]))
        keys, values = (torch.cat(part, dim=-2) for part in parts)
        self._held = keys, values


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


class Grows(Protocol):
    """The end of a reading, as ``greedily`` needs it; by rows it gives an end of its own."""

    def __getitem__(self, rows: Sequence[int]) -> Self: ...


E = TypeVar("E", bound=Grows)


def greedily(
    logits: Tensor, end: E, stop_ids: Sequence[int], max_new_tokens: int, step: Callable[[Tensor, E], Tensor]
) -> list[list[int]]:
    """Write the likeliest token of each row until it stops.

    Rows that have stopped are let go, so that a long answer does not make the others' batch pay for it.

    Args:
        logits: [B, V], of the first token.
        end: what is written behind.
        stop_ids: tokens that end an answer.
        max_new_tokens: how many are written at most.
        step: reads a token of each row that goes on, [B'] ids, behind an end, which grows by it; gives logits, [B', V].

    Returns:
        The new token ids of each row, up to and without the one that stops it.
    """
    stop = torch.tensor(stop_ids, device=logits.device)
    written: list[list[int]] = [[] for _ in logits]
    running = list(range(len(written)))
    for number in range(max_new_tokens):
        token = logits.argmax(-1)
        goes_on = (~torch.isin(token, stop)).tolist()
        left = [place for place, on in enumerate(goes_on) if on]
        if not left:
            break
        if len(left) < len(running):
            running, token, end = [running[place] for place in left], token[left], end[left]
        for row, new in zip(running, token.tolist(), strict=True):
            written[row].append(new)
        if number + 1 < max_new_tokens:
            logits = step(token, end)
    return written


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

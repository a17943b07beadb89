"""Readings of models of any family, with their KV caches: selecting rows, cutting the cache, decoding from it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from sepm_eval.backbone import continuing
from sepm_eval.backbone.interface import Reading
from sepm_eval.backbone.writing import GrowingLayer


@dataclass(frozen=True)
class FamilyReading(Reading):
    """A reading that knows the position of the next token, which need not be the number of tokens before it.

    ``attended`` holds one mask, [B, L], or, if tokens were pruned between layers, one for each layer.

    Attributes:
        position: [B], position of the next token.
        renumbered: whether the next token instead has, in each layer, the position after the tokens left there.
    """

    position: Tensor | None = None
    renumbered: bool = False

    def __getitem__(self, rows: Sequence[int]) -> FamilyReading:
        """Some of the rows, as a new reading."""
        chosen = list(rows)
        assert self.position is not None  # always given
        return replace(
            self,
            logits=self.logits[chosen],
            probe_attention=None if self.probe_attention is None else [self.probe_attention[row] for row in chosen],
            cache=_mapped(self.cache, lambda layer: _rows(layer, chosen)),
            attended=[mask[chosen] for mask in self.attended],
            before=tuple(self.before[row] for row in chosen) if self.before else (),
            behind=tuple(self.behind[row] for row in chosen),
            position=self.position[chosen],
            visual_left=None if self.visual_left is None else [self.visual_left[row] for row in chosen],
        )


@dataclass
class FamilyWritingState:
    """The end of a reading, where decoding continues: it grows, while the reading does not change.

    Attributes:
        cache: plain layers share the reading's keys and values; recurrent and sliding ones are copies.
        attended: [B, L] bool, one mask or one for each layer; see ``FamilyReading``.
        position: [B], position of the next token.
        renumbered: see ``FamilyReading``.
    """

    cache: Cache
    attended: list[Tensor]
    position: Tensor
    renumbered: bool

    @classmethod
    def of(cls, reading: FamilyReading) -> FamilyWritingState:
        """The end of all rows of a reading."""
        assert reading.position is not None
        return cls(_mapped(reading.cache, _behind), reading.attended, reading.position, reading.renumbered)

    def grow(self) -> None:
        """Add one position, which is attended to."""
        self.attended = [torch.cat([layer, layer.new_ones(len(layer), 1)], dim=1) for layer in self.attended]
        self.position = self.position + 1

    def written(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """See ``writing.SelectableState``; of a plain cache only."""
        return [layer.written(row) for layer in self.cache.layers]

    def __getitem__(self, rows: Sequence[int]) -> FamilyWritingState:
        """Some of the rows, as a new end."""
        chosen = list(rows)
        cache = _mapped(self.cache, lambda layer: _rows(layer, chosen))
        return FamilyWritingState(
            cache, [layer[chosen] for layer in self.attended], self.position[chosen], self.renumbered
        )


def is_plain(cache: Cache) -> bool:
    """Whether all layers hold the keys and values of all positions."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def cut(cache: Cache, end: int) -> Cache:
    """The first ``end`` positions of a plain cache; see ``continuing.cut``."""
    return _mapped(cache, lambda layer: continuing.cut(layer, end))


def _mapped(cache: Cache, change: Any) -> Cache:
    """A copy of a cache with every layer replaced by ``change(layer)``, which must not modify the layer itself."""
    other = copy.copy(cache)
    other.layers = [change(layer) for layer in cache.layers]
    return other


def _behind(layer: Any) -> Any:
    return GrowingLayer(layer.keys, layer.values) if type(layer) is DynamicLayer else copy.deepcopy(layer)


def _rows(layer: Any, rows: list[int]) -> Any:
    if isinstance(layer, GrowingLayer):
        return layer[rows]
    chosen = copy.deepcopy(layer) if type(layer) is not DynamicLayer else copy.copy(layer)
    device = getattr(layer, "device", None) or "cpu"
    chosen.reorder_cache(torch.tensor(rows, device=device))
    return chosen

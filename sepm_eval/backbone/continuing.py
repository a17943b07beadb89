"""Continuing an earlier reading of the same pictures: which part of its KV cache is reused."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from sepm_eval.backbone.cost import common_start
from sepm_eval.backbone.interface import Reading, Shares, Written


def reused_positions(
    prefix: Reading,
    shares: Shares,
    before: Sequence[tuple[int, ...]],
    after: Sequence[Sequence[int]],
    probed: Sequence[Sequence[int]],
    kept: Sequence[Tensor],
) -> tuple[Tensor, list[int]]:
    """Decide which cache positions of an earlier reading are reused, and how many of them lie after the picture.

    Args:
        prefix: the earlier reading.
        shares: "picture" reuses nothing after the picture, "text" also the tokens with which the old and the new text
            begin.
        before: for each new row, its token ids in the form of ``Reading.before``.
        after: for each new row, its token ids after the picture. At least one of them is read anew.
        probed: for each row, indices into ``after`` of the probed tokens, which are always read anew.
        kept: bool [n] for each row, which of its n tokens up to the end of the picture stay.

    Returns:
        Which positions of the cache are reused, [B, E] bool, where E is the end of the longest reused part; and for
        each row the number of reused tokens after the picture.

    Raises:
        ValueError: the earlier reading has other rows, lacks visual tokens, or has other text before the picture; or
            ``shares`` is neither of its two values.
    """
    if not prefix.before or prefix.before != tuple(before):
        raise ValueError(
            "this reading cannot be continued: it is of other prompts, tokens were dropped in it, or its cache does "
            "not hold all positions. Read the prompts again, without prefix"
        )
    if shares not in ("picture", "text"):
        raise ValueError(f"shares={shares!r}: use one of ['picture', 'text']")
    shared = [0] * len(before)
    if shares == "text":
        most = [min([len(ids) - 1, *places]) for ids, places in zip(after, probed, strict=True)]
        alike = [common_start(*pair) for pair in zip(after, prefix.behind, strict=True)]
        shared = [min(pair) for pair in zip(alike, most, strict=True)]
    whole = [nn.functional.pad(mask, (0, text), value=True) for mask, text in zip(kept, shared, strict=True)]
    return _held(prefix.attended[0], whole), shared


def with_written(reading: Reading, written: Sequence[Written]) -> Reading:
    """A reading together with the texts that were written behind it, to be continued with ``shares="text"``.

    Args:
        reading: one that can be continued. It is not changed.
        written: what ``Backbone.write`` wrote behind each of its rows, with tails.

    Returns:
        The longer reading. Its logits are NaN, because nothing was read behind the texts. If a text has no tail, the
        reading itself.
    """
    tails = [text.tail for text in written if text.tail is not None]
    if not reading.before or len(tails) < len(written):
        return reading
    cache = copy.copy(reading.cache)
    cache.layers = [
        _longer(layer, [tail.cache[index] for tail in tails]) for index, layer in enumerate(reading.cache.layers)
    ]
    attended = reading.attended[0]
    counts = torch.tensor([[len(tail.ids)] for tail in tails], device=attended.device)
    new = torch.arange(max(len(tail.ids) for tail in tails), device=attended.device) < counts
    return replace(
        reading,
        logits=torch.full_like(reading.logits, torch.nan),
        probe_attention=None,
        cache=cache,
        attended=[torch.cat([attended, new], dim=1)] * len(reading.attended),
        behind=tuple(ids + tail.ids for ids, tail in zip(reading.behind, tails, strict=True)),
    )


def _longer(layer: DynamicLayer, new: Sequence[tuple[Tensor, Tensor]]) -> DynamicLayer:
    """A cache's layer with more keys and values behind each row, [H_kv, n, d] each, padded on the right."""
    longer = copy.copy(layer)
    keys, values = (
        nn.utils.rnn.pad_sequence([one.transpose(0, 1) for one in part], batch_first=True).transpose(1, 2)
        for part in zip(*new, strict=True)
    )
    longer.keys, longer.values = torch.cat([layer.keys, keys], dim=2), torch.cat([layer.values, values], dim=2)
    return longer


def _held(attended: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """Which cache positions stay, [B, E] bool: of each row's first n tokens those that its mask [n] keeps."""
    masks = nn.utils.rnn.pad_sequence([mask.to(attended.device) for mask in kept], batch_first=True)
    ends = torch.tensor([[len(mask)] for mask in kept], device=attended.device)
    number = attended.long().cumsum(-1) - 1  # tokens counted in their row: a continued cache has gaps in between
    within = attended & (number < ends)
    end = int(within.any(0).nonzero()[-1]) + 1
    return (within & masks.gather(1, number.clamp(0, masks.shape[1] - 1)))[:, :end]


def cut(layer: DynamicLayer, end: int) -> DynamicLayer:
    """The first ``end`` positions of a cache layer, without a copy: a layer that grows does not change old tensors."""
    shorter = copy.copy(layer)
    shorter.keys, shorter.values = layer.keys[:, :, :end], layer.values[:, :, :end]
    return shorter

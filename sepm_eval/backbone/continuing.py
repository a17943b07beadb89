"""Going on from an earlier reading of the same pictures: what of its cache is taken over."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from sepm_eval.backbone.cost import common_start
from sepm_eval.backbone.interface import Reading, Shares


def take_over(
    prefix: Reading,
    shares: Shares,
    before: Sequence[tuple[int, ...]],
    after: Sequence[Sequence[int]],
    probed: Sequence[Sequence[int]],
    kept: Sequence[Tensor],
) -> tuple[Tensor, list[int]]:
    """Which places of an earlier reading's cache stay, and how many tokens behind the picture are among them.

    Args:
        prefix: the earlier reading.
        shares: "picture" takes over nothing behind it, "text" also the tokens with which both texts begin.
        before: of each new row, its tokens as ``Reading.before`` has them.
        after: ids of each row's tokens behind the picture. At least one of them is read.
        probed: for each row, indices into these of tokens that are read in any case.
        kept: for each row bool [n]: which of its tokens up to the end of the picture stay.

    Returns:
        [B, E] bool, where E is the end of the longest part that is taken over; and a count for each row.

    Raises:
        ValueError: the earlier reading is of other rows, of pictures that were not whole, or of prompts that differ up
            to the picture.
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


def _held(attended: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """Which places stay, if of each row's first n tokens those stay that a mask [n] says, and none behind them."""
    masks = nn.utils.rnn.pad_sequence([mask.to(attended.device) for mask in kept], batch_first=True)
    ends = torch.tensor([[len(mask)] for mask in kept], device=attended.device)
    number = attended.long().cumsum(-1) - 1  # a cache that was continued has gaps, but its tokens are in order
    within = attended & (number < ends)
    end = int(within.any(0).nonzero()[-1]) + 1
    return (within & masks.gather(1, number.clamp(0, masks.shape[1] - 1)))[:, :end]


def cut(layer: DynamicLayer, end: int) -> DynamicLayer:
    """The first positions of a cache's layer, without a copy: a layer that grows leaves its tensors as they are."""
    shorter = copy.copy(layer)
    shorter.keys, shorter.values = layer.keys[:, :, :end], layer.values[:, :, :end]
    return shorter

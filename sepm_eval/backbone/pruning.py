"""Visual tokens removed between decoder layers: what a ``Prune`` does to the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sepm_eval.backbone.interface import Prune


def check_layers(prune: Prune, count: int) -> None:
    """Make sure that something is pruned in a model of so many layers.

    Raises:
        ValueError: the model has none of the layers after which something is to happen.
    """
    if not any(0 <= layer < count for layer in prune.layers):
        raise ValueError(
            f"nothing would be pruned: {type(prune).__name__} acts after the decoder layers {list(prune.layers)}, and "
            f"this model has the layers 0 to {count - 1}"
        )


def raters(prune: Prune, visuals: Sequence[Tensor], texts: Sequence[Tensor]) -> list[list[int]]:
    """Which tokens behind the image rate the visual ones in each row, as indices.

    visuals: [n_i, D] each; texts: [N_t, D] each.

    Raises:
        FloatingPointError: none does in some row, so that nothing says what to remove.
    """
    found = [prune.raters(*row).nonzero().flatten().tolist() for row in zip(visuals, texts, strict=True)]
    silent = [row for row, places in enumerate(found) if not places]
    if silent:
        raise FloatingPointError(f"no token behind the image rates the visual tokens (rows {silent} of the batch)")
    return found


def prune_rows(
    prune: Prune,
    layer: int,
    hidden: Tensor,
    attended: Tensor,
    after: Sequence[int],
    attention: Tensor,
    counts: Sequence[int],
) -> tuple[Tensor, Tensor, list[int]]:
    """Let every row lose visual tokens after a layer.

    hidden: [B, L, D]; attended: [B, L]; after: how many tokens each row has behind the image; attention: [B, L], of the
    raters; counts: visual tokens of each row so far. Returns hidden and attended of the shorter rows, and how many
    visual tokens each has left.

    Raises:
        FloatingPointError: attention is not finite.
    """
    broken = (~torch.isfinite(attention).all(-1)).nonzero().flatten().tolist()
    if broken:
        raise FloatingPointError(
            f"the attention in layer {layer} that rates the visual tokens is NaN or infinite (rows {broken} of the "
            "batch); try dtype=float32"
        )
    rows, remaining = [], []
    starts = (~attended).sum(-1).tolist()
    for i, (start, text, count) in enumerate(zip(starts, after, counts, strict=True)):
        end = hidden.shape[1] - text
        image = slice(end - count, end)
        left = prune.step(layer, hidden[i, image], attention[i, image])
        rows.append(torch.cat([hidden[i, start : image.start], left.to(hidden.dtype), hidden[i, end:]]))
        remaining.append(len(left))
    return *pad_left(rows), remaining


def pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[length_i, D] each -> [B, L, D] and which positions are not padding, [B, L] bool."""
    length = max(len(row) for row in rows)
    padded = torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    attended = torch.arange(length, device=padded.device) >= length - lengths[:, None]
    return padded, attended

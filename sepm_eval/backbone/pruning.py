"""Visual tokens removed between decoder layers: what a ``Prune`` does to the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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

    visuals: [N_v, D] each; texts: [N_t, D] each.

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
    count: int,
) -> tuple[Tensor, Tensor, int]:
    """Let every row lose visual tokens after a layer.

    hidden: [B, L, D]; attended: [B, L]; after: how many tokens each row has behind the image; attention: [B, L], of the
    raters; count: visual tokens of a row so far. Returns hidden and attended of the shorter rows, and how many visual
    tokens each has left.

    Raises:
        FloatingPointError: attention is not finite.
    """
    broken = (~torch.isfinite(attention).all(-1)).nonzero().flatten().tolist()
    if broken:
        raise FloatingPointError(
            f"the attention in layer {layer} that rates the visual tokens is NaN or infinite (rows {broken} of the "
            "batch); try dtype=float32"
        )
    rows = []
    for i, text in enumerate(after):
        end = hidden.shape[1] - text
        image = slice(end - count, end)
        left = prune.step(layer, hidden[i, image], attention[i, image])
        rows.append(torch.cat([hidden[i, : image.start], left.to(hidden.dtype), hidden[i, end:]]))
    lost = hidden.shape[1] - len(rows[0])
    return torch.stack(rows), attended[:, : hidden.shape[1] - lost], count - lost

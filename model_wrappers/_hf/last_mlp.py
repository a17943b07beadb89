"""The last decoder layer's MLP, computed for the last position only, whose logits are the only ones that are read.

The layer's attention is computed for all positions, since their keys and values are read later. Families differ too
much in their attention to spare the rest of it, as ``backbone.last_layer`` does for Llama-like decoders.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def spare(decoder: Any) -> None:
    """Make the MLP of a decoder's last layer compute the last position only.

    Its output, [B, 1, D], is added to every position of the layer's input; only the last position's sum is meant, and
    no other one is read. Prompts are padded on the left, so the last position is each row's last token.

    Args:
        decoder: a transformers decoder of a family in ``FAMILIES``, of which tests show that its answers stay the same.
    """
    mlp = getattr(decoder.layers[-1], "mlp", None)
    if isinstance(mlp, nn.Module):
        mlp.register_forward_pre_hook(_last)


def _last(_mlp: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    hidden, *others = given
    return (hidden[:, -1:], *others)

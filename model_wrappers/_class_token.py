"""The attention of CLIP's class token to the patches in one layer of the tower, with any attention kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn


@dataclass
class ClassToken:
    """Query and keys of one layer's attention, recorded in a forward pass of the tower.

    Attributes:
        heads: number of attention heads.
        scale: factor of the scores.
        parts: the class token's "query" [B, 1, C] and all keys as "key" [B, 1 + n, C].
    """

    heads: int
    scale: float
    parts: dict[str, Tensor] = field(default_factory=dict)

    def attention(self) -> Tensor:
        """The class token's softmax row without the entry for itself, mean over heads, [B, n] float32.

        Scores are computed in the tower's dtype and the softmax in float32, as in transformers' eager attention.
        """
        query, key = (self.parts[name].unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key"))
        scores = (query @ key.mT * self.scale).float()
        return scores.softmax(-1).mean(1)[:, 0, 1:]


@contextmanager
def class_token_of(tower: nn.Module, layer: int) -> Iterator[ClassToken]:
    """Record one layer of a tower in the forward passes inside the ``with`` block; its hooks are removed afterwards.

    Args:
        tower: CLIP's vision tower, of transformers.
        layer: index of the features among the tower's hidden states (``vision_feature_layer``); the layer is the one
            whose output they are.
    """
    clip: Any = getattr(tower, "vision_model", tower)
    attention = clip.encoder.layers[layer if layer < 0 else layer - 1].self_attn
    found = ClassToken(attention.num_heads, attention.scale)

    def take(name: str, rows: slice, module: nn.Module, args: Any, output: Tensor) -> None:
        found.parts[name] = output[:, rows]

    with ExitStack() as stack:
        for name, projection, rows in (("query", attention.q_proj, slice(1)), ("key", attention.k_proj, slice(None))):
            handle = projection.register_forward_hook(partial(take, name, rows))
            stack.callback(handle.remove)
        yield found

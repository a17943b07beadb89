"""The attention of CLIP's class token to the patches in one layer of the tower, beside any kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn


@dataclass
class ClassToken:
    """Filled in by a forward pass of the tower.

    Attributes:
        heads: attention heads.
        scale: of the scores.
        parts: the class token's query [B, 1, C] and all keys [B, 1 + n, C].
    """

    heads: int
    scale: float
    parts: dict[str, Tensor] = field(default_factory=dict)

    def attention(self) -> Tensor:
        """Its softmax row without itself, mean over heads, [B, n] float32.

        Scores are taken in the tower's dtype and the softmax in float32, as in transformers' eager attention.
        """
        query, key = (self.parts[name].unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key"))
        scores = (query @ key.mT * self.scale).float()
        return scores.softmax(-1).mean(1)[:, 0, 1:]


@contextmanager
def class_token_of(tower: nn.Module, layer: int) -> Iterator[ClassToken]:
    """Watch one layer of a tower during the forward passes inside; nothing is left behind.

    Args:
        tower: CLIP's, of transformers.
        layer: its index; that of a negative ``vision_feature_layer`` is the layer which gives those features.
    """
    clip: Any = getattr(tower, "vision_model", tower)
    attention = clip.encoder.layers[layer].self_attn
    found = ClassToken(attention.num_heads, attention.scale)

    def take(name: str, rows: slice, module: nn.Module, args: Any, output: Tensor) -> None:
        found.parts[name] = output[:, rows]

    with ExitStack() as stack:
        for name, projection, rows in (("query", attention.q_proj, slice(1)), ("key", attention.k_proj, slice(None))):
            handle = projection.register_forward_hook(partial(take, name, rows))
            stack.callback(handle.remove)
        yield found

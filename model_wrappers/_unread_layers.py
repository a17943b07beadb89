"""Layers of a vision tower behind the one whose features a model takes: nobody reads them, so they are not computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def skip_unread(tower: nn.Module, feature_layer: int | Sequence[int]) -> None:
    """Make the layers of a tower that come after its features return their input as it is.

    They stay in place, so the tower has as many hidden states as before, and those up to the features are the same.

    Args:
        tower: a loaded CLIP or SigLIP vision tower of transformers.
        feature_layer: index of the features among the tower's hidden states, of which there is one more than layers;
            -2 is the input of the last layer. Several if the features of several layers are joined.

    Raises:
        ValueError: the tower has no such hidden state.
    """
    encoder: Any = getattr(tower, "vision_model", tower)
    layers = encoder.encoder.layers
    wanted = [feature_layer] if isinstance(feature_layer, int) else feature_layer
    count = len(layers) + 1
    if not all(-count <= index < count for index in wanted):
        raise ValueError(
            f"vision_feature_layer={feature_layer!r}: the tower has {count} hidden states; correct the checkpoint's "
            f"config.json to indices from {-count} to {count - 1}"
        )
    for unread in layers[max(index % count for index in wanted) :]:
        unread.forward = _unchanged


def _unchanged(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states

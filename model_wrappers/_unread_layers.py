"""Layers of a vision tower behind the one whose features a model takes: nobody reads them, so they are not computed."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def skip_unread(tower: nn.Module, feature_layer: int) -> None:
    """Make the layers of a tower that come after its features return their input as it is.

    They stay in place, so the tower has as many hidden states as before, and those up to the features are the same.

    Args:
        tower: a loaded CLIP or SigLIP vision tower of transformers.
        feature_layer: index of the features among the tower's hidden states, of which there is one more than layers;
            -2 is the input of the last layer.

    Raises:
        ValueError: the tower has no layer with these features as its output.
    """
    encoder: Any = getattr(tower, "vision_model", tower)
    layers = encoder.encoder.layers
    count = len(layers)
    if not 0 < feature_layer <= count and not -count <= feature_layer < 0:
        raise ValueError(
            f"vision_feature_layer={feature_layer}: the tower has {count} layers; correct the checkpoint's config.json "
            f"to -{count} to -1 or 1 to {count}"
        )
    for unread in layers[feature_layer % (count + 1) :]:
        unread.forward = _unchanged


def _unchanged(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states

"""Tower layers that nobody reads are not computed, and the features stay what they are."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from sepm_eval.model_wrappers._unread_layers import skip_unread

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
DEPTH = 4


@pytest.fixture(params=["clip", "siglip"])
def tower(request):
    torch.manual_seed(0)
    if request.param == "clip":
        return CLIPVisionModel._from_config(CLIPVisionConfig(**SHAPE, num_hidden_layers=DEPTH)).eval()
    return SiglipVisionModel._from_config(SiglipVisionConfig(**SHAPE, num_hidden_layers=DEPTH)).eval()


@pytest.mark.parametrize(
    ("feature_layer", "computed"),
    [(-1, 4), (-2, 3), (-3, 2), (-4, 1), (3, 3), (4, 4), (1, 1)],
)
def test_features_are_the_same_without_the_layers_behind_them(tower, feature_layer, computed):
    sparing = copy.deepcopy(tower)
    skip_unread(sparing, feature_layer)
    encoder = getattr(sparing, "vision_model", sparing).encoder
    run = []
    for number, layer in enumerate(encoder.layers):
        layer.mlp.register_forward_hook(lambda *_, number=number: run.append(number))
    pixels = torch.randn(2, 3, 28, 28)
    with torch.inference_mode():
        expected = tower(pixels, output_hidden_states=True).hidden_states
        found = sparing(pixels, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) == DEPTH + 1
    assert torch.equal(found[feature_layer], expected[feature_layer])
    assert run == list(range(computed))


@pytest.mark.parametrize("feature_layer", [0, 5, -5])
def test_a_layer_that_the_tower_does_not_have_is_an_error(tower, feature_layer):
    with pytest.raises(ValueError, match=r"has 4 layers; correct .* to -4 to -1 or 1 to 4"):
        skip_unread(tower, feature_layer)

"""The probe reports what eager attention reports, without eager attention."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from sepm_eval.backbone import probe as probes
from sepm_eval.backbone.probe import mean_attention


def _llama(attention: str) -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=90,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,  # grouped-query attention, as in Llama 3
    )
    model = LlamaModel(config).eval()
    model.set_attn_implementation(attention)
    return model


@pytest.fixture
def batch():
    """Three sequences of different length, padded on the left."""
    torch.manual_seed(1)
    attended = torch.arange(17) >= torch.tensor([0, 5, 9])[:, None]
    positions = (attended.long().cumsum(-1) - 1).clamp(min=0)
    return {
        "input_ids": torch.randint(90, (3, 17)),
        "attention_mask": attended.long(),
        "position_ids": positions,
    }


def test_rows_equal_eager_attention(batch):
    rows = torch.tensor([[12, 13, 14], [13, 14, 16], [11, 16, 16]])
    valid = torch.tensor([[True, True, True], [True, True, True], [True, False, False]])
    model = _llama("sdpa")
    plain = model(**batch).last_hidden_state
    probes.install(model)
    request = probes.Probe((2,), rows, valid, batch["attention_mask"].bool())
    probed = model(**batch, probe=request).last_hidden_state
    torch.testing.assert_close(probed, plain, atol=0, rtol=0)

    eager = _llama("eager")(**batch, output_attentions=True).attentions[2]
    expected = torch.stack([eager[i].mean(0)[rows[i][valid[i]]].mean(0) for i in range(3)])
    torch.testing.assert_close(request.answered(), expected, atol=1e-6, rtol=1e-5)
    assert not request.answered()[~batch["attention_mask"].bool()].any()


def test_only_the_asked_layer_answers(batch):
    model = _llama("sdpa")
    probes.install(model)
    attended = batch["attention_mask"].bool()
    rows, valid = torch.full((3, 1), 16), torch.ones(3, 1, dtype=torch.bool)
    eager = _llama("eager")(**batch, output_attentions=True).attentions
    for layer in range(3):
        request = probes.Probe((layer,), rows, valid, attended)
        model(**batch, probe=request)
        torch.testing.assert_close(request.answered(), eager[layer].mean(1)[:, 16], atol=1e-6, rtol=1e-5)


def test_vision_tower_keeps_its_attention(tiny_llava):
    """Only the language model's configuration is switched."""
    model = tiny_llava._model
    assert model.model.language_model.config._attn_implementation == "sepm_eval_probed_sdpa"
    assert model.model.vision_tower.config._attn_implementation == "sdpa"


def test_significance_averages_valid_rows_only():
    attention = torch.tensor([[[[0.1, 0.9], [0.5, 0.5]], [[0.3, 0.7], [0.7, 0.3]]]])  # 1 picture, 2 heads, 2 rows
    both = mean_attention(attention, torch.tensor([[True, True]]))
    torch.testing.assert_close(both, torch.tensor([[0.4, 0.6]]))
    first = mean_attention(attention, torch.tensor([[True, False]]))
    torch.testing.assert_close(first, torch.tensor([[0.2, 0.8]]))

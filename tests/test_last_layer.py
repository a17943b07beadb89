"""The last layer's one position is what all positions would have given, and so is its cache."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from sepm_eval.backbone import last_layer
from sepm_eval.backbone import probe as probes

SHAPES = {"vocab_size": 90, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3}


def _llama() -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES, num_attention_heads=6, num_key_value_heads=2)  # grouped queries, as in Llama 3
    model = LlamaModel(config).eval()
    probes.install(model)
    return model


def _batch(padding):
    """Sequences of 17 tokens, so many of them padding on the left."""
    torch.manual_seed(1)
    attended = torch.arange(17) >= torch.tensor(padding)[:, None]
    positions = (attended.long().cumsum(-1) - 1).clamp(min=0)
    ids = torch.randint(90, (len(padding), 17))
    return {"input_ids": ids, "attention_mask": attended.long(), "position_ids": positions}


def _read(model, batch, **more):
    cache = DynamicCache()
    with torch.inference_mode():
        hidden = model(**batch, past_key_values=cache, use_cache=True, **more).last_hidden_state
    return hidden, cache


def _assert_same_cache(one, other):
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        torch.testing.assert_close(ours.keys, theirs.keys, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours.values, theirs.values, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("padding", [[0], [0, 0], [0, 5, 9]], ids=["one", "equally long", "padded"])
def test_one_position_and_the_whole_cache(padding):
    model, batch = _llama(), _batch(padding)
    hidden, cache = _read(model, batch)
    last_layer.install(model)
    alone, narrow = _read(model, batch, last_position_only=True)
    assert alone.shape == (len(padding), 1, 48)
    torch.testing.assert_close(alone, hidden[:, -1:], atol=1e-6, rtol=1e-5)
    _assert_same_cache(narrow, cache)


def test_without_the_keyword_nothing_changes():
    model, batch = _llama(), _batch([0, 5])
    hidden, _ = _read(model, batch)
    last_layer.install(model)
    torch.testing.assert_close(_read(model, batch)[0], hidden, atol=0, rtol=0)


@pytest.mark.parametrize("new", [1, 4])
def test_behind_an_earlier_reading(new):
    model, batch = _llama(), _batch([0, 5, 9])
    hidden, _ = _read(model, batch)
    last_layer.install(model)
    mask = batch.pop("attention_mask")
    first = {name: value[:, :-new] for name, value in batch.items()}
    rest = {name: value[:, -new:] for name, value in batch.items()}
    _, cache = _read(model, {**first, "attention_mask": mask[:, :-new]}, last_position_only=True)
    with torch.inference_mode():
        output = model(**rest, attention_mask=mask, past_key_values=cache, use_cache=True, last_position_only=True)
    torch.testing.assert_close(output.last_hidden_state, hidden[:, -1:], atol=1e-6, rtol=1e-5)
    assert cache.get_seq_length(2) == 17


@pytest.mark.parametrize("layer", [1, 2])
def test_a_probe_reads_the_same(layer):
    """Aimed at the last layer or at another; the last position may be among its rows."""
    model, batch = _llama(), _batch([0, 5, 9])
    rows = torch.tensor([[12, 13, 14], [13, 14, 16], [11, 16, 16]])
    valid = torch.tensor([[True, True, True], [True, True, True], [True, False, False]])
    whole, narrow = (probes.Probe((layer,), rows, valid, batch["attention_mask"].bool()) for _ in range(2))
    _read(model, batch, probe=whole)
    last_layer.install(model)
    _read(model, batch, probe=narrow, last_position_only=True)
    torch.testing.assert_close(narrow.answered(), whole.answered(), atol=1e-6, rtol=1e-5)


def test_it_saves_a_third_of_three_layers():
    """All but the projections to keys and values: 48 x 32 of 48 x (128 + 192) weights a token, attention aside."""
    model, batch = _llama(), _batch([0])
    last_layer.install(model)
    counted = []
    for more in ({}, {"last_position_only": True}):
        with FlopCounterMode(display=False) as counter:
            _read(model, batch, **more)
        counted.append(counter.get_total_flops())
    assert 0.68 < counted[1] / counted[0] < 0.72


def test_another_kind_of_layer_is_left_alone():
    model = GPT2Model(GPT2Config(vocab_size=90, n_embd=48, n_layer=2, n_head=6))
    model.layers = model.h
    last_layer.install(model)
    assert not model.h[-1]._forward_pre_hooks

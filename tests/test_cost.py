"""The cost formulas against torch's own counter, and what follows from them."""

import dataclasses
import json

import pytest
import torch
from conftest import ORACLES
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.emotions import MIKELS
from sepm_eval.methods import cost
from sepm_eval.methods.sparsevlm import KEPT, Sparsify
from sepm_eval.prompts import FOCUS_ON_EMOTION


def _config(path):
    return json.loads((ORACLES / path / "config.json").read_text())


@pytest.fixture(params=["llava", "vila"])
def priced(request, tiny_llava, tiny_vila):
    """A tiny backbone and its geometry, read off its configuration files."""
    if request.param == "vila":
        folder = "vila15_tiny/checkpoint"
        text, vision = _config(f"{folder}/llm"), _config(f"{folder}/vision_tower")
        return tiny_vila, cost.geometry_from_configs(text, vision, merge=2)
    config = _config("llava15_tiny/hf")
    geometry = cost.geometry_from_configs(config["text_config"], config["vision_config"])
    rows = tiny_llava._model.lm_head.weight.shape[0]  # the original layout has no rows for image and padding tokens
    decoder = dataclasses.replace(geometry.decoder, vocabulary=rows)
    return tiny_llava, dataclasses.replace(geometry, decoder=decoder)


def _text(backbone, answer):
    """Lengths of the prompts an answer was asked with."""
    prompts = [backbone._tokenise(prompt, image=True, probe=None) for prompt in answer.prompts]
    focus = 0
    if prompts[1:] and FOCUS_ON_EMOTION in answer.prompts[0]:
        focus = len(backbone._tokenise(answer.prompts[0], image=True, probe=FOCUS_ON_EMOTION).probed)
    first, last = len(prompts[0].after), len(prompts[-1].after)
    return cost.Text(len(prompts[0].before), zero_shot=first, coarse=first, fine=last, focus=focus)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("zero_shot", {}),
        ("sepm", {}),
        ("sepm", {"beta": 0.0}),
        ("sepm", {"reuse": True}),
        ("sepm", {"reuse": True, "beta": 0.5}),
        ("sepm", {"vta": False}),
        ("sepm", {"cci": False, "vta": False}),
        ("random_drop", {"beta": 0.4}),
        ("downsample", {"beta": 0.5}),
    ],
)
def test_torch_counts_the_same(priced, llava_oracle, monkeypatch, name, options):
    """To the last operation; the tiny models do not stop after the letter, so they are stopped."""
    backbone, geometry = priced
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 2)
    question = Question(llava_oracle.images[0], tuple(MIKELS), tuple(MIKELS.values()))
    method = get_method(name, **options)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the counter sees its products
        (answer,) = method.answer([question], backbone)
    expected = cost.flops(geometry, cost.work(name, options, geometry, _text(backbone, answer)))
    assert counter.get_total_flops() == expected


def test_torch_counts_the_same_step_where_layers_differ_in_length(llava_oracle):
    """The token behind a pruned prompt, which sees less of it in later layers."""
    folder = "sparsevlm_reference/n64/original"
    backbone = load_backbone("llava", str(ORACLES / folder), device="cpu")
    decoder = cost.geometry_from_configs(_config(folder), _config("llava15_tiny/hf")["vision_config"]).decoder
    visual, prune = backbone.see(llava_oracle.images[:1]), Sparsify((20, 10, 5))
    reading = backbone.read(["What is it?"], visual, prune=prune)
    lengths = [layer.shape[1] for layer in reading.attended]
    left = tuple((layer, lengths[layer + 1]) for layer in prune.layers)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        backbone.write(reading, 2)
    assert len(set(lengths)) == 4
    assert counter.get_total_flops() == cost._step(decoder, cost.Read(lengths[0], left=left))


def test_sparsevlm_prunes_as_counted():
    prune, tokens = Sparsify(KEPT[192]), torch.randn(576, 4, generator=torch.Generator().manual_seed(0))
    geometry, text = cost.KNOWN["llava-1.5-7b"], cost.Text(before=35, zero_shot=70, coarse=82, fine=57)
    (read,) = cost.work("sparsevlm", {"budget": 192}, geometry, text).reads
    assert read.tokens == 576 + 105
    for layer, left in read.left:
        tokens = prune.step(layer, tokens, torch.arange(len(tokens)).float())
        assert left == len(tokens) + 105
    assert [layer for layer, _ in read.left] == [2, 6, 15]


def test_full_size():
    """Twice the parameters for every token, and little more: 6.6e9 in the layers, 0.3e9 in the tower, 577 patches."""
    geometry = cost.KNOWN["llava-1.5-7b"]
    price = {
        name: cost.flops(geometry, cost.work(name.split()[0], {"reuse": "reuse" in name}, geometry, cost.EMOSET_TEXT))
        for name in ("zero_shot", "sepm", "sepm reuse")
    }
    assert price["zero_shot"] == pytest.approx(2 * (6.48e9 * 681 + 0.303e9 * 577), rel=0.05)
    assert 1.7 < price["sepm"] / price["zero_shot"] < 1.85
    assert 1.05 < price["sepm reuse"] / price["zero_shot"] < 1.15
    assert cost.KNOWN["llama-3-vila1.5-8b"].visual_tokens() == 196


def test_an_unknown_method_has_no_price():
    with pytest.raises(ValueError, match=r"cost of method 'new' is not known; add it to sepm_eval/methods/cost\.py"):
        cost.work("new", {}, cost.KNOWN["llava-1.5-7b"], cost.EMOSET_TEXT)

"""The cost formulas against torch's own counter, and what follows from them."""

import dataclasses
import json

import pytest
import torch
from conftest import ORACLES
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone import cost
from sepm_eval.backbone.geometry import geometry_from_configs
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.sparsevlm import KEPT, Sparsify
from sepm_eval.model_wrappers import find_backbone, known_checkpoint
from sepm_eval.prompts import FOCUS_ON_EMOTION


def _config(path):
    return json.loads((ORACLES / path / "config.json").read_text())


@pytest.fixture(params=["llava", "vila"])
def priced(request, tiny_llava, tiny_vila):
    """A tiny backbone and its geometry, read off its configuration files."""
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}[request.param]
    geometry = find_backbone(request.param).shapes(ORACLES / folder)
    if request.param == "vila":
        return tiny_vila, geometry
    rows = tiny_llava._model.lm_head.weight.shape[0]  # the original layout has no rows for image and padding tokens
    decoder = dataclasses.replace(geometry.decoder, vocabulary=rows)
    return tiny_llava, dataclasses.replace(geometry, decoder=decoder)


def _text(backbone, answer):
    """Lengths of the prompts an answer was asked with."""
    prompts = [backbone._tokenise(prompt, image=True, probe=None) for prompt in answer.prompts]
    focus = 0
    if prompts[1:] and FOCUS_ON_EMOTION in answer.prompts[0]:
        focus = len(backbone._tokenise(answer.prompts[0], image=True, probe=FOCUS_ON_EMOTION).probed)
    texts = [prompt.after for prompt in prompts]
    shared = cost.common_start(*texts[:2]) if texts[1:] else 0
    return cost.Text(len(prompts[0].before), tuple(map(len, texts)), focus, shared)


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
    expected = cost.flops(geometry, method.work(geometry, _text(backbone, answer)))
    assert counter.get_total_flops() == expected


def test_torch_counts_the_same_step_where_layers_differ_in_length(llava_oracle):
    """The token behind a pruned prompt, which sees less of it in later layers."""
    folder = "sparsevlm_reference/n64/original"
    backbone = load_backbone("llava", str(ORACLES / folder), device="cpu")
    visual, prune = backbone.see(llava_oracle.images[:1]), Sparsify((20, 10, 5))
    reading = backbone.read(["What is it?"], visual, prune=prune)
    lengths = [layer.shape[1] for layer in reading.attended]
    left = tuple((layer, lengths[layer + 1]) for layer in prune.layers)
    assert len(set(lengths)) == 4
    for written in (1, 3):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            backbone.write(reading, written + 1)
        wanted = cost.Work((), (cost.Read(lengths[0], left=left),))
        geometry = geometry_from_configs(_config(folder), _config("llava15_tiny/hf")["vision_config"])
        assert counter.get_total_flops() == cost.writing(geometry, wanted, written)


def test_sparsevlm_prunes_as_counted():
    prune, tokens = Sparsify(KEPT[192]), torch.randn(576, 4, generator=torch.Generator().manual_seed(0))
    geometry = known_checkpoint("llava-1.5-7b").geometry
    (read,) = get_method("sparsevlm", budget=192).work(geometry, cost.Text(before=35, after=(70,))).reads
    assert read.tokens == 576 + 105
    for layer, left in read.left:
        kept, merged, _ = prune.step(layer, tokens, torch.arange(len(tokens)).float())
        tokens = torch.cat([tokens[kept], merged])
        assert left == len(tokens) + 105
    assert [layer for layer, _ in read.left] == [2, 6, 15]


def test_full_size():
    """Twice the parameters for every token, and little more: 6.6e9 in the layers, 0.3e9 in the tower, 577 patches."""
    geometry = known_checkpoint("llava-1.5-7b").geometry
    one, two = cost.Text(before=35, after=(70,)), cost.Text(before=35, after=(82, 57), probed=6)
    price = {
        "zero_shot": cost.flops(geometry, get_method("zero_shot").work(geometry, one)),
        "sepm": cost.flops(geometry, get_method("sepm").work(geometry, two)),
        "sepm reuse": cost.flops(geometry, get_method("sepm", reuse=True).work(geometry, two)),
    }
    assert price["zero_shot"] == pytest.approx(2 * (6.48e9 * 681 + 0.303e9 * 577), rel=0.05)
    assert 1.7 < price["sepm"] / price["zero_shot"] < 1.85
    assert 1.05 < price["sepm reuse"] / price["zero_shot"] < 1.15
    assert known_checkpoint("llama-3-vila1.5-8b").geometry.visual_tokens() == 196

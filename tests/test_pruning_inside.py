"""FastV and PyramidDrop against the numbers of their own code, with 16 and with 576 visual tokens."""

import numpy as np
import pytest
import torch
from conftest import ORACLES, Oracle

from sepm_eval import get_method, load_backbone
from sepm_eval.backbone import cost, pruning
from sepm_eval.backbone import probe as probes
from sepm_eval.backbone.geometry import geometry_from_configs

WEIGHTS = {"n16": "llava15_tiny", "n576": "sparsevlm_reference/n576"}
TOLERANCE = {"n16": 1e-5, "n576": 1e-6}  # of scores
RATIO = {"default": 0.5, "gentle": 0.75}


LAYERS = [
    ("n16", 1),
    ("n16", 2),
    ("n576", 1),
    ("n576", 2),
    ("n576", 3),
]  # n16 has three layers


@pytest.fixture(scope="module")
def models():
    """Of each size the model, and its visual tokens."""
    found = {}
    for name, folder in WEIGHTS.items():
        backbone = load_backbone("llava", str(ORACLES / folder / "original"), device="cpu")
        found[name] = backbone, backbone.see(Oracle(folder).images)
    return found


@pytest.fixture
def chosen(monkeypatch):
    """Scores and kept indices of every row, in the order in which they are chosen."""
    found, highest = [], pruning.highest

    def noted(scores, count):
        kept = highest(scores, count)
        found.append((scores.numpy(), kept.tolist()))
        return kept

    monkeypatch.setattr(pruning, "highest", noted)
    return found


def numbers(method):
    with np.load(ORACLES / method / "oracle.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("name", "layer"), LAYERS)
@pytest.mark.parametrize("keep", [192, 128, 64])
def test_fastv(models, stage_one_question, chosen, name, layer, keep):
    backbone, visual = models[name]
    oracle = numbers("fastv")
    reading = backbone.read([stage_one_question] * 3, visual, prune=get_method("fastv", keep=keep, layer=layer).cut)
    expected = f"{name}/K{layer}/B{keep}"
    assert len(chosen) == 3
    for row, (scores, kept) in enumerate(chosen):
        np.testing.assert_allclose(scores, oracle[f"{name}/K{layer}/score"][row], atol=TOLERANCE[name], rtol=0)
        assert kept == oracle[f"{expected}/kept"][row].tolist()
    np.testing.assert_allclose(reading.logits.numpy(), oracle[f"{expected}/logits_last"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("run", RATIO)
def test_pyramiddrop(models, stage_one_question, chosen, name, run):
    backbone, visual = models[name]
    oracle = numbers("pyramiddrop")
    reading = backbone.read([stage_one_question] * 3, visual, prune=get_method("pyramiddrop", ratio=RATIO[run]).cut)
    assert len(chosen) == 3 * (2 if name == "n16" else 3)
    for index, (scores, kept) in enumerate(chosen):
        stage, row = divmod(index, 3)
        expected = f"{name}/{run}/stage{stage}"
        np.testing.assert_allclose(scores, oracle[f"{expected}/score"][row], atol=TOLERANCE[name], rtol=0)
        assert kept == oracle[f"{expected}/kept_in_entering"][row].tolist()
    np.testing.assert_allclose(reading.logits.numpy(), oracle[f"{name}/{run}/logits_last"], atol=1e-4, rtol=0)
    assert backbone._language_model.write(reading, 5) == oracle[f"{name}/{run}/greedy_ids"].tolist()


METHODS = [("fastv", {"keep": 128, "layer": 1}), ("fastv", {"budget": 500}), ("pyramiddrop", {"ratio": 0.5})]


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_prompts_of_different_length_share_a_batch(models, stage_one_question, method, options):
    backbone, visual = models["n16"]
    longer, cut = f"{stage_one_question}\nAnswer now, and answer directly.", get_method(method, **options).cut
    prompts = [stage_one_question, longer, longer]
    mixed = backbone.read(prompts, visual, prune=cut)
    written = backbone._language_model.write(mixed, 6)
    for row, prompt in enumerate(prompts):
        alone = backbone.read([prompt], visual[[row]], prune=cut)
        torch.testing.assert_close(mixed.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        assert mixed.visual_left[row] == alone.visual_left[0]
        assert backbone._language_model.write(alone, 6) == [written[row]]


def test_fastv_writes_on_at_the_positions_of_the_whole_prompt(models, stage_one_question, chosen):
    """What was dropped is gone from a layer on, and nothing else changes: as masking it there in a whole reading."""
    backbone, visual = models["n16"]
    reading = backbone.read([stage_one_question], visual[[0]], prune=get_method("fastv", keep=192, layer=2).cut)
    ((_, kept),) = chosen
    model, prompt = backbone._language_model, backbone._tokenise(stage_one_question, image=True, probe=None)
    (written,) = model.write(reading, 6)
    features, begin = visual.pictures[0].features, len(prompt.before)
    dropped = [begin + place for place in range(len(features)) if place not in kept]
    for count in range(len(written)):
        with torch.inference_mode():
            words = model.decoder.get_input_embeddings()(torch.tensor(prompt.before + prompt.after + written[:count]))
            hidden = torch.cat([words[:begin], features, words[begin:]])[None]
            places = torch.arange(hidden.shape[1])[None]
            turned = model.decoder.rotary_emb(hidden, position_ids=places)
            for index, layer in enumerate(model.decoder.layers):
                seen = torch.ones(hidden.shape[1], hidden.shape[1], dtype=torch.bool).tril()
                if index >= 2:
                    seen[:, dropped] = False
                    seen.fill_diagonal_(True)
                hidden = layer(hidden, attention_mask=seen[None, None], position_embeddings=turned)
            logits = model.head(model.decoder.norm(hidden)[:, -1])[0, : model.vocab_size]
        if count == 0:
            torch.testing.assert_close(reading.logits[0], logits, atol=1e-5, rtol=1e-5)
        assert int(logits.argmax()) == written[count]


@pytest.mark.parametrize(("method", "budget"), [("fastv", 192), ("fastv", 128), ("pyramiddrop", 192), ("fastv", 0.5)])
def test_a_budget_is_the_average_over_the_layers_of_the_model(models, stage_one_question, method, budget):
    backbone, visual = models["n576"]
    reading = backbone.read([stage_one_question], visual[[0]], prune=get_method(method, budget=budget).cut)
    (left,) = reading.visual_left
    assert left[0] == 576
    assert sum(left) / len(left) == pytest.approx(budget if budget > 1 else budget * 576, abs=0.5)
    assert [int(layer.sum()) - int(reading.attended[0].sum()) + 576 for layer in reading.attended] == list(left)


def test_a_model_too_shallow_for_a_budget_keeps_what_llava_would():
    """166 of 576 after two of 32 layers average 192."""
    assert get_method("fastv", budget=192).cut.left(32, 576) == {1: 166}
    assert get_method("fastv", budget=192).cut.left(3, 576) == {1: 166}
    assert get_method("pyramiddrop", budget=192).cut.left(32, 576) == {7: 146, 15: 37, 23: 9}
    assert get_method("pyramiddrop", budget=192).cut.left(3, 576) == {0: 146, 1: 37}


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("pyramiddrop", {"budget": 128}, r"budget=128: the first quarter .* averages more than 144 of 576; choose"),
        ("pyramiddrop", {"budget": 144}, r"budget=144: the first quarter"),
        ("pyramiddrop", {"budget": 0.25}, r"budget=0\.25: the first quarter"),
        ("pyramiddrop", {"budget": 192, "ratio": 0.5}, r"budget=192 and ratio=0\.5: give one of them"),
        ("pyramiddrop", {"ratio": 1.0}, r"ratio=1\.0: use a number above 0"),
        ("fastv", {"budget": 36}, r"budget=36: the first 2 .* averages more than 36 of 576; choose"),
        ("fastv", {"layer": 11}, r"budget=192: the first 11 .* averages more than 198 of 576"),
        ("fastv", {"budget": 192, "keep": 64}, "budget=192 and keep=64: give one of them"),
        ("fastv", {"layer": 0}, "layer=0: use a whole number from 1"),
        ("fastv", {"keep": 577}, "keep=577: use a whole number from 1 to 576"),
    ],
)
def test_what_cannot_be_reached_is_said_before_anything_is_loaded(method, options, message):
    with pytest.raises(ValueError, match=message):
        get_method(method, **options)


def test_a_model_without_a_layer_behind_the_cut_is_refused(models, stage_one_question):
    """It would be zero-shot under another's name."""
    backbone, visual = models["n16"]
    with pytest.raises(ValueError, match=r"nothing would be pruned: AfterLayer .* \[2\], and this model .* 0 to 2"):
        backbone.read([stage_one_question] * 3, visual, prune=get_method("fastv", keep=64, layer=3).cut)


@pytest.mark.parametrize("method", ["fastv", "pyramiddrop"])
def test_attention_that_is_no_number_is_an_error(models, stage_one_question, monkeypatch, method):
    backbone, visual = models["n16"]
    fill = probes.Probe.fill

    def overflow(self, layer, *args):
        fill(self, layer, *args)
        self.found[layer][1, 5] = torch.nan

    monkeypatch.setattr(probes.Probe, "fill", overflow)
    with pytest.raises(FloatingPointError, match=r"rates the visual tokens is NaN .* \(rows \[1\] of the batch\)"):
        backbone.read([stage_one_question] * 3, visual, prune=get_method(method).cut)


@pytest.mark.parametrize("method", ["fastv", "pyramiddrop"])
def test_work_is_what_a_reading_does(models, stage_one_question, method):
    """The tokens left after each layer, as the price has them."""
    backbone, visual = models["n576"]
    geometry = geometry_from_configs(
        {"hidden_size": 32, "num_hidden_layers": 17, "num_attention_heads": 4},
        {
            "image_size": 96,
            "patch_size": 4,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "model_type": "clip_vision_model",
        },
    )
    reading = backbone.read([stage_one_question], visual[[0]], prune=get_method(method).cut)
    lengths = [int(layer.sum()) for layer in reading.attended]
    around = lengths[0] - 576
    (read,) = get_method(method).work(geometry, cost.Text(before=around, after=(0,))).reads
    assert read.tokens == lengths[0]
    for layer, left in read.left:
        assert lengths[layer] > lengths[layer + 1] == left
    assert len(set(lengths)) == 1 + len(read.left)

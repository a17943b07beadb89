"""A model divided among devices answers as an undivided one, and so does one that another kernel computes."""

from __future__ import annotations

import gc
import json
import logging

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, attach_execution_device_hook
from conftest import ORACLES
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone import probe as probes
from sepm_eval.backbone.causal_lm import CausalLM, Prompt
from sepm_eval.backbone.writing import WritingState, positions
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.sparsevlm import Sparsify
from sepm_eval.model_wrappers._loading import tell_of_disk
from sepm_eval.model_wrappers._memory import NotEnoughMemory

LAYOUTS = {
    "llava-hf": ("llava", ORACLES / "llava15_tiny" / "hf"),
    "llava-original": ("llava", ORACLES / "llava15_tiny" / "original"),
    "vila": ("vila", ORACLES / "vila15_tiny" / "checkpoint"),
}
LLAVA_MAP = {
    "model.vision_tower": "cpu",
    "model.multi_modal_projector": "disk",
    "model.language_model.embed_tokens": "disk",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.layers.2": "disk",
    "": "cpu",
}
VILA_MAP = {
    "vision_tower.embeddings": "disk",
    "vision_tower.encoder.layers.1": "disk",
    "llm.model.embed_tokens": "disk",
    "llm.model.layers.1": "disk",
    "llm.model.layers.2": "disk",
    "": "cpu",
}
MAPS = {
    "by hand": {"llava": {"device_map": LLAVA_MAP}, "vila": {"device_map": json.dumps(VILA_MAP)}},
    "auto": {"llava": {"device_map": "auto"}, "vila": {"device_map": "auto"}},
    "auto, little memory": {
        "llava": {"device_map": "auto", "max_memory": '{"cpu": "700KB"}'},
        "vila": {"device_map": "auto", "max_memory": {"cpu": "700KB"}},
    },
    "balanced, little memory": {
        "llava": {"device_map": "balanced", "max_memory": {"cpu": 700_000}},
        "vila": {"device_map": "balanced", "max_memory": {"cpu": 700_000}},
    },
    "one device": {"llava": {"device_map": {"": "cpu"}}, "vila": {"device_map": '{"": "cpu"}'}},
}
FIRST = "Please focus on emotion.\nPositive or negative?"
OTHER = "Please focus on emotion.\nWhich of these?\nA. Awe\nC. Fear"


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


@pytest.fixture(scope="module")
def undivided(layout):
    return load_backbone(layout[0], str(layout[1]), device="cpu", dtype="float32")


def all_of(backbone, images):
    """Every way in which a backbone reads and writes: logits, attention, texts."""
    visual = backbone.see(images)
    (count,) = set(visual.counts)
    torch.manual_seed(3)
    keep = list(torch.rand(len(images), count).argsort() < count * 3 // 4)
    probed = backbone.read([FIRST, OTHER, FIRST], visual, probe="Please focus on emotion.")
    dropped = backbone.read([OTHER] * 3, visual, keep=keep)
    pruned = backbone.read([OTHER] * 3, visual, prune=Sparsify((count // 2, count // 4), (0, 1)))
    reused = backbone.read([OTHER] * 3, visual, keep=keep, prefix=probed)
    texts = [text for one in (probed, dropped, pruned, reused) for text in backbone.write(one, 4)]
    smaller = backbone.read([OTHER] * 3, backbone.see(images, 0.5))
    logits = [one.logits for one in (probed, dropped, pruned, reused, smaller)]
    return torch.cat([torch.stack(logits).flatten(), *probed.probe_attention]), texts


@pytest.mark.parametrize("division", MAPS)
def test_a_divided_model_answers_as_an_undivided_one(layout, undivided, llava_oracle, division):
    family, folder = layout
    backbone = load_backbone(family, str(folder), device="cpu", dtype="float32", **MAPS[division][family])
    held_back = any(one.device.type == "meta" for one in backbone._language_model.decoder.parameters())
    assert held_back == ("hand" in division or "little" in division), "no weight is on disk, so nothing is shown"
    found, texts = all_of(backbone, llava_oracle.images)
    expected, written = all_of(undivided, llava_oracle.images)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert texts == written
    assert backbone.settings == undivided.settings, "where a model lies decides no answer"


def test_sepm_on_a_divided_model(layout, undivided, llava_oracle):
    family, folder = layout
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in llava_oracle.images]
    backbone = load_backbone(family, str(folder), device="cpu", **MAPS["by hand"][family])
    for options in ({}, {"reuse": True}):
        found, expected = (get_method("sepm", **options).answer(questions, one) for one in (backbone, undivided))
        assert [one.text for one in found] == [one.text for one in expected]


def test_what_is_kept_on_disk_goes_with_the_model(layout, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    family, folder = layout
    with caplog.at_level(logging.WARNING, logger="sepm_eval"):
        backbone = load_backbone(family, str(folder), device="cpu", **MAPS["by hand"][family])
    assert "are on disk and read again at every step" in caplog.text
    assert list(tmp_path.glob("sepm_eval_offload_*"))
    del backbone
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_all_on_disk_and_never_fetched_is_refused():
    """Older releases of transformers put no hooks on a model that has one place, even if that is the disk."""
    model = torch.nn.Linear(2, 2, device="meta")
    model.hf_device_map = {"": "disk"}
    with pytest.raises(NotEnoughMemory, match="tiny cannot be loaded: max_memory leaves no part of it in memory"):
        tell_of_disk("tiny", model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "everywhere"}, r"device_map='everywhere': use auto, balanced, or a JSON object"),
        ({"device_map": "[1]"}, "use auto, balanced, or a JSON object"),
        (
            {"device_map": {"": "toaster"}},
            "device_map puts '' on 'toaster': use a GPU's number, cpu, mps, cuda:N or disk",
        ),
        ({"device_map": {"": "meta"}}, "device_map puts '' on 'meta'"),
        ({"device_map": {"": "disk"}}, "names only disk"),
        ({"device_map": {}}, "names only disk"),
        ({"device_map": "auto", "max_memory": "10GiB"}, "max_memory='10GiB': give a JSON object of sizes"),
        ({"device_map": "auto", "max_memory": {"cpu": "much"}}, "max_memory gives 'cpu' 'much'"),
        ({"device_map": "auto", "max_memory": {"toaster": "1GiB"}}, "max_memory names 'toaster'"),
        ({"max_memory": {"cpu": "1GiB"}}, "goes with device_map=auto or device_map=balanced"),
        ({"load_in_4bit": "yes"}, "load_in_4bit='yes': use True or False"),
        (
            {"load_in_4bit": True, "load_in_8bit": True},
            "give one of load_in_4bit, load_in_8bit and quantization_config",
        ),
        ({"load_in_4bit": True, "quantization_config": "nf4"}, "give one of load_in_4bit"),
        ({"quantization_config": "tiny"}, "quantization_config='tiny': use one of nf4, fp4, int8, torchao-int8"),
        ({"quantization_config": '{"quant_method": "awq"}'}, "with quant_method bitsandbytes or torchao"),
        ({"quantization_config": "[4]"}, "with quant_method bitsandbytes or torchao"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": "x"}}, "cannot be used"),
        ({"attn_implementation": "fast"}, "attn_implementation='fast': use one of sdpa, flash_attention_2, eager"),
        (
            {"attn_implementation": "flash_attention_2"},
            r"needs a CUDA GPU and the package flash-attn \(pip install flash-attn\) and dtype=bfloat16 or float16, "
            "not float32; attn_implementation=sdpa runs here",
        ),
    ],
)
def test_impossible_settings_are_refused_before_weights_are_read(layout, monkeypatch, options, message):
    def read(*_, **__):
        raise AssertionError("weights were read")

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", read)
    with pytest.raises(ValueError, match=message):
        load_backbone(layout[0], str(layout[1]), device="cpu", **options)


@pytest.mark.parametrize(
    ("family", "device_map", "message"),
    [
        (
            "llava-hf",
            {"model.language": "cpu"},
            r"names \['model.language'\], which are no modules of the model; it has",
        ),
        ("llava-hf", {"model": "cpu"}, r"gives no place to \['lm_head.weight'\]; \"\" stands for all"),
        ("vila", {"language": "cpu"}, r"names \['language'\], which begin with none of the parts llm, vision_tower"),
        ("vila", {"vision_tower": "cpu"}, "device_map gives no place to"),
        ("vila", {"": "cpu", "llm.layers.0": "disk"}, "which are no modules"),
        ("vila", {"": "cpu", "vision_tower": "disk"}, "puts all of vision_tower on disk"),
        ("vila", {"": "cpu", "mm_projector.layers": "disk"}, "mm_projector the places .*cpu.*disk.* is not divided"),
    ],
)
def test_a_map_that_does_not_fit_the_model_is_refused(family, device_map, message):
    name, folder = LAYOUTS[family]
    with pytest.raises(ValueError, match=message):
        load_backbone(name, str(folder), device="cpu", device_map=device_map)


# Two GPUs, without one: fake tensors have shapes and places, and to mix places is an error

PLACES = {
    "model.embed_tokens": "cuda:0",
    "model.rotary_emb": "cuda:0",
    "model.layers.0": "cuda:0",
    "model.layers.1": "cuda:1",
    "model.layers.2": "cuda:1",
    "model.norm": "cuda:1",
    "lm_head": "cuda:1",
}


@pytest.fixture
def two_gpus(monkeypatch):
    """A decoder with accelerate's hooks, half of it on either of two GPUs that are not there."""
    config = LlamaConfig(
        vocab_size=90, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6
    )

    def begin(layer, keys, values):  # transformers' own asks the driver for memory
        layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
        layer.keys, layer.values = keys[:, :, :0], values[:, :, :0]

    monkeypatch.setattr(DynamicLayer, "lazy_initialization", begin)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
        for name, place in PLACES.items():
            module, skip = model.get_submodule(name), model._skip_keys_device_placement
            for part in module.modules():
                for key, weight in part.named_parameters(recurse=False):
                    moved = torch.empty_like(weight, device=place)
                    part._parameters[key] = torch.nn.Parameter(moved, requires_grad=False)
                part._buffers.update({key: torch.empty_like(one, device=place) for key, one in part._buffers.items()})
            add_hook_to_module(module, AlignDevicesHook(torch.device(place), skip_keys=skip))
            attach_execution_device_hook(module, torch.device(place), skip_keys=skip)
        yield CausalLM(model.model, model.lm_head, vocab_size=90, stop_ids=[1])


def test_no_step_mixes_the_places_of_a_divided_model(two_gpus):
    """What is kept of a reading lies with the embeddings, but for keys and values, which lie with their layers."""
    prompts = [Prompt([1, 2], [3, 4, 5], [0, 1]), Prompt([1, 2], [3, 4, 5, 6], [1])]
    reading = two_gpus.read(prompts, list(torch.randn(2, 4, 48, device="cuda:1")), None, "last")
    home, away = torch.device("cuda:0"), torch.device("cuda:1")
    assert two_gpus.device == home
    assert [reading.logits.device, reading.probe_attention[0].device, reading.attended[0].device] == [home] * 3
    assert [layer.keys.device for layer in reading.cache.layers] == [home, away, away]
    end = WritingState.of(reading)
    with torch.inference_mode():
        hidden = two_gpus._step(torch.tensor([3, 4], device=home), end)
        assert two_gpus._logits(hidden).device == home
        hidden, attended = torch.randn(2, 5, 48, device=home), torch.ones(2, 5, dtype=torch.bool, device=home)
        for layer in range(3):  # as between removals of tokens
            request = two_gpus._request([Prompt([], [1, 2, 3], [1])] * 2, attended, (layer,))
            cache = DynamicCache()
            cache.layers = [DynamicLayer() for _ in range(3)]
            hidden = two_gpus._layer(layer, hidden, attended, positions(attended), cache, request, layer == 2)
            assert {hidden.device, request.answered().device} == {home}


def test_of_a_model_on_disk_the_place_is_where_it_computes():
    device_map = {"model.language_model.embed_tokens": "disk", "model.vision_tower": "disk", "": "cpu"}
    backbone = load_backbone("llava", str(ORACLES / "llava15_tiny" / "hf"), device_map=device_map)
    assert next(backbone._language_model.decoder.parameters()).device.type == "meta"
    assert backbone._language_model.device == torch.device("cpu")


# Kernels


def test_eager_attention_answers_as_sdpa(layout, undivided, llava_oracle):
    family, folder = layout
    eager = load_backbone(family, str(folder), device="cpu", attn_implementation="eager")
    found, texts = all_of(eager, llava_oracle.images)
    expected, written = all_of(undivided, llava_oracle.images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert texts == written
    assert eager.settings["attn_implementation"] == "eager" != undivided.settings["attn_implementation"]
    assert eager._language_model.decoder.config._attn_implementation == "sepm_eval_probed_eager"
    tower = eager._tower if family == "vila" else eager._model.model.vision_tower
    assert tower.config._attn_implementation == "eager"


def test_flash_attention_is_asked_as_transformers_asks_it(layout, undivided, llava_oracle, flash):
    """The kernel is a stand-in; what is shown is that probe, masks and pruning reach it in its own form."""
    family, folder = layout
    backbone = load_backbone(family, str(folder), device="cpu", attn_implementation="flash_attention_2")
    assert backbone._language_model.decoder.config._attn_implementation == "flash_attention_2"
    flash.clear()
    found, texts = all_of(backbone, llava_oracle.images)
    assert len(flash) > 20
    assert any(mask is not None for mask in flash), "no prompt was padded"
    expected, written = all_of(undivided, llava_oracle.images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert texts == written


def test_a_kernel_that_cannot_be_probed_is_refused():
    model = LlamaForCausalLM(LlamaConfig(vocab_size=90, hidden_size=48, num_hidden_layers=1, num_attention_heads=6))
    model.set_attn_implementation("flex_attention")
    with pytest.raises(ValueError, match="attn_implementation='flex_attention' cannot be probed: use one of"):
        probes.install(model.model)

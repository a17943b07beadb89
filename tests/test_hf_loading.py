"""Loading with ``hf``: divided, quantised, with every kernel, in little memory, and half-downloaded checkpoints."""

from __future__ import annotations

import functools
import json
import logging
import shutil
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from PIL import Image
from tiny_families import ORACLES
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel
from transformers.quantizers import auto as quantizers
from untouched import KEYS, Untouched

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.shards import bytes_in_memory
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.sparsevlm import Sparsify
from sepm_eval.model_wrappers import _memory, _placement
from sepm_eval.model_wrappers._loading import outside_decoder
from sepm_eval.model_wrappers._memory import NotEnoughMemory

LANGUAGE = {"model.language_model.embed_tokens": "disk", "model.language_model.layers.1": "disk", "": "cpu"}
MAPS = {
    "qwen2_5_vl": {"model.visual.blocks.1": "disk", "model.visual.merger": "disk", **LANGUAGE},
    "qwen3_vl": {"model.visual.blocks.1": "disk", "model.visual.patch_embed": "disk", **LANGUAGE},
    "internvl": {"model.vision_tower.embeddings": "disk", "model.multi_modal_projector": "disk", **LANGUAGE},
    "gemma3": {"model.vision_tower.embeddings": "disk", "model.multi_modal_projector": "disk", **LANGUAGE},
    "glm4v": {"model.visual": "disk", "": "cpu"},
}
FOCUS = "Please focus on emotion."
PROMPTS = [f"{FOCUS} A or B?", f"{FOCUS} What do you feel, A, B or C?"]
GRADIENT = Image.linear_gradient("L")
IMAGES = [GRADIENT.resize((90, 60)).convert("RGB"), GRADIENT.rotate(90).resize((60, 110)).convert("RGB")]


def load(family, folder=None, **options):
    return load_backbone("hf", str(folder or ORACLES / family), device="cpu", **options)


@functools.cache
def undivided(family):
    return load(family)


def all_of(backbone):
    """Every way in which a backbone reads and writes: numbers, texts."""
    visual = backbone.see(IMAGES)
    keep = [(torch.arange(len(one)) % 3 != 1) | one.separators.cpu() for one in visual.pictures]
    probed = backbone.read(PROMPTS, visual, probe=FOCUS, probe_layers="all")
    found = [probed, backbone.read(PROMPTS[::-1], visual, keep=keep)]
    if "reuse" in backbone.supports:
        found.append(backbone.read(PROMPTS, visual, keep=keep, prefix=backbone.read(PROMPTS, visual)))
    if "prune" in backbone.supports:
        acts = (Sparsify((9, 5), (0, 2)), get_method("fastv", keep=0.5).cut, get_method("pyramiddrop").cut)
        found += [backbone.read(PROMPTS, visual, prune=prune) for prune in acts]
    texts = [text for one in found for text in backbone.write(one, 4)]
    return torch.cat([*(one.logits.flatten() for one in found), *probed.probe_attention]), texts


def on_disk(backbone):
    weights = list(backbone._decoder.model.parameters())
    return sum(one.device.type == "meta" for one in weights) / len(weights)


@pytest.mark.parametrize("family", MAPS)
@pytest.mark.parametrize("division", ["by hand", "as JSON", "auto", "auto, little memory", "one device"])
def test_a_divided_model_answers_as_an_undivided_one(family, division):
    half = {"cpu": bytes_in_memory(ORACLES / family, 4) // 2}
    options = {
        "by hand": {"device_map": MAPS[family]},
        "as JSON": {"device_map": json.dumps(MAPS[family])},
        "auto": {"device_map": "auto"},
        "auto, little memory": {"device_map": "auto", "max_memory": half},
        "one device": {"device_map": {"": "cpu"}},
    }[division]
    backbone = load(family, **options)
    if division in ("auto", "one device"):
        assert on_disk(backbone) == 0
    else:
        assert on_disk(backbone) > 0.1, "too few weights are on disk, so nothing is shown"
    found, texts = all_of(backbone)
    expected, written = all_of(undivided(family))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert texts == written
    assert backbone.settings == undivided(family).settings, "where a model lies decides no answer"


def test_sepm_on_a_divided_model():
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in IMAGES]
    divided = load("qwen2_5_vl", device_map=MAPS["qwen2_5_vl"])
    for options in ({}, {"reuse": True}):
        found, expected = (
            get_method("sepm", **options).answer(questions, one) for one in (divided, undivided("qwen2_5_vl"))
        )
        assert [one.text for one in found] == [one.text for one in expected]


def test_a_map_that_names_no_module_is_refused():
    with pytest.raises(ValueError, match=r"names \['model.vision'\], which are no modules of the model; it has"):
        load("internvl", device_map={"": "cpu", "model.vision": "disk"})


# Kernels


@pytest.mark.parametrize("family", [*MAPS, "llava_next", "qwen3_5"])
def test_eager_attention_answers_as_sdpa(family):
    eager = load(family, attn_implementation="eager")
    found, texts = all_of(eager)
    expected, written = all_of(undivided(family))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert texts == written
    assert (eager.settings["attn_implementation"], undivided(family).settings["attn_implementation"]) == (
        "eager",
        "sdpa",
    )
    assert eager._decoder.model.get_decoder().config._attn_implementation == "sepm_eval_watchedeager"


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "internvl"])
@pytest.mark.parametrize("positions", ["auto", "kept"])
def test_flash_attention_is_asked_as_transformers_asks_it(family, positions, flash):
    """The kernel is a stand-in; what is shown is that probe and masks reach it in its own form."""
    backbone = load(family, attn_implementation="flash_attention_2", positions=positions)
    flash.clear()
    found, texts = all_of(backbone)
    assert len(flash) > 10
    assert any(mask is not None for mask in flash), "no prompt was padded"
    expected, written = all_of(load(family, positions=positions))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert texts == written
    assert backbone.settings["attn_implementation"] == "flash_attention_2"


@pytest.mark.parametrize(
    ("family", "said"),
    [("gemma3", "what is read of a picture differs from the model's own"), ("paligemma", "reads prompts both ways")],
)
def test_flash_attention_reads_pictures_one_way_only(family, said, flash):
    """Visual tokens that see each other, which it cannot be told."""
    with pytest.raises(ValueError, match=said):
        load(family, attn_implementation="flash_attention_2")


def test_two_backbones_with_flash_attention_in_one_process(flash):
    """Transformers finds the kernel by its name alone, which both register."""
    tiny = ORACLES.parent / "llava15_tiny" / "hf"
    backbones = [load("internvl", attn_implementation="flash_attention_2")]
    backbones.append(load_backbone("llava", str(tiny), device="cpu", attn_implementation="flash_attention_2"))
    for backbone in [*backbones, *backbones]:
        (found,) = backbone.read(PROMPTS[:1], backbone.see(IMAGES[:1]), probe=FOCUS).probe_attention
        assert (found > 0).all()


# Quantisation


@pytest.fixture
def untouched(monkeypatch):
    Untouched.asked.clear()
    for key in KEYS:
        monkeypatch.setitem(quantizers.AUTO_QUANTIZER_MAPPING, key, Untouched)
    return Untouched.asked


@pytest.mark.parametrize(
    ("family", "spared"),
    [
        ("qwen2_5_vl", ["model.visual", "lm_head"]),
        ("internvl", ["model.vision_tower", "model.multi_modal_projector", "lm_head"]),
        ("gemma3", ["model.vision_tower", "model.multi_modal_projector", "lm_head"]),
        ("smolvlm", ["model.vision_model", "model.connector", "lm_head"]),
    ],
)
def test_the_language_model_alone_is_quantised_and_it_is_recorded(family, spared, untouched):
    recorded = {
        str(options): load(family, **options).settings["quantization_config"]
        for options in ({}, {"load_in_4bit": True}, {"load_in_8bit": True}, {"quantization_config": "nf4"})
    }
    assert recorded["{}"] == "none"
    assert len(set(recorded.values())) == 4
    assert [config.llm_int8_skip_modules for _, config in untouched] == [spared] * 3
    assert json.loads(recorded["{'load_in_4bit': True}"])["llm_int8_skip_modules"] == spared
    assert undivided(family).settings["dtype"] == "float32"


def test_what_lies_around_the_decoder_is_told_by_the_models_own_names():
    for family in sorted(path.name for path in ORACLES.iterdir() if path.is_dir()):
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(ORACLES / family))
        outside, decoder = outside_decoder(model), model.get_decoder()
        around = {id(one) for name in outside for one in model.get_submodule(name).parameters()}
        inside = {id(one) for one in decoder.parameters()}
        bare = {id(one) for one in model.parameters()} - around - inside
        assert len(bare) <= 1, "of parameters that belong to no part there is LLaVA-NeXT's line break"
        assert outside[-1] == "lm_head"


def test_quantisation_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False)
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(ValueError, match=r"needs the package bitsandbytes \(pip install bitsandbytes\)"):
        load("qwen2_5_vl", load_in_4bit=True)


# Memory


def test_too_little_memory_is_one_sentence_with_the_remedy(monkeypatch):
    for module in (_memory, _placement):
        monkeypatch.setattr(module, "free_memory", lambda device: 100_000)
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(NotEnoughMemory, match=r"its weights need .* dtype=bfloat16 needs .*load_in_4bit=True"):
        load("qwen2_5_vl", dtype="float32")


def test_auto_takes_bfloat16_on_a_cpu_where_float32_does_not_fit(monkeypatch, caplog):
    whole = bytes_in_memory(ORACLES / "internvl", 4)
    for free, dtype in ((whole, "float32"), (whole - 1, "bfloat16")):
        for module in (_memory, _placement):
            monkeypatch.setattr(module, "free_memory", lambda device, free=free: free)
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="sepm_eval"):
            backbone = load("internvl")
        assert backbone.settings["dtype"] == dtype
        assert next(backbone._decoder.model.parameters()).dtype == getattr(torch, dtype)
        said = [record for record in caplog.records if "dtype=auto takes bfloat16" in record.getMessage()]
        assert len(said) == (dtype == "bfloat16")


@pytest.mark.parametrize("entry", ["hf", "llava"])
def test_lmms_evals_command_ends_with_status_1(entry, tmp_path, monkeypatch):
    """Its own loop would print a trace, and end with 0; to a program that imports it the error is its own."""
    from sepm_eval.hosts.lmms_eval import model as entries

    for module in (_memory, _placement):
        monkeypatch.setattr(module, "free_memory", lambda device: 100_000)
    monkeypatch.setattr("sys.argv", ["/usr/bin/lmms-eval", "--model", f"sepm_{entry}"])
    folder = ORACLES / "internvl" if entry == "hf" else ORACLES.parent / "llava15_tiny" / "hf"
    given = {"pretrained": str(folder), "device": "cpu", "dtype": "float32", "journal": str(tmp_path / "journal.jsonl")}
    with pytest.raises(SystemExit, match=r"sepm_eval: .* cannot be loaded: its weights need .*dtype=bfloat16") as end:
        getattr(entries, f"sepm_{entry}")(**given)
    assert "\n" not in str(end.value)
    monkeypatch.setattr("sys.argv", ["/usr/bin/sepm-eval", "run", "plan.yaml"])
    with pytest.raises(NotEnoughMemory):
        getattr(entries, f"sepm_{entry}")(**given)


def test_lmms_evals_loop_lets_that_status_through(monkeypatch):
    """It goes on from an ``Exception`` to the next configuration, and ends with 0."""
    import lmms_eval.__main__ as command

    def single(args):
        raise SystemExit("sepm_eval: what is said")

    monkeypatch.setattr(command, "cli_evaluate_single", single)
    monkeypatch.setattr(command, "Accelerator", lambda **_: SimpleNamespace(is_main_process=True))
    monkeypatch.setattr(command, "eval_logger", MagicMock())  # it is set up anew for the process, as is the next
    monkeypatch.setenv("VERBOSITY", "INFO")
    monkeypatch.setattr("sys.argv", ["lmms-eval", "--model", "sepm_hf", "--tasks", "emotion_demo"])
    with pytest.raises(SystemExit, match="what is said"):
        command.cli_evaluate()


# Half-downloaded checkpoints


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of a tiny Qwen2.5-VL, of which no weight may be read."""
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))
    ignored = shutil.ignore_patterns("oracle.npz", "meta.json")
    return shutil.copytree(ORACLES / "qwen2_5_vl", tmp_path / "checkpoint", ignore=ignored)


def test_missing_weights_are_named(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no weights \(\*\.safetensors or pytorch_model\*\.bin\)"):
        load("", copy)


@pytest.mark.parametrize("left", [0, 4, 500, -1])
def test_weights_that_are_cut_off_are_named(copy, left):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(
        ValueError, match=r"model\.safetensors (is empty|is not a whole safetensors file|is cut off).*download"
    ):
        load("", copy)


def test_a_missing_shard_is_named(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    held = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": held}))
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002\.safetensors is missing"):
        load("", copy)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("tokenizer.json", "tokenizer.json is missing or of another checkpoint"),
        ("processor_config.json", "Can't load image processor"),
        ("chat_template.jinja", "its processor has no chat template"),
        ("config.json", "is not a model checkpoint: no config.json"),
    ],
)
def test_a_missing_part_is_named_before_weights_are_read(copy, lost, said):
    (copy / lost).unlink()
    with pytest.raises((ValueError, OSError), match=said) as caught:
        load("", copy)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused(tmp_path):
    ignored = shutil.ignore_patterns("oracle.npz", "meta.json")
    folder = shutil.copytree(ORACLES / "qwen2_5_vl", tmp_path / "checkpoint", ignore=ignored)
    shutil.copy(ORACLES / "internvl" / "model.safetensors", folder)
    with pytest.raises(ValueError, match="the weights do not fit the model"):
        load("", folder)

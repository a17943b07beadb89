"""VILA-1.5 against the numbers of the original code."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import ORACLES, stacked

from sepm_eval import load_backbone
from sepm_eval.model_wrappers._templates import LLAMA_3_AUG2024, LLAMA_3_MAY2024
from sepm_eval.model_wrappers._vila import downsample

CHECKPOINT = ORACLES / "vila15_tiny" / "checkpoint"


@pytest.fixture(scope="module", params=["may2024", "aug2024"])
def vila(request):
    return request.param, load_backbone("vila", str(CHECKPOINT), device="cpu", template=request.param)


@pytest.fixture(scope="module")
def question(vila_oracle):
    return vila_oracle.meta["question"]


def test_prompts_are_the_originals(vila_oracle, question):
    for template, name, length, digest in (
        (LLAMA_3_MAY2024, "may2024", 549, "672036c40e7dfe71"),
        (LLAMA_3_AUG2024, "aug2024", 542, "4eeaf4adda556d7d"),
    ):
        prompt = "<image>".join(template.around(question, image=True))
        assert prompt == vila_oracle.meta["prompts"][name]
        assert len(prompt.encode()) == length
        assert hashlib.sha256(prompt.encode()).hexdigest().startswith(digest)


def test_tokens_logits_and_attention(vila, vila_oracle, question, see_pixels):
    template, backbone = vila
    tokens = backbone._tokenise(question, image=True, probe="Please focus on emotion.")
    assert [*tokens.before, -200, *tokens.after] == vila_oracle[f"{template}/input_ids"].tolist()
    visual = see_pixels(backbone, vila_oracle["pixel_values"])
    np.testing.assert_allclose(stacked(visual).numpy(), vila_oracle["image_features"], atol=1e-4, rtol=0)
    reading = backbone.read([question] * 3, visual, probe="Please focus on emotion.")
    np.testing.assert_allclose(reading.logits.numpy(), vila_oracle[f"{template}/logits_last"], atol=1e-4, rtol=0)
    start = len(tokens.before)
    rows = [start + 9 + index for index in tokens.probed]
    attention = vila_oracle[f"{template}/attn_last_layer"][:, :, rows, start : start + 9].mean((1, 2))
    np.testing.assert_allclose(torch.stack(reading.probe_attention).numpy(), attention, atol=1e-5, rtol=0)


def test_greedy_continuation(vila, vila_oracle, question, see_pixels):
    template, backbone = vila
    reading = backbone.read([question] * 3, see_pixels(backbone, vila_oracle["pixel_values"]))
    expected = [[i for i in row if i >= 0] for row in vila_oracle[f"{template}/greedy_ids"][:, 1:].tolist()]
    assert backbone._language_model.write(reading, 8) == expected


def test_letters_are_bare(vila, vila_oracle):
    assert vila[1].letter_ids("AB") == [vila_oracle.meta["id_A"], vila_oracle.meta["id_B"]]


def test_pixels_are_bit_identical(tiny_vila, vila_oracle):
    pixels = tiny_vila._processor(vila_oracle.images, input_data_format="channels_last", return_tensors="np")
    np.testing.assert_array_equal(pixels["pixel_values"], vila_oracle.pixels("pixel_values"))


def test_downsampling_has_the_order_of_mid_2024(vila_oracle):
    """Each output token's four patches, tabulated by the original code; -1 is the zero padding of an odd grid."""
    patches = torch.from_numpy(vila_oracle["vision_selected"])
    torch.testing.assert_close(downsample(patches), torch.from_numpy(vila_oracle["downsampled"]), atol=1e-5, rtol=0)
    numbered = torch.arange(1, 26, dtype=torch.float32).view(1, 25, 1)
    np.testing.assert_array_equal(downsample(numbered)[0].numpy() - 1, vila_oracle["downsample_index_map"])


def _copy(tmp_path, name="checkpoint", part=None, **changes):
    folder = tmp_path / name
    shutil.copytree(CHECKPOINT, folder)
    path = folder / part / "config.json" if part else folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_tokenizer_that_adds_no_bos(tmp_path, vila_oracle, question):
    """The original procedure then cuts one token off both pieces: the line break after the image is lost."""
    folder = _copy(tmp_path)
    path = folder / "llm" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))
    backbone = load_backbone("vila", str(folder), device="cpu", template="may2024")
    tokens = backbone._tokenise(question, image=True, probe="focus on emotion")
    expected = vila_oracle["may2024/input_ids_tokenizer_without_bos"].tolist()
    assert [*tokens.before, -200, *tokens.after] == expected


@pytest.mark.parametrize(
    ("name", "template"), [("Llama-3-VILA1.5-8B", "may2024"), ("Llama-3-VILA1.5-8B-Fix", "aug2024")]
)
def test_the_template_follows_the_name(tmp_path, name, template):
    assert load_backbone("vila", str(_copy(tmp_path, name)), device="cpu").settings["template"] == template


def test_a_template_that_does_not_fit():
    with pytest.raises(ValueError, match=r"template='vicuna_v1': .* allows auto or one of \['may2024', 'aug2024'\]"):
        load_backbone("vila", str(CHECKPOINT), device="cpu", template="vicuna_v1")


def test_the_vicuna_models(tmp_path, picture, question):
    """VILA1.5-3b and -13b: the same layout around a Llama-2 vocabulary and LLaVA's prompt."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from sepm_eval import Question, get_method
    from sepm_eval.methods import find_methods

    torch.manual_seed(0)
    sizes = {"vocab_size": 640, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
    llm = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, bos_token_id=1, eos_token_id=2))
    folder = _copy(tmp_path, "VILA1.5-3b")
    shutil.rmtree(folder / "llm")
    llm.save_pretrained(folder / "llm")
    shutil.copy(ORACLES / "llava15_tiny" / "original" / "tokenizer.model", folder / "llm")
    backbone = load_backbone("vila", str(folder), device="cpu")
    assert backbone.settings["template"] == "vicuna_v1"
    llava = load_backbone("llava", str(ORACLES / "llava15_tiny" / "original"), device="cpu")
    assert backbone._tokenise(question, image=True, probe=None) == llava._tokenise(question, image=True, probe=None)
    assert backbone.letter_ids("ABCDEFGH") == llava.letter_ids("ABCDEFGH")
    for name in set(find_methods()) - {"cdpruner", "fastervlm", "vispruner"}:
        (answer,) = get_method(name).answer([Question(picture, ("joy", "fear"))], backbone)
        assert set(answer.option_probabilities) == {"joy", "fear"}


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (None, {"s2": True}, "not supported.*several scales"),
        (None, {"image_aspect_ratio": "dynamic_s2"}, "not supported.*NVILA"),
        ("llm", {"quantization_config": {"quant_method": "awq"}}, "not supported.*quantised"),
        ("vision_tower", {"model_type": "intern_vit_6b"}, "not supported.*InternViT"),
        ("mm_projector", {"mm_projector_type": "mlp_downsample_2x2_fix"}, "not supported.*2x2_fix"),
    ],
)
def test_other_vilas_are_refused_with_a_reason(tmp_path, part, changes, message):
    with pytest.raises(ValueError, match=message):
        load_backbone("vila", str(_copy(tmp_path, part=part, **changes)), device="cpu")


def test_a_llava_is_not_a_vila(tmp_path):
    with pytest.raises(ValueError, match=r"is not VILA-1\.5: .*lacks"):
        load_backbone("vila", str(ORACLES / "llava15_tiny" / "hf"), device="cpu")


def test_missing_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = _copy(tmp_path)
    weights = load_file(folder / "llm" / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "llm" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="do not fit the model"):
        load_backbone("vila", str(folder), device="cpu")
    (tmp_path / "again").mkdir()
    folder = _copy(tmp_path / "again")
    weights = load_file(folder / "mm_projector" / "model.safetensors")
    weights.pop("layers.2.bias")
    save_file(weights, folder / "mm_projector" / "model.safetensors")
    with pytest.raises(ValueError, match=r"do not fit the model.*layers\.2\.bias"):
        load_backbone("vila", str(folder), device="cpu")

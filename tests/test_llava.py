"""LLaVA-1.5 against the numbers of the original code, in both checkpoint layouts."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import ORACLES, stacked
from PIL import Image
from safetensors.torch import load_file, save_file

from sepm_eval import load_backbone
from sepm_eval.model_wrappers._llava import _image_processor
from sepm_eval.model_wrappers._templates import VICUNA_V1

TINY = ORACLES / "llava15_tiny"


def test_features_logits_and_attention(tiny_llava, llava_oracle, stage_one_question, see_pixels):
    visual = see_pixels(tiny_llava, llava_oracle["pixel_values_pad"])
    np.testing.assert_allclose(stacked(visual).numpy(), llava_oracle["image_features"], atol=1e-4, rtol=0)
    reading = tiny_llava.read([stage_one_question] * 3, visual, probe="Please focus on emotion.")
    np.testing.assert_allclose(reading.logits.numpy(), llava_oracle["logits_last"], atol=1e-4, rtol=0)
    tokens = tiny_llava._tokenise(stage_one_question, image=True, probe="Please focus on emotion.")
    rows = [len(tokens.before) + 16 + index for index in tokens.probed]
    attention = llava_oracle["attn_last_layer"][:, :, rows, 41:57].mean((1, 2))
    np.testing.assert_allclose(torch.stack(reading.probe_attention).numpy(), attention, atol=1e-5, rtol=0)


def test_greedy_continuation(tiny_llava, llava_oracle, stage_one_question):
    reading = tiny_llava.read([stage_one_question] * 3, tiny_llava.see(llava_oracle.images))
    written = tiny_llava._language_model.write(reading, 8)
    assert written == llava_oracle["greedy_ids"][:, 1:].tolist()
    again = tiny_llava._language_model.write(reading, 8, rows=[2])  # the reading was not used up
    assert again == written[2:]


def test_tokens_are_the_originals(tiny_llava, llava_oracle, stage_one_question):
    tokens = tiny_llava._tokenise(stage_one_question, image=True, probe="focus on emotion")
    assert [*tokens.before, -200, *tokens.after] == llava_oracle["input_ids"].tolist()
    assert tiny_llava.letter_ids("AB") == [llava_oracle.meta["id_A_space"], llava_oracle.meta["id_B_space"]]


def test_prompt_is_vicuna_v1_byte_for_byte(llava_oracle, stage_one_question):
    before, after = VICUNA_V1.around(stage_one_question, image=True)
    prompt = f"{before}<image>{after}"
    assert prompt == json.loads((ORACLES / "real_tokenizer_ids.json").read_text())["prompts"]["vicuna_v1"]["stage1"]
    assert len(prompt.encode()) == 358
    assert hashlib.sha256(prompt.encode()).hexdigest().startswith("e1dd3e2b7fe98d1f")


@pytest.mark.parametrize(("mode", "expected"), [("pad", "pixel_values_pad"), ("crop", "pixel_values_centercrop")])
def test_pixels_are_bit_identical(llava_oracle, mode, expected):
    processor = _image_processor(TINY / "clip-vit-tiny-patch14-56", 56, mode)
    pixels = processor(llava_oracle.images, input_data_format="channels_last", return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(pixels, llava_oracle.pixels(expected))


def test_padded_pixels_do_not_depend_on_pillow(llava_oracle):
    """A square becomes a square, which every version of Pillow resizes alike: LLaVA's own way has one set of pixels."""
    np.testing.assert_array_equal(llava_oracle.pixels("pixel_values_pad"), llava_oracle["pixel_values_pad"])
    for side, size in ((131, 56), (117, 56), (500, 336), (640, 336), (1024, 336)):
        square = Image.effect_noise((side, side), 90)
        passes = square.resize((size, side), Image.Resampling.BICUBIC).resize((size, size), Image.Resampling.BICUBIC)
        assert square.resize((size, size), Image.Resampling.BICUBIC).tobytes() == passes.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 50), (50, 3), (4, 4), (50, 1)])
def test_tiny_pictures_keep_their_channels(size):
    """A height of 1 or 3 must not be mistaken for the channel axis."""
    picture = Image.effect_noise(size, 90).convert("RGB")
    picture.putpixel((0, 0), (255, 0, 0))
    side = max(size)
    padded = Image.new("RGB", (side, side), (122, 116, 104))
    padded.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
    expected = np.asarray(padded.resize((56, 56), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    expected = (expected - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    processor = _image_processor(TINY / "clip-vit-tiny-patch14-56", 56, "pad")
    pixels = processor([picture], input_data_format="channels_last", return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(pixels[0].transpose(1, 2, 0), expected, atol=1e-5)


def test_logits_end_with_the_trained_vocabulary(tiny_llava, picture):
    reading = tiny_llava.read(["Hello"], tiny_llava.see([picture]))
    assert reading.logits.shape == (1, 640)
    assert reading.logits.dtype == torch.float32


def test_torch_weights_are_read_without_running_code(tmp_path, llava_oracle, stage_one_question):
    """The original layout with sharded .bin files, as liuhaotian/llava-v1.5-7b has them."""
    shutil.copytree(TINY / "clip-vit-tiny-patch14-56", tmp_path / "clip-vit-tiny-patch14-56")
    folder = tmp_path / "original"
    shutil.copytree(TINY / "original", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = load_file(TINY / "original" / "model.safetensors")
    names = sorted(weights)
    for shard, part in enumerate((names[::2], names[1::2]), start=1):
        torch.save({name: weights[name] for name in part}, folder / f"pytorch_model-0000{shard}-of-00002.bin")
    backbone = load_backbone("llava", str(folder), device="cpu")
    reading = backbone.read([stage_one_question] * 3, backbone.see(llava_oracle.images))
    np.testing.assert_allclose(reading.logits.numpy(), llava_oracle["logits_last"], atol=1e-4, rtol=0)


def test_buffers_that_old_releases_saved_are_no_obstacle(tmp_path):
    folder = _copy_with(tmp_path, "original")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tower = tmp_path / "clip-vit-tiny-patch14-56"
    weights = load_file(tower / "model.safetensors")
    weights["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(weights, tower / "model.safetensors", metadata={"format": "pt"})
    assert load_backbone("llava", str(folder), device="cpu").name == str(folder)


def test_a_hub_id_is_found_in_the_local_cache(tmp_path, monkeypatch):
    """Without a network: the snapshot that huggingface_hub has, and its commit as the revision."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--owner--tiny"
    shutil.copytree(TINY / "hf", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for pretrained in ("owner/tiny", f"owner/tiny@{commit}"):
        backbone = load_backbone("llava", pretrained, device="cpu")
        assert (backbone.name, backbone.revision) == (pretrained, commit)
    with pytest.raises(FileNotFoundError, match=r"owner/other could not be downloaded .*pretrained=demo"):
        load_backbone("llava", "owner/other")


def test_dtype_and_settings_are_recorded():
    backbone = load_backbone("llava", str(TINY / "hf"), device="cpu", dtype="bfloat16", image_aspect_ratio="crop")
    assert backbone.settings == {
        "dtype": "bfloat16",
        "template": "vicuna_v1",
        "image_aspect_ratio": "crop",
        "positions": "closed",
        "attn_implementation": "sdpa",
        "quantization_config": "none",
    }
    assert next(backbone._model.parameters()).dtype == torch.bfloat16
    assert backbone.revision.startswith("files-")


def _copy_with(tmp_path, layout, **changes):
    shutil.copytree(TINY / "clip-vit-tiny-patch14-56", tmp_path / "clip-vit-tiny-patch14-56")
    folder = tmp_path / layout
    shutil.copytree(TINY / layout, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.mark.parametrize(
    ("layout", "changes", "message"),
    [
        ("hf", {"model_type": "qwen2_5_vl"}, "not LLaVA-1.5: .*qwen2_5_vl"),
        ("hf", {"vision_config": {"model_type": "siglip_vision_model"}}, "not LLaVA-1.5: .*siglip.*try sepm_hf"),
        ("hf", {"vision_feature_select_strategy": "full"}, "not LLaVA-1.5: .*is 'full', not 'default'"),
        ("hf", {"vision_feature_layer": [-2, -5]}, "not LLaVA-1.5: .*vision_feature_layer is 'list', not 'int'"),
        ("original", {"mm_patch_merge_type": "spatial_unpad"}, "not LLaVA-1.5: .*spatial_unpad"),
        ("original", {"mm_projector_type": "linear"}, "not LLaVA-1.5: .*linear"),
    ],
)
def test_other_models_are_named(tmp_path, layout, changes, message):
    with pytest.raises(ValueError, match=message):
        load_backbone("llava", str(_copy_with(tmp_path, layout, **changes)), device="cpu")


def test_a_feature_layer_may_count_from_the_front(tmp_path, llava_oracle):
    """The same layer by its other number: the same features, and the same attention of the class token."""
    usual = load_backbone("llava", str(TINY / "hf"), device="cpu")
    depth = usual._model.config.vision_config.num_hidden_layers
    counted = load_backbone("llava", str(_copy_with(tmp_path, "hf", vision_feature_layer=depth - 1)), device="cpu")
    images = llava_oracle.images
    one, other = (backbone.see(images, tower=True).pictures[0] for backbone in (usual, counted))
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.more["class_attention"], other.more["class_attention"])


def test_missing_weights_are_refused(tmp_path):
    folder = _copy_with(tmp_path, "hf")
    weights = load_file(folder / "model.safetensors")
    weights.pop("multi_modal_projector.linear_1.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"do not fit the model.*linear_1\.weight"):
        load_backbone("llava", str(folder), device="cpu")


def test_a_folder_without_a_model_says_what_it_holds(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"no config.json.*holiday\.jpg"):
        load_backbone("llava", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="give a folder, a hub id"):
        load_backbone("llava", "./nowhere")


def test_letters_that_are_not_one_token_are_refused(tmp_path):
    folder = _copy_with(tmp_path, "hf")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    spare = vocabulary.pop("▁B")
    vocabulary["unused"] = spare
    tokenizer["model"]["merges"] = [m for m in tokenizer["model"]["merges"] if "".join(m).replace(" ", "") != "▁B"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match=r"writes 'B' as .*one token"):
        load_backbone("llava", str(folder), device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype='int8': use auto, float32"),
        ({"device": "toaster"}, "device='toaster' is no torch device"),
        ({"image_aspect_ratio": "anyres"}, "use one of \\('pad', 'crop'\\)"),
        ({"positions": "open"}, r"positions='open': use one of \['auto', 'closed', 'kept'\]"),
        ({"colour": "red"}, r"unknown options \['colour'\] for backbone 'llava'; it takes \['image_aspect_ratio', "),
    ],
)
def test_bad_options_name_the_good_ones(options, message):
    with pytest.raises(ValueError, match=message):
        load_backbone("llava", str(TINY / "hf"), **options)
    with pytest.raises(ValueError, match=r"unknown backbone 'lava'; there are \['hf', 'llava', 'vila'\]"):
        load_backbone("lava", "demo")


def test_a_prompt_without_the_probe_is_an_error(tiny_llava, picture):
    with pytest.raises(ValueError, match="does not hold the probe"):
        tiny_llava.read(["What is this?"], tiny_llava.see([picture]), probe="focus on emotion")

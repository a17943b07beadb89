"""The backbone over transformers' own classes, held to one contract in every family.

Numbers are the oracles' (tests/oracles/hf_families: computed by transformers itself with eager attention).
"""

from __future__ import annotations

import shutil
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_families import (
    FOCUS,
    ORACLES,
    WITH_ORACLE,
    backbone_of,
    close,
    oracle,
    pictures,
    seen,
    tolerance,
)
from transformers.image_processing_backends import PilBackend

from sepm_eval import load_backbone
from sepm_eval.images import UnreadableImage
from sepm_eval.model_wrappers import hf
from sepm_eval.model_wrappers._hf import attention
from sepm_eval.model_wrappers._hf.model import _resizer

BETAS = ("0.1", "0.2", "0.5")
TILED = ("aya_vision", "internvl", "smolvlm")
MROPE = ("glm4v", "qwen2_5_vl", "qwen3_5", "qwen3_vl")


def least(importance, separators, beta):
    """Keep mask: the floor(beta n) least important tokens dropped, separators never."""
    order = [int(i) for i in np.argsort(importance, kind="stable") if not separators[i]]
    keep = torch.ones(len(importance), dtype=torch.bool)
    keep[order[: int(Fraction(beta) * len(importance))]] = False
    return keep


@pytest.mark.parametrize("family", WITH_ORACLE)
class TestOracle:
    def test_sees_the_oracles_features_in_its_places(self, family):
        meta, arrays = oracle(family)
        for i, picture in enumerate(seen(family).pictures):
            close(picture.features, arrays[f"image_features/{i}"], 1e-5)
            assert [list(cell) for cell in picture.cells] == arrays[f"visual_map/{i}"].tolist()
            width, height = meta["image_sizes_wh"][i]
            assert picture.blocks[-1].box == (0, 0, width, height)  # a thumbnail, the only grid, or the finer one

    def test_prompt_is_the_oracles(self, family):
        meta, arrays = oracle(family)
        backbone = backbone_of(family)
        for i, picture in enumerate(seen(family).pictures):
            prompt = backbone._prompts.encode(meta["question_stage1"], picture.more["expansion"], FOCUS)
            assert prompt.ids.tolist() == arrays[f"stage1/input_ids/{i}"].tolist()
            assert prompt.slots.nonzero().flatten().tolist() == arrays[f"visual_slots/{i}"].tolist()
            assert prompt.probed == arrays[f"stage1/focus_rows/{i}"].tolist()
            assert prompt.text == meta["chat_stage1"]
            assert backbone.settings["template"].replace("{question}", meta["question_stage1"]) == prompt.text
        assert backbone.letter_ids("ABCDEFGH") == list(meta["letter_ids"].values())

    def test_reads_one_batch_as_the_oracle_each_by_itself(self, family):
        meta, arrays = oracle(family)
        backbone = backbone_of(family)
        reading = backbone.read([meta["question_stage1"]] * 3, seen(family), probe=FOCUS)
        close(reading.logits, arrays["logits_last"], tolerance(family))
        for i, found in enumerate(reading.probe_attention):
            close(found, arrays[f"importance/{i}"], 1e-5)
        assert backbone.settings["probed_layer"] == str(meta["last_full_attention_layer"])
        wide = backbone.read(
            [meta["question_stage1"]] * 3, seen(family), probe=meta["question_stage1"], probe_layers="last3"
        )
        for i, found in enumerate(wide.probe_attention):
            close(found, arrays[f"importance_last3_alltext/{i}"], 1e-5)

    def test_answers_do_not_depend_on_the_batch(self, family):
        meta, _ = oracle(family)
        backbone = backbone_of(family)
        asked = [meta["question_stage1"], "Please focus on emotion. A or B?", meta["question_stage2"]]
        together = backbone.read(asked, seen(family)).logits.softmax(-1)
        for i, question in enumerate(asked):
            alone = backbone.read([question], seen(family)[[i]]).logits.softmax(-1)
            close(together[i], alone[0], 1e-5)

    @pytest.mark.parametrize("positions", ["kept", "closed"])
    def test_dropping_is_removal(self, family, positions):
        if positions == "closed" and family in MROPE:
            with pytest.raises(ValueError, match="M-RoPE"):
                backbone_of(family, positions)
            return
        meta, arrays = oracle(family)
        backbone, visual = backbone_of(family, positions), seen(family)
        assert backbone.settings["positions"] == positions
        first = backbone.read([meta["question_stage1"]] * 3, visual, probe=FOCUS)
        for beta in BETAS:
            keep = [
                least(found.numpy(), picture.separators, beta)
                for found, picture in zip(first.probe_attention, visual.pictures, strict=True)
            ]
            for i, mask in enumerate(keep):
                assert (~mask).nonzero().flatten().tolist() == arrays[f"beta{beta}/dropped/{i}"].tolist()
            reading = backbone.read([meta["question_stage2"]] * 3, visual, keep=keep)
            close(reading.logits, arrays[f"beta{beta}/stage2_logits/{positions}"], tolerance(family))
            if positions == "kept" and beta == "0.2":
                assert backbone.write(reading, 6) == texts(backbone, arrays["beta0.2/stage2_greedy_kept"])

    def test_writes_what_generate_writes(self, family):
        meta, arrays = oracle(family)
        backbone = backbone_of(family)
        reading = backbone.read([meta["question_stage1"]] * 3, seen(family))
        expected = texts(backbone, arrays["greedy_ids"])
        assert backbone.write(reading, 8) == expected
        assert backbone.write(reading, 8, rows=[2, 0]) == [expected[2], expected[0]]  # the reading is as it was
        assert backbone.write(reading[[1]], 8) == [expected[1]]

    def test_nothing_dropped_is_the_whole_picture(self, family):
        meta, arrays = oracle(family)
        everything = [torch.ones(len(picture.features), dtype=torch.bool) for picture in seen(family).pictures]
        reading = backbone_of(family).read([meta["question_stage2"]] * 3, seen(family), keep=everything)
        close(reading.logits, arrays["stage2/logits_last"], tolerance(family))

    def test_attention_to_dropped_tokens_is_none(self, family):
        meta, _ = oracle(family)
        keep = [torch.arange(len(picture.features)) % 2 == 0 for picture in seen(family).pictures]
        keep = [mask | picture.separators for mask, picture in zip(keep, seen(family).pictures, strict=True)]
        reading = backbone_of(family).read([meta["question_stage1"]] * 3, seen(family), keep=keep, probe=FOCUS)
        for mask, found in zip(keep, reading.probe_attention, strict=True):
            assert (found[~mask] == 0).all()
            assert (found[mask] > 0).all()

    def test_leaves_nothing_behind(self, family):
        meta, _ = oracle(family)
        backbone = backbone_of(family)
        model = backbone._decoder.model
        reading = backbone.read([meta["question_stage1"]] * 3, seen(family), probe=FOCUS)
        backbone.write(reading, 3)
        assert attention._WATCH.get() is None
        assert getattr(model.model, "rope_deltas", None) is None
        assert model.config.vision_config._attn_implementation != attention.ATTENTION

    def test_goes_on_from_an_earlier_reading(self, family):
        meta, arrays = oracle(family)
        backbone = backbone_of(family)
        first = backbone.read([meta["question_stage1"]] * 3, seen(family))
        if "reuse" not in backbone.supports:
            with pytest.raises(ValueError, match="reuse"):
                backbone.read([meta["question_stage2"]] * 3, seen(family), prefix=first)
            return
        second = backbone.read([meta["question_stage2"]] * 3, seen(family), prefix=first)
        close(second.logits, arrays["stage2/logits_last"], tolerance(family))
        whole = backbone.read([meta["question_stage2"]] * 3, seen(family))
        assert backbone.write(second, 6) == backbone.write(whole, 6)
        assert backbone.write(first, 8) == texts(backbone, arrays["greedy_ids"])  # the earlier reading is as it was

    def test_says_what_it_supports_before_weights_are_loaded(self, family):
        assert hf.supported(str(ORACLES / family), {}) == backbone_of(family).supports


def texts(backbone, rows):
    return [backbone._prompts.decode([int(token) for token in row if token >= 0]) for row in rows]


@pytest.mark.parametrize("family", TILED)
def test_tiling_is_off_unless_asked_for(family):
    meta, arrays = oracle(family)
    backbone, visual = backbone_of(family, tiling=False), seen(family, tiling=False)
    assert (backbone.settings["tiling"], backbone_of(family).settings["tiling"]) == ("false", "true")
    assert [len(picture.features) for picture in visual.pictures] == meta["untiled"]["n_visual"]
    reading = backbone.read([meta["question_stage1"]] * 3, visual, probe=FOCUS)
    close(reading.logits, arrays["untiled/logits_last"], 1e-4)
    for i, picture in enumerate(visual.pictures):
        assert [list(cell) for cell in picture.cells] == arrays[f"untiled/visual_map/{i}"].tolist()
        close(reading.probe_attention[i], arrays[f"untiled/importance/{i}"], 1e-5)


@pytest.mark.parametrize("family", TILED)
def test_tiles_cover_the_picture(family):
    meta, _ = oracle(family)
    for (width, height), picture in zip(meta["image_sizes_wh"], seen(family).pictures, strict=True):
        *tiles, whole = picture.blocks
        assert whole.box == (0, 0, width, height)
        area = sum((right - left) * (bottom - top) for left, top, right, bottom in (tile.box for tile in tiles))
        assert not tiles or area == pytest.approx(width * height)


@pytest.mark.parametrize("family", ["internvl", "qwen2_5_vl"])
def test_going_on_without_some_tokens_hides_them_from_the_new_text_only(family):
    meta, _ = oracle(family)
    backbone, visual = backbone_of(family), seen(family)
    keep = [torch.arange(len(picture.features)) % 3 != 0 for picture in visual.pictures]
    first = backbone.read([meta["question_stage1"]] * 3, visual)
    found = backbone.read([meta["question_stage2"]] * 3, visual, keep=keep, prefix=first).logits
    inner = backbone._decoder
    for i, picture in enumerate(visual.pictures):
        prompt = backbone._prompts.encode(meta["question_stage2"], picture.more["expansion"], None)
        length, slots = len(prompt.ids), prompt.slots.nonzero().flatten()
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        mask[int(slots[-1]) + 1 :, slots[~keep[i]]] = False
        with torch.inference_mode():
            expected = inner.model(
                input_ids=prompt.ids[None],
                attention_mask=mask[None, None],
                position_ids=inner._places(prompt, picture)[..., None, :],
                mm_encoder_outputs={"image": inner._features([picture], None)},
            ).logits[0, -1]
        close(found[i], expected, 1e-4)


def test_a_reading_without_some_tokens_cannot_be_gone_on_from():
    backbone, visual = backbone_of("internvl"), seen("internvl")
    keep = [torch.arange(len(picture.features)) > 0 for picture in visual.pictures]
    first = backbone.read(["A?"] * 3, visual, keep=keep)
    with pytest.raises(ValueError, match="cannot be continued"):
        backbone.read(["B?"] * 3, visual, prefix=first)


def test_a_recurrent_model_is_not_masked():
    """What a masked token leaves in a recurrent state: the reason why tokens are removed."""
    meta, arrays = oracle("qwen3_5")
    backbone, picture = backbone_of("qwen3_5"), seen("qwen3_5").pictures[0]
    keep = torch.ones(len(picture.features), dtype=torch.bool)
    keep[arrays["beta0.5/dropped/0"]] = False
    prompt = backbone._prompts.encode(meta["question_stage2"], picture.more["expansion"], None)
    masked = backbone._decoder.read_masked(prompt, picture, keep)[0]
    assert np.abs(masked.numpy() - arrays["beta0.5/stage2_logits/kept"][0]).max() > 0.1


def test_a_dialogue_is_one_prompt():
    backbone, visual = backbone_of("qwen2_5_vl"), seen("qwen2_5_vl")
    turns = ("What do you see?", "A dog.", f"{FOCUS} What do you feel?")
    found = backbone.read([turns], visual[[0]], probe=FOCUS)
    prompt = backbone._prompts.encode(turns, visual.pictures[0].more["expansion"], FOCUS)
    assert prompt.text.index("What do you see?") < prompt.text.index("assistant\nA dog.") < prompt.text.index(FOCUS)
    assert found.probe_attention[0].shape == (len(visual.pictures[0].features),)


def test_prompts_without_a_picture():
    for family in ("qwen2_5_vl", "gemma3", "qwen3_5"):
        backbone = backbone_of(family)
        asked = ["What do you feel?", "A?"]
        together = backbone.read(asked, None).logits.softmax(-1)
        for i, question in enumerate(asked):
            close(together[i], backbone.read([question], None).logits.softmax(-1)[0], 1e-5)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "mistral3", "glm4v", "qwen3_5"])
def test_a_smaller_picture_gives_fewer_tokens(family):
    backbone = load_backbone("hf", str(ORACLES / family), device="cpu", dtype="float32")
    image = Image.new("RGB", (168, 112), (200, 30, 40))
    whole, smaller = (backbone.see([image], side).pictures[0] for side in (1.0, 0.75))
    assert len(smaller.features) < len(whole.features)
    assert smaller.blocks[0].box == (0, 0, 168, 112)
    assert backbone.read(["A?"], backbone.see([image], 0.75)).logits.isfinite().all()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "glm4v", "qwen3_5"])
def test_a_smaller_picture_is_not_enlarged_again(family):
    """``min_pixels`` is for pictures as they are; ``downsample`` with it saw as many tokens as without, and blurred."""
    side = backbone_of(family)._pictures._cell()
    image = Image.new("RGB", (5 * side, 4 * side), (200, 30, 40))
    given = {"min_pixels": 20 * side**2, "max_pixels": 40 * side**2}
    backbone = load_backbone("hf", str(ORACLES / family), device="cpu", dtype="float32", **given)
    assert [backbone.see([image], share).counts for share in (1.0, 0.75)] == [[20], [12]]
    (tiny,) = backbone.see([image.resize((side, side))]).counts
    assert tiny > 4


def test_a_checkpoint_with_several_templates_is_asked_by_its_default(tmp_path):
    folder = shutil.copytree(ORACLES / "qwen2_5_vl", tmp_path / "several", ignore=shutil.ignore_patterns("oracle.npz"))
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("no question at all")
    backbone = load_backbone("hf", str(folder), device="cpu", dtype="float32")
    assert backbone.settings["template"] == backbone_of("qwen2_5_vl").settings["template"]


def test_a_fixed_number_of_tokens_cannot_be_made_smaller():
    assert "resize" not in backbone_of("gemma3").supports
    with pytest.raises(ValueError, match="fixed number of visual tokens"):
        backbone_of("gemma3").see(pictures("gemma3"), 0.5)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "glm4v", "mistral3"])
def test_a_picture_the_processor_refuses_is_that_pictures_fault(family):
    with pytest.raises(UnreadableImage, match="2000 x 3"):
        backbone_of(family).see([Image.new("RGB", (2000, 3))])


@pytest.mark.parametrize("family", WITH_ORACLE)
def test_one_pixel_is_a_picture(family):
    backbone = backbone_of(family)
    assert backbone.read(["A?"], backbone.see([Image.new("L", (1, 1), 200)])).logits.isfinite().all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["internvl", "qwen3_5", "gemma3"])
def test_half_precision_holds_the_contract(family, dtype):
    meta, arrays = oracle(family)
    backbone = load_backbone("hf", str(ORACLES / family), device="cpu", dtype=dtype, tiling=True)
    reading = backbone.read([meta["question_stage1"]] * 3, backbone.see(pictures(family)), probe=FOCUS)
    assert reading.logits.dtype == torch.float32
    close(reading.logits.softmax(-1), torch.from_numpy(arrays["logits_last"]).softmax(-1), 0.1)


def test_what_was_prepared_is_what_is_seen():
    backbone = backbone_of("internvl")
    image = pictures("internvl")[1]
    backbone.prepare(image)
    backbone.prepare(image)
    close(backbone.see([image]).pictures[0].features, seen("internvl").pictures[1].features, 0)


def test_pixels_are_limited_on_request():
    folder = str(ORACLES / "qwen2_5_vl")
    backbone = load_backbone("hf", folder, device="cpu", dtype="float32", max_pixels=28 * 28 * 6)
    assert len(backbone.see([pictures("qwen2_5_vl")[0]]).pictures[0].features) <= 6 < 16
    assert backbone.settings["max_pixels"] == str(28 * 28 * 6)
    with pytest.raises(ValueError, match="the first not above the second"):
        load_backbone("hf", folder, device="cpu", min_pixels=28 * 28 * 6, max_pixels=28 * 28 * 3)
    with pytest.raises(ValueError, match="no min_pixels and max_pixels"):
        load_backbone("hf", str(ORACLES / "internvl"), device="cpu", max_pixels=28 * 28 * 6)


def test_enlarging_beyond_all_bounds_is_refused_before_it_is_tried(monkeypatch):
    folder = str(ORACLES / "qwen2_5_vl")
    for most in (None, 10**12):
        with pytest.raises(ValueError, match=r"min_pixels=1000000000000.*(not above the second|178956970 it may have)"):
            load_backbone("hf", folder, device="cpu", min_pixels=10**12, max_pixels=most)
    monkeypatch.setattr("sepm_eval.model_wrappers._hf.pictures.free_memory", lambda device: 3 * 2**30)
    said = r"min_pixels=100000000 enlarges a picture until it takes 3\.4 GiB of memory, where 3\.0 GiB are free; lower"
    with pytest.raises(ValueError, match=said):
        load_backbone("hf", folder, device="cpu", min_pixels=10**8, max_pixels=10**8)


def test_a_picture_that_memory_does_not_allow_to_be_enlarged_fails_by_itself(monkeypatch):
    """Other work can have taken the memory since the model was loaded."""
    folder = str(ORACLES / "qwen2_5_vl")
    backbone = load_backbone("hf", folder, device="cpu", dtype="float32", min_pixels=28 * 28 * 20)
    monkeypatch.setattr("sepm_eval.model_wrappers._hf.pictures.free_memory", lambda device: 10**5)
    with pytest.raises(UnreadableImage, match=r"min_pixels=15680 enlarges .*; it has 4 x 3"):
        backbone.see([Image.new("RGB", (4, 3))])
    assert backbone.see([Image.new("RGB", (140, 140))]).counts[0] >= 20


def test_the_identity_names_what_resizes_pictures():
    processor = backbone_of("qwen2_5_vl")._prompts.processor.image_processor
    found = backbone_of("qwen2_5_vl").settings["processor"]
    if isinstance(processor, PilBackend):
        assert found == type(processor).__name__
    else:
        assert found == f"{type(processor).__name__}, torchvision {version('torchvision')}"

    class Pillows(PilBackend):
        def __init__(self):
            pass

    assert _resizer(Pillows()) == "Pillows"

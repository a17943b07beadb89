"""The backbone over transformers' own classes, held to one contract in every family.

Numbers are the oracles' (tests/oracles/hf_families: computed by transformers itself with eager attention).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from tiny_families import (
    FOCUS,
    ORACLES,
    WITH_ORACLE,
    backbone_of,
    close,
    oracle,
    seen,
    tolerance,
)

from sepm_eval.model_wrappers import hf
from sepm_eval.model_wrappers._hf import attention
from sepm_eval.model_wrappers._hf.reading import FamilyWritingState

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

    def test_a_begun_answer_is_read_as_one_that_was_written(self, family):
        meta, _ = oracle(family)
        backbone = backbone_of(family)
        for i in range(3):
            visual = seen(family)[[i]]
            reading = backbone.read([meta["question_stage1"]], visual)
            (token,) = reading.logits.argmax(-1).tolist()
            written = backbone._decoder._step(torch.tensor([token]), FamilyWritingState.of(reading))
            begun = backbone.read([meta["question_stage1"]], visual, begun=[token]).logits
            close(begun, written, 10 * tolerance(family))

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

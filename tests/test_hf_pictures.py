"""Pictures of all sizes through the processors of transformers: fewer tokens, limits, what is refused."""

from __future__ import annotations

import shutil
from importlib.metadata import version

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
)
from transformers.image_processing_backends import PilBackend

from sepm_eval import load_backbone
from sepm_eval.images import UnreadableImage
from sepm_eval.model_wrappers._hf.model import _resizer


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
@pytest.mark.parametrize("tiling", [False, True])
def test_a_picture_is_seen_as_it_is_alone(family, tiling, monkeypatch):
    """The vision side is given pictures of several sizes at once; none of them may be taken for another."""
    backbone = load_backbone("hf", str(ORACLES / family), device="cpu", dtype="float32", tiling=tiling)
    gradient, sizes = Image.linear_gradient("L"), [(168, 112), (56, 168), (90, 200), (2, 2), (168, 112)]
    images = [gradient.rotate(90 * turn).resize(size) for turn, size in enumerate(sizes)]
    calls, look = [], backbone._pictures._features
    monkeypatch.setattr(backbone._pictures, "_features", lambda some: calls.append(len(some)) or look(some))
    together = backbone.see(images).pictures
    assert max(calls) > 1
    for image, found in zip(images, together, strict=True):
        (alone,) = backbone.see([image]).pictures
        for one, other in zip(_levels(found), _levels(alone), strict=True):
            close(one, other, 1e-5)
        assert (found.blocks, found.more["expansion"]) == (alone.blocks, alone.more["expansion"])
    assert backbone.prepare(images[0]) == len(together[0])


def _levels(picture):
    return picture.features, *picture.more.get("deepstack", ())


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

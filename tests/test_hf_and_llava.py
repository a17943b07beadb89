"""The backbone for every family and the one for LLaVA-1.5 on one checkpoint: the same, where they are asked the same.

They differ in the prompt (the checkpoint's own template; vicuna_v1) and in preprocessing (the checkpoint's own
processor, which cuts the middle out; padding to a square). With LLaVA's template in the checkpoint and the middle for
both, on pictures of the tower's size, nothing is left.
"""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from tiny_families import build

from sepm_eval import get_method, load_backbone
from sepm_eval.methods.sparsevlm import Sparsify
from sepm_eval.model_wrappers._templates import VICUNA_V1

FOCUS = "Please focus on emotion."
QUESTIONS = [f"{FOCUS} Which is it?\nA. Positive\nB. Negative", f"{FOCUS} A or B?"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = build("llava", tmp_path_factory.mktemp("llava") / "checkpoint")
    before, after = VICUNA_V1.around("QUESTION", image=True)
    start, end = after.split("QUESTION")
    question = "{{ messages[0]['content'][-1]['text'] }}"
    template = f"{{{{ bos_token }}}}{before}<image>{{{{ {json.dumps(start)} }}}}{question}{end}"
    answer = "{% if messages[1:] %}{{ ' ' + messages[1]['content'][0]['text'] }}{% endif %}"
    (folder / "chat_template.jinja").write_text(template + answer, encoding="utf-8")
    given = {"device": "cpu", "dtype": "float32"}
    any_family = load_backbone("hf", str(folder), **given)
    return any_family, load_backbone("llava", str(folder), **given, image_aspect_ratio="crop")


@pytest.fixture(scope="module")
def looks(both):
    gradient = Image.linear_gradient("L").resize((56, 56)).convert("RGB")
    return [backbone.see([gradient, gradient.rotate(90)]) for backbone in both]


def test_see_the_same(looks):
    for one, other in zip(looks[0].pictures, looks[1].pictures, strict=True):
        assert (one.features - other.features).abs().max() <= 1e-6
        assert one.cells == other.cells


@pytest.mark.parametrize("dropped", [False, True])
def test_read_and_write_the_same(both, looks, dropped):
    keep = [torch.arange(16) % 3 != 1, torch.arange(16) > 4] if dropped else None
    one, other = (
        backbone.read(QUESTIONS, visual, keep=keep, probe=FOCUS) for backbone, visual in zip(both, looks, strict=True)
    )
    assert (one.logits - other.logits).abs().max() <= 1e-5
    for found, expected in zip(one.probe_attention, other.probe_attention, strict=True):
        assert (found - expected).abs().max() <= 1e-6
    assert both[0].write(one, 6) == both[1].write(other, 6)


@pytest.mark.parametrize(
    "prune",
    [
        get_method("fastv", keep=0.5, layer=2).cut,
        get_method("pyramiddrop", ratio=0.6).cut,
        Sparsify((11, 8, 5), (0, 1, 2)),
    ],
)
def test_drop_the_same_between_layers(both, looks, prune):
    one, other = (backbone.read(QUESTIONS, visual, prune=prune) for backbone, visual in zip(both, looks, strict=True))
    assert (one.logits - other.logits).abs().max() <= 1e-5
    assert list(one.visual_left) == list(other.visual_left)
    assert one.visual_left[0][0] > one.visual_left[0][-1]
    assert [layer.shape for layer in one.attended] == [layer.shape for layer in other.attended]
    assert both[0].write(one, 6) == both[1].write(other, 6)


def test_answer_with_the_same_letters(both):
    assert both[0].letter_ids("ABCDEFGH") == both[1].letter_ids("ABCDEFGH")


def test_go_on_from_an_earlier_reading_the_same(both, looks):
    keep = [torch.arange(16) % 3 != 1, torch.arange(16) > 4]
    found = []
    for backbone, visual in zip(both, looks, strict=True):
        first = backbone.read(QUESTIONS, visual)
        found.append(backbone.read(QUESTIONS[::-1], visual, keep=keep, prefix=first).logits)
    assert (found[0] - found[1]).abs().max() <= 1e-5


@pytest.fixture(scope="module")
def wide():
    return Image.linear_gradient("L").rotate(30, expand=True).resize((200, 120)).convert("RGB")


def test_differ_in_how_a_picture_is_resized(both, wide):
    """Both see the middle, bicubically; hf by the processor that AutoProcessor picks, not by Pillow's."""
    pytest.importorskip("torchvision", reason="without it AutoProcessor picks Pillow's processor, too")
    one, other = (backbone.see([wide]).pictures[0] for backbone in both)
    assert one.blocks == other.blocks
    assert 0 < (one.features - other.features).abs().max() < 1e-2


def test_differ_in_what_is_seen_unless_llava_is_told_to_crop(both, wide):
    padded = load_backbone("llava", both[1].name, device="cpu", dtype="float32")
    assert both[0].see([wide]).pictures[0].blocks[0].box == (40, 0, 160, 120)
    assert padded.see([wide]).pictures[0].blocks[0].box == (0, -40, 200, 160)


def test_differ_in_what_they_offer(both):
    assert both[1].supports - both[0].supports == {"resize", "class_token", "tower"}
    assert both[0].supports <= both[1].supports

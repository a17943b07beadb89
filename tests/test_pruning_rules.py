"""Rules that choose visual tokens: budgets, counts, separators, options, and what a model must offer."""

import numpy as np
import pytest
import torch
from conftest import ORACLES, Oracle
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.interface import Block, PictureTokens
from sepm_eval.methods.before import Candidates, keep_chosen
from sepm_eval.methods.budget import tokens_within
from sepm_eval.methods.needs import check_needs
from sepm_eval.model_wrappers import supported

LLAVA = "llava15_tiny"

# The budget


@pytest.mark.parametrize(
    ("budget", "tokens", "kept"),
    [
        *[(192, 576, 192), (128, 576, 128), (64, 576, 64), (192, 16, 5), (128, 16, 4), (64, 16, 2), (1, 16, 1)],
        *[(576, 16, 16), (0.5, 16, 8), (0.29, 100, 29), (0.001, 16, 1), (192, 729, 243), (100, 576, 100)],
    ],
)
def test_budgets_scale_with_the_number_of_tokens(budget, tokens, kept):
    assert tokens_within(budget, tokens) == kept


@pytest.mark.parametrize("budget", [0, -1, 577, 0.0, 1.0, 1.5, True, "192", None, float("nan")])
@pytest.mark.parametrize("name", ["divprune", "zero_shot_downsample"])
def test_a_budget_that_is_none(name, budget):
    allowed = "use a whole number from 1 to 576, or a number above 0 up to, but not including, 1"
    with pytest.raises(ValueError, match=rf"^budget={budget!r}: {allowed}$"):
        get_method(name, budget=budget)


# The rules that no other code can be held against


def candidates(count, **more):
    picture = Image.new("RGB", (8, 8), (count, 0, 0))
    torch.manual_seed(3)
    return Candidates(torch.randn(count, 6), more, picture, "What is it?")


def test_uniform_is_a_stride():
    choose = get_method("uniform").choose
    assert choose(candidates(9), 3).tolist() == [0, 3, 6]
    assert choose(candidates(10), 4).tolist() == [0, 2, 5, 7]
    assert choose(candidates(5), 5).tolist() == [0, 1, 2, 3, 4]


def test_random_depends_on_the_picture_and_the_seed():
    def chosen(count, seed):
        return tuple(get_method("random", seed=seed).choose(candidates(count), 8).tolist())

    assert chosen(16, 0) == chosen(16, 0)
    assert len({chosen(16, 0), chosen(16, 1), tuple(x for x in chosen(17, 0))}) == 3
    drawn = torch.zeros(16)
    for seed in range(200):
        drawn[list(chosen(16, seed))] += 1
    assert drawn.min() > 60  # of 100: no token is left out


@pytest.mark.parametrize("count", [1, 2, 7, 30, 31])
@pytest.mark.parametrize("name", ["cdpruner", "divprune", "fastervlm", "random", "uniform", "vispruner"])
def test_every_rule_keeps_exactly_so_many(name, count):
    """Also beyond the rank of the kernel, among equal tokens, and of an odd number of them."""
    for alike in (False, True):
        more = {"class_attention": torch.rand(31), "tower_features": torch.randn(31, 48)}
        given = candidates(31, **more)
        if alike:
            more = {key: torch.ones_like(one) for key, one in more.items()}
            given = Candidates(torch.ones(31, 6), more, given.image, given.asked)
        chosen = get_method(name).choose(given, count).tolist()
        assert len(set(chosen)) == len(chosen) == count


SEPARATED = Block((0, 0, 30, 20), 4, 3, "rows")


@pytest.mark.parametrize(("count", "left"), [(16, 16), (8, 8), (5, 5), (4, 5), (1, 5)])
@pytest.mark.parametrize("name", ["cdpruner", "divprune", "fastervlm", "random", "uniform", "vispruner"])
def test_separators_stay_and_are_never_chosen(name, count, left):
    """They count; one token that shows something stays whatever the count."""
    torch.manual_seed(1)
    more = {"class_attention": torch.rand(16), "tower_features": torch.randn(16, 48), "expansion": "of a family"}
    more["class_attention"][[3, 7, 11, 15]] = 9.0  # a rule that looked at separators would take these
    picture = PictureTokens(torch.randn(16, 6), (SEPARATED,), more)
    keep = keep_chosen(get_method(name), picture, count, Image.new("RGB", (8, 8)), "What is it?")
    assert keep[[3, 7, 11, 15]].all()
    assert int(keep.sum()) == left
    if name == "fastervlm" and left == 5:
        best = more["class_attention"].masked_fill(picture.separators, 0).argmax()
        assert keep[best]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sepm", {"select": "divprune", "vta": False}, "goes with method sepm and vta=True only"),
        ("random_drop", {"select": "divprune"}, "goes with method sepm and vta=True only"),
        ("downsample", {"select": "uniform"}, "goes with method sepm and vta=True only"),
        ("sepm", {"clip": "a/clip"}, "clip is for select='cdpruner' only"),
        ("sepm", {"select": "divprune", "clip": "a/clip"}, "clip is for select='cdpruner' only"),
        ("sepm", {"select": "nearest"}, "select='nearest': use one of"),
        ("cdpruner", {"clip": "clip"}, "clip='clip': give a folder, with a slash in it"),
        ("vispruner", {"important_ratio": 1.1}, "important_ratio=1.1: use a number from 0 to 1"),
    ],
)
def test_options_that_do_not_go_together(name, options, said):
    with pytest.raises(ValueError, match=said):
        get_method(name, **options)


def test_a_tower_in_half_precision_on_any_kernel(stage_one_question):
    """The row is the same beside eager attention, and float32 whatever the tower computes in."""
    folder, images = str(ORACLES / LLAVA / "hf"), Oracle(LLAVA).images
    whole, half, eager = (
        load_backbone("llava", folder, device="cpu", **options).see(images, tower=True).pictures[0].more
        for options in ({}, {"dtype": "bfloat16"}, {"attn_implementation": "eager"})
    )
    torch.testing.assert_close(whole["class_attention"], eager["class_attention"], atol=1e-6, rtol=1e-5)
    assert half["class_attention"].dtype == torch.float32
    assert half["tower_features"].dtype == torch.bfloat16
    torch.testing.assert_close(half["class_attention"], whole["class_attention"], atol=1e-2, rtol=0.1)
    assert len(get_method("vispruner").choose(Candidates(torch.ones(16, 4), half, images[0], ""), 5)) == 5


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("cdpruner/clip_n576", "does not belong to this model's vision tower, .* width 48, and this CLIP's 32"),
        ("llava15_tiny/hf", "model_type='llava', not clip"),
        ("llava15_tiny/clip-vit-tiny-patch14-56", "not clip|give a whole CLIP"),
        ("nowhere/at/all", "no checkpoint|could not be"),
    ],
)
def test_a_clip_that_is_no_pair(stage_one_question, folder, said):
    backbone = load_backbone("llava", str(ORACLES / LLAVA / "hf"), device="cpu")
    question = Question(Oracle(LLAVA).images[0], ("joy", "fear"), text=stage_one_question)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        get_method("cdpruner", clip=str(ORACLES / folder)).answer(question, backbone)


# Families of transformers


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava_onevision"])
@pytest.mark.parametrize("name", ["divprune", "random", "uniform"])
def test_other_families(family, name, monkeypatch):
    """Unequal numbers of tokens, separators and positions in the picture; alone as in a batch."""
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 3)
    backbone = load_backbone("hf", str(ORACLES / "hf_families" / family), device="cpu", dtype="float32")
    arrays = np.load(ORACLES / "hf_families" / family / "oracle.npz")
    questions = [Question(Image.fromarray(arrays[f"image_{i}"]), ("joy", "fear", "awe")) for i in range(3)]
    method = get_method(name, budget=0.5)
    together = method.answer(questions, backbone)
    seen = backbone.see([question.image for question in questions])
    for question, answer, picture in zip(questions, together, seen.pictures, strict=True):
        single = method.answer(question, backbone)
        assert (answer.text, answer.kept) == (single.text, single.kept)
        assert answer.option_probabilities == pytest.approx(single.option_probabilities, abs=1e-5)
        count = max(round(len(picture) / 2), int(picture.separators.sum()) + 1)
        assert answer.tokens_read == (count,) == (sum(answer.kept),)
        assert all(stays for stays, separator in zip(answer.kept, picture.separators, strict=True) if separator)


@pytest.mark.parametrize("name", ["cdpruner", "fastervlm", "vispruner"])
@pytest.mark.parametrize(("backbone", "folder"), [("vila", "vila15_tiny/checkpoint"), ("hf", "hf_families/qwen2_5_vl")])
def test_what_a_tower_cannot_do_is_said_before_weights_are_loaded(name, backbone, folder):
    with pytest.raises(ValueError, match=r"needs a model that supports (class_token|tower) .*choose another method"):
        check_needs(get_method(name), supported(backbone, str(ORACLES / folder), {}), backbone)
    chosen = get_method("sepm", select=name)
    with pytest.raises(ValueError, match=r"needs a model that supports (class_token|tower) "):
        check_needs(chosen, supported(backbone, str(ORACLES / folder), {}), backbone)

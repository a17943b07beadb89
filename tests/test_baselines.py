"""Baselines one by one: their options, and what each does that the others do not."""

import numpy as np
import pytest
import torch
from conftest import ORACLES, stacked
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.emotions import MIKELS
from sepm_eval.methods import method_options


@pytest.fixture(scope="module", params=["llava", "vila"])
def family(request):
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}[request.param]
    return load_backbone(request.param, str(ORACLES / folder), device="cpu")


@pytest.fixture(scope="module")
def questions(llava_oracle):
    return [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in llava_oracle.images]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sparsevlm", {"budget": 100}, r"budget=100: use one of \[192, 128, 96, 64\]"),
        ("random_drop", {"beta": 1.5}, "beta=1.5"),
        ("zero_shot_cot", {"alpha": 0.1}, r"unknown options \['alpha'\] for method 'zero_shot_cot'; it takes \[\]"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_method(name, **options)


@pytest.mark.parametrize("layout", ["llava15_tiny/hf", "llava15_tiny/original", "vila15_tiny/checkpoint"])
def test_a_question_without_a_picture(layout):
    """Plain text goes through every tokenizer: the template closes around the question, with no image between."""
    backbone = load_backbone("vila" if "vila" in layout else "llava", str(ORACLES / layout), device="cpu")
    tokens = backbone._tokenise("Hello", image=False, probe=None)
    assert tokens.after == []
    text = f"{backbone._template.before}Hello{backbone._template.after}"
    assert tokens.before[-4:] == backbone._tokenizer.encode(text)[0][-4:]
    reading = backbone.read(["Hello", "What is it?"], None)
    alone = backbone.read(["Hello"], None)
    np.testing.assert_allclose(reading.logits[0].numpy(), alone.logits[0].numpy(), atol=1e-4)
    assert len(backbone.write(reading, 3)) == 2


def test_random_drop_depends_on_the_picture_and_the_seed(family, questions):
    def dropped(question, **options):
        return get_method("random_drop", beta=0.5, **options).answer([question], family)[0].evidence.dropped

    first = dropped(questions[0])
    assert first == dropped(questions[0])
    assert len({first, dropped(questions[1]), dropped(questions[0], seed=1)}) == 3
    (count,) = family.see([questions[0].image]).counts
    assert len(first) == count // 2


def test_query_drop_reads_the_whole_query(scripted, picture):
    backbone = scripted(lambda prompt: {"B": 1.0})
    probes = []
    read = backbone.read

    def spy(prompts, visual, **more):
        probes.append(more.get("probe"))
        return read(prompts, visual, **more)

    backbone.read = spy
    get_method("query_drop").answer([Question(picture, ("joy", "fear"))], backbone)
    assert probes[0] == [backbone.asked[0]]


def test_downsample_sees_a_smaller_picture(family, questions):
    (whole,) = family.see([questions[0].image]).counts
    (smaller,) = family.see([questions[0].image], side=0.5**0.5).counts
    assert smaller < whole
    (answer,) = get_method("downsample", beta=0.5).answer(questions[:1], family)
    assert answer.visual_tokens == smaller
    assert answer.evidence.dropped == ()


def test_a_prepared_picture_is_seen_the_same(family, questions, monkeypatch):
    pictures = [question.image.copy() for question in questions]
    expected = stacked(family.see(pictures))
    for picture in pictures[:2]:  # the third is not
        family.prepare(picture)
    asked, pixels = [], type(family)._pixels
    monkeypatch.setattr(
        type(family), "_pixels", lambda self, images, side: asked.extend(images) or pixels(self, images, side)
    )
    assert torch.equal(stacked(family.see(pictures)), expected)
    assert asked == [pictures[2]]
    assert max(family.see(pictures, side=0.5).counts) < expected.shape[1]
    pictures.clear()
    asked.clear()
    del picture
    assert family._prepared == {}


def test_cot_writes_its_reasoning_out(scripted):
    backbone = scripted(lambda prompt: {"B": 1.0})
    written = "The face frowns, so it is not joy.\nAnswer: B"
    backbone.write = lambda reading, max_new_tokens, rows=None: [written]
    (answer,) = get_method("zero_shot_cot").answer([Question(Image.new("RGB", (4, 4)), ("joy", "fear"))], backbone)
    assert (answer.letter, answer.text) == ("B", written)
    assert backbone.asked[0].endswith(
        "\nLet's think step by step, then answer with the option's letter from the given choices directly."
    )


def test_options_of_the_dropping_methods():
    assert set(method_options("random_drop")) == {*method_options("sepm"), "seed"}

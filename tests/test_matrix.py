"""Every method on both families: batches, what is left behind, and shared readings."""

import numpy as np
import pytest
import torch
from conftest import ORACLES, stacked
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS
from sepm_eval.methods import find_methods, method_options

METHODS = sorted(find_methods())


@pytest.fixture(scope="module", params=["llava", "vila"])
def family(request, llava_oracle):
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}[request.param]
    return load_backbone(request.param, str(ORACLES / folder), device="cpu")


@pytest.fixture(scope="module")
def questions(llava_oracle):
    return [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in llava_oracle.images]


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """The tiny models never stop; a few tokens show as much."""
    import sepm_eval.methods.common as ask
    import sepm_eval.methods.zero_shot_cot as cot

    monkeypatch.setattr(ask, "MAX_NEW_TOKENS", 6)
    monkeypatch.setattr(cot, "MAX_NEW_TOKENS", 6)


def same(one, other):
    assert (one.text, one.letter, one.prompts) == (other.text, other.letter, other.prompts)
    np.testing.assert_allclose(
        list(one.option_probabilities.values()), list(other.option_probabilities.values()), atol=1e-5
    )
    if one.evidence is not None:
        assert (one.evidence.dropped, one.evidence.candidates) == (other.evidence.dropped, other.evidence.candidates)


@pytest.mark.parametrize("name", METHODS)
def test_batches_and_order(family, questions, name):
    method = get_method(name)
    together = method.answer(questions, family)
    for i, question in enumerate(questions):
        same(together[i], method.answer([question], family)[0])
    for one, other in zip(together, method.answer(questions[::-1], family)[::-1], strict=True):
        same(one, other)


def state(backbone):
    """Configurations and hooks of every part of a model."""
    parts = [value for value in vars(backbone).values() if isinstance(value, torch.nn.Module)]
    parts.append(backbone._language_model.decoder)
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return [
        (
            type(module).__name__,
            getattr(getattr(module, "config", None), "_attn_implementation", None),
            *(len(getattr(module, hooks)) for hooks in kinds),
            module.forward.__qualname__,
        )
        for part in parts
        for module in part.modules()
    ]


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_left_behind(family, questions, name, monkeypatch):
    before = state(family)
    get_method(name).answer(questions[:1], family)
    assert state(family) == before
    layers = family._language_model.decoder.layers
    forward = type(layers[-1]).forward

    def fail(*args, **kwargs):
        raise RuntimeError("in the middle of a reading")

    monkeypatch.setattr(type(layers[-1]), "forward", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        get_method(name).answer(questions[:1], family)
    monkeypatch.setattr(type(layers[-1]), "forward", forward)
    assert state(family) == before
    get_method(name).answer(questions[:1], family)


def test_all_methods_share_what_they_can(family, questions):
    shared = Shared(family)
    for name in METHODS:
        method = get_method(name)
        for one, other in zip(method.answer(questions, shared), method.answer(questions, family), strict=True):
            same(one, other)


class Counting:
    """A backbone that counts pictures seen, prompts read and answers written."""

    def __init__(self, backbone):
        self._backbone, self.seen, self.prompts, self.written = backbone, 0, 0, 0

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def see(self, images, side=1.0, **tower):
        self.seen += len(images)
        return self._backbone.see(images, side, **tower)

    def read(self, prompts, *args, **kwargs):
        self.prompts += len(prompts)
        return self._backbone.read(prompts, *args, **kwargs)

    def write(self, reading, max_new_tokens, rows=None):
        self.written += len(reading.logits) if rows is None else len(rows)
        return self._backbone.write(reading, max_new_tokens, rows)


def test_a_sweep_reads_little(demo_backbone):
    """Ten alphas and five betas in one pass: at most four single runs, where one by one they are fifteen."""
    from sepm_eval.datasets import find_benchmarks
    from sepm_eval.images import open_image

    benchmark = find_benchmarks()["emotion_demo"]
    names = tuple(benchmark.names), tuple(benchmark.names.values())
    pictures = [Question(open_image(item.path), *names) for item in benchmark.items()[::32]]
    counting = Counting(demo_backbone)
    get_method("sepm").answer(pictures, counting)
    single = counting.prompts
    shared_by = Counting(demo_backbone)
    shared = Shared(shared_by)
    variants = [get_method("sepm", alpha=alpha / 40) for alpha in range(10)]
    variants += [get_method("sepm", beta=beta) for beta in (0.1, 0.2, 0.3, 0.4, 0.5)]
    for method in variants:
        for one, other in zip(method.answer(pictures, shared), method.answer(pictures, demo_backbone), strict=True):
            same(one, other)
    assert shared_by.seen == len(pictures)
    assert shared_by.prompts <= 4 * single
    assert shared_by.written == shared_by.prompts - len(pictures)  # of the coarse question nothing is written


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

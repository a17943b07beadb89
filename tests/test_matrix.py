"""Every method on every family: batches, what is left behind, and shared readings."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from conftest import ORACLES
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS
from sepm_eval.hosts import loading
from sepm_eval.methods import find_methods
from sepm_eval.model_wrappers import supported
from sepm_eval.runs.answer_fields import of_answer

METHODS = sorted(find_methods())
OWN = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}
OF_TRANSFORMERS = ("gemma3", "internvl", "llava_onevision", "qwen2_5_vl", "qwen3_5", "qwen3_vl", "smolvlm")
RESIZED = ("qwen2_5_vl", "qwen3_5", "qwen3_vl")  # a smaller picture gives fewer tokens
RECURRENT = ("qwen3_5",)
SLIDING = ("gemma3",)
LEFT = sorted({path.name for path in (ORACLES / "hf_families").iterdir() if path.is_dir()} - set(OF_TRANSFORMERS))
SHORT = {"dan": {"analysis_tokens": 6}}  # the tiny models never stop by themselves


@pytest.fixture(scope="module", params=[*OWN, *OF_TRANSFORMERS])
def any_family(request):
    if request.param in OWN:
        return load_backbone(request.param, str(ORACLES / OWN[request.param]), device="cpu")
    return load_backbone("hf", str(ORACLES / "hf_families" / request.param), device="cpu", tiling=True)


@pytest.fixture(scope="module", params=list(OWN))
def family(request):
    return load_backbone(request.param, str(ORACLES / OWN[request.param]), device="cpu")


@pytest.fixture(scope="module")
def questions(llava_oracle):
    """A square, a wide and a tall picture: where a family's number of tokens depends on the shape, all differ."""
    sizes = ((112, 112), (182, 86), (86, 150))
    pictures = [image.resize(size) for image, size in zip(llava_oracle.images, sizes, strict=True)]
    return [Question(picture, tuple(MIKELS), tuple(MIKELS.values())) for picture in pictures]


def usable(name, backbone, **options):
    """A method, or a skip where ``test_what_does_not_go_together_is_refused`` has it."""
    method = get_method(name, **SHORT.get(name, {}), **options)
    if lacking := getattr(method, "needs", frozenset()) - backbone.supports:
        pytest.skip(f"needs {sorted(lacking)}")
    return method


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
    assert (one.kept, one.tokens_read) == (other.kept, other.tokens_read)
    if one.evidence is not None:
        assert (one.evidence.dropped, one.evidence.candidates) == (other.evidence.dropped, other.evidence.candidates)


def test_what_siglip_cannot_do(family):
    unable = {name for name in METHODS if get_method(name).needs - family.supports}
    assert unable == (set() if family.name.endswith("hf") else {"cdpruner", "fastervlm", "vispruner"})


@pytest.mark.parametrize("name", METHODS)
def test_batches_and_order(any_family, questions, name):
    method = usable(name, any_family)
    together = method.answer(questions, any_family)
    for i, question in enumerate(questions):
        same(together[i], method.answer([question], any_family)[0])
    for one, other in zip(together, method.answer(questions[::-1], any_family)[::-1], strict=True):
        same(one, other)
    counts = any_family.see([question.image for question in questions]).counts
    for answer, count in zip(together, counts, strict=True):
        assert len([cell for block in answer.blocks for cell in block.places()]) == answer.visual_tokens
        assert "resize" in method.needs or answer.visual_tokens == (0 if name == "blind" else count)
        assert len(answer.tokens_read) == 1 or answer.tokens_read[0] == count
        went_on = answer.tokens_read[-1] == 0 and name == "dan"  # it was sure, and read no pruned picture
        assert "prune" in method.needs or went_on or answer.tokens_read[-1] == sum(answer.kept)
        assert of_answer(answer)["blocks"] == [asdict(block) for block in answer.blocks]


@pytest.mark.parametrize("family_name", LEFT)
def test_one_method_of_each_kind_on_the_families_that_are_left(family_name, questions):
    """In a batch as alone; every ability is asked for that a method needs."""
    family = load_backbone("hf", str(ORACLES / "hf_families" / family_name), device="cpu")
    for name in ("zero_shot", "blind", "permute", "sepm", "dan", "divprune", "fastv", "zero_shot_downsample"):
        method = get_method(name, **SHORT.get(name, {}))
        if getattr(method, "needs", frozenset()) <= family.supports:
            together = method.answer(questions, family)
            for question, answer in zip(questions[:2], together, strict=False):
                same(answer, method.answer([question], family)[0])


def test_pictures_give_different_numbers_of_tokens(any_family, questions):
    counts = any_family.see([question.image for question in questions]).counts
    alike = any_family.settings.get("tiling") is None or "gemma3" in any_family.name
    assert len(set(counts)) == (1 if alike else 2 if any_family.settings["tiling"] == "true" else 3)


@pytest.mark.parametrize("family_name", OF_TRANSFORMERS)
def test_what_does_not_go_together_is_refused(family_name, monkeypatch):
    """In one sentence, before any weights are loaded."""
    monkeypatch.setattr(loading, "load_backbone", lambda *_, **__: "loaded")
    settings = loading.read_settings("sepm_hf", "hf", {"pretrained": str(ORACLES / "hf_families" / family_name)})
    supports = {"probe", "keep"}
    supports |= {"resize"} if family_name in RESIZED else set()
    plain = family_name not in (*RECURRENT, *SLIDING)
    supports |= {"prune", "reuse"} if plain else set()
    assert supported("hf", settings.pretrained, {}) == supports
    methods = [get_method(name) for name in METHODS] + [get_method("sepm", reuse=True)]
    refused = set()
    for method in methods:
        lacking = sorted(getattr(method, "needs", frozenset()) - supports)
        if not lacking:
            assert settings.load(method) == "loaded"
            continue
        refused.add(type(method).__name__)
        with pytest.raises(ValueError, match=rf"supports {lacking[0]} .*, and sepm_hf supports .*; ") as found:
            settings.load(method)
        assert "\n" not in str(found.value)
    assert ("SparseVlm" in refused) == (not plain)
    assert "FasterVlm" in refused
    assert ("Downsample" in refused) == (family_name not in RESIZED)
    assert ("Sepm" in refused) == ("reuse" not in supports)


def test_going_on_does_not_depend_on_the_batch(any_family, questions):
    method = usable("sepm", any_family, reuse=True)
    together = method.answer(questions, any_family)
    for i, question in enumerate(questions):
        same(together[i], method.answer([question], any_family)[0])


def language_model(backbone):
    """The decoder, wherever a backbone keeps it."""
    return backbone._decoder.model if hasattr(backbone, "_decoder") else backbone._language_model.decoder


def layers_of(backbone):
    found = language_model(backbone)
    return (found.get_decoder() if hasattr(found, "get_decoder") else found).layers


def state(backbone):
    """Configurations and hooks of every part of a model."""
    parts = [value for value in vars(backbone).values() if isinstance(value, torch.nn.Module)]
    parts.append(language_model(backbone))
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
def test_nothing_is_left_behind(any_family, questions, name, monkeypatch):
    family, method = any_family, usable(name, any_family)
    before = state(family)
    method.answer(questions[:1], family)
    assert state(family) == before
    layers = layers_of(family)
    forward = type(layers[-1]).forward

    def fail(*args, **kwargs):
        raise RuntimeError("in the middle of a reading")

    monkeypatch.setattr(type(layers[-1]), "forward", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        method.answer(questions[:1], family)
    monkeypatch.setattr(type(layers[-1]), "forward", forward)
    assert state(family) == before
    method.answer(questions[:1], family)


def test_all_methods_share_what_they_can(any_family, questions):
    """Several methods on one backbone, in whatever order, say what each says alone; pictures differ in length."""
    methods = [get_method(name, **SHORT.get(name, {})) for name in METHODS]
    methods += [get_method("sepm", reuse=True), get_method("sepm", reuse=True, beta=0.5), get_method("sepm", beta=0.0)]
    methods = [method for method in methods if getattr(method, "needs", frozenset()) <= any_family.supports]
    alone = [method.answer(questions, any_family) for method in methods]
    shared = Shared(any_family)
    for method, expected in [*zip(methods, alone, strict=True), *zip(methods[::-1], alone[::-1], strict=True)]:
        for one, other in zip(method.answer(questions, shared), expected, strict=True):
            same(one, other)
    shared.forget()
    for method, expected in zip(methods[::-1], alone[::-1], strict=True):
        for one, other in zip(method.answer(questions[::-1], shared)[::-1], expected, strict=True):
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
    pictures = [Question(open_image(item.path), *names) for item in benchmark.items()[::64]]
    counting = Counting(demo_backbone)
    get_method("sepm").answer(pictures, counting)
    single = counting.prompts
    shared_by = Counting(demo_backbone)
    shared = Shared(shared_by)
    variants = [get_method("sepm", alpha=alpha / 40) for alpha in range(10)]
    variants += [get_method("sepm", beta=beta) for beta in (0.1, 0.2, 0.3, 0.4, 0.5)]
    found = [method.answer(pictures, shared) for method in variants]
    for method, answers in zip(variants[::4], found[::4], strict=True):
        for one, other in zip(answers, method.answer(pictures, demo_backbone), strict=True):
            same(one, other)
    assert shared_by.seen == len(pictures)
    assert shared_by.prompts <= 4 * single
    assert shared_by.written == shared_by.prompts - len(pictures)  # of the coarse question nothing is written


def test_a_token_lies_where_its_block_says(any_family):
    """What is painted over a token's place changes that token more than any other of its block."""
    width, height = 200, 100
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    plain = any_family.see([Image.fromarray(noise)]).pictures[0]
    places = np.array(plain.cells)
    for index, block in enumerate(plain.blocks):
        own = np.flatnonzero((places[:, 0] == index) & (places[:, 2] >= 0))
        left, top, right, bottom = block.box
        found = tried = 0
        for token in own[:: max(1, len(own) // 6)]:
            _, row, column = places[token]
            x = [round(left + (right - left) * (column + side) / block.columns) for side in (0, 1)]
            y = [round(top + (bottom - top) * (row + side) / block.rows) for side in (0, 1)]
            if x[0] < 0 or y[0] < 0 or x[1] > width or y[1] > height:
                continue  # padding, or what is cut off
            painted = noise.copy()
            painted[y[0] : y[1], x[0] : x[1]] = 255 - painted[y[0] : y[1], x[0] : x[1]]
            other = any_family.see([Image.fromarray(painted)]).pictures[0]
            change = (other.features - plain.features).norm(dim=-1)[own]
            found += int(own[change.argmax()] == token)
            tried += 1
        assert tried
        assert found >= tried - 1  # a neighbour may win where a resized edge runs through it

"""What transformers' families cost, from their configuration files, against torch's own counter on the tiny ones."""

import pytest
from PIL import Image
from tiny_families import ORACLES, WITH_ORACLE, backbone_of, build, read_json
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone import cost
from sepm_eval.emotions import MIKELS
from sepm_eval.model_wrappers import find_backbone, known_checkpoint
from sepm_eval.model_wrappers._hf.shapes import geometry

BUILT_HERE = ["glm46v", "glm4v_moe", "idefics3", "llava", "qwen3_5_moe", "qwen3_vl_moe"]
SIZE = (150, 100)


@pytest.fixture(scope="module", params=[*WITH_ORACLE, *BUILT_HERE])
def priced(request, tmp_path_factory):
    """A model of every family, and its shapes for pictures of one size."""
    family = request.param
    if family in WITH_ORACLE:
        return backbone_of(family, tiling=False), shapes(ORACLES / family)
    folder = build(family, tmp_path_factory.mktemp("families") / family)
    backbone = load_backbone("hf", str(folder), device="cpu", dtype="float32")
    if "moe" in family:  # torch's counter does not see the products of grouped_mm
        backbone._decoder.model.set_experts_implementation("eager")
    return backbone, shapes(folder)


def shapes(folder, picture=SIZE):
    pixels = read_json(folder / "processor_config.json")["image_processor"]
    return geometry(read_json(folder / "config.json"), pixels, picture)


def counted(task):
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it sees the products of that kernel
        found = task()
    return counter.get_total_flops(), found


@pytest.fixture
def question():
    image = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    return Question(image, tuple(MIKELS), tuple(MIKELS.values()))


def test_torch_counts_the_same_for_a_picture(priced, question):
    backbone, known = priced
    flops, seen = counted(lambda: backbone.see([question.image]))
    assert seen.counts == [known.visual_tokens()]
    assert flops == cost.prefill(known, cost.Work((1.0,), ()))


def test_torch_counts_the_same_for_answers(priced, question, monkeypatch):
    """To the last operation, the picture apart: zero-shot, SEPM, and its fast variant where it is supported."""
    backbone, known = priced
    visual = backbone.see([question.image])
    monkeypatch.setattr(backbone, "see", lambda images: visual)
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 2)  # they do not stop
    variants = [("zero_shot", {}), ("sepm", {}), ("sepm", {"reuse": True})]
    for name, options in variants[: 3 if "reuse" in backbone.supports else 2]:
        method = get_method(name, **options)
        flops, (answer,) = counted(lambda method=method: method.answer([question], backbone))
        wanted = method.work(known, lengths(backbone, answer, visual))
        assert flops == cost.flops(known, cost.Work((), wanted.reads)), name


def lengths(backbone, answer, visual):
    """Lengths of the prompts that an answer was asked with."""
    probe = "Please focus on emotion." if answer.prompts[1:] else None
    expansion = visual.pictures[0].more["expansion"]
    asked = [backbone._prompts.encode(prompt, expansion, probe) for prompt in answer.prompts]
    ends = [int(one.slots.nonzero()[-1]) + 1 for one in asked]
    texts = [one.ids[end:].tolist() for one, end in zip(asked, ends, strict=True)]
    before = ends[0] - visual.counts[0]
    shared = cost.common_start(*texts[:2]) if texts[1:] else 0
    return cost.Text(before, tuple(map(len, texts)), len(asked[0].probed), shared)


@pytest.mark.parametrize(
    ("named", "tokens", "parameters"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", 391, 6.5e9),
        ("Qwen/Qwen3-VL-4B-Instruct", 300, 3.6e9),
        ("OpenGVLab/InternVL3_5-8B-HF", 256, 6.9e9),
    ],
)
def test_full_size(named, tokens, parameters):
    """Of a picture of 640 x 480. Twice the parameters of the decoder's layers for every token, and little more."""
    known = known_checkpoint(named).geometry
    assert known.visual_tokens() == tokens
    read = cost.prefill(known, cost.Work((), (cost.Read(1000),)))
    assert read / 1000 == pytest.approx(2 * parameters, rel=0.1)
    assert 0.05 < cost.prefill(known, cost.Work((1.0,), ())) / read < 0.4


def test_a_smaller_picture_costs_less_where_it_gives_fewer_tokens():
    qwen, intern = shapes(ORACLES / "qwen2_5_vl"), shapes(ORACLES / "internvl")
    assert qwen.visual_tokens(0.5) == round(qwen.visual_tokens() / 4)
    assert cost.prefill(qwen, cost.Work((0.5,), ())) < cost.prefill(qwen, cost.Work((1.0,), ())) / 3
    assert intern.visual_tokens(0.5) == intern.visual_tokens()


def test_shapes_are_read_from_a_folder_and_unknown_families_have_none():
    read = find_backbone("hf").shapes
    assert read(ORACLES / "qwen3_vl") == shapes(ORACLES / "qwen3_vl", (640, 480))
    config = read_json(ORACLES / "qwen3_vl" / "config.json")
    some = {**config["text_config"], "num_local_experts": 4, "decoder_sparse_step": 2}  # experts in every second layer
    for unknown in ({**config, "model_type": "gemma4"}, {**config, "text_config": some}):
        assert geometry(unknown, {}) is None

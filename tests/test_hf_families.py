"""The backbone over transformers' own classes, held to one contract in every family.

Numbers are the oracles' (tests/oracles/hf_families: computed by transformers itself with eager attention) or, for
families without one, those of a second copy of the same checkpoint with eager attention.
"""

from __future__ import annotations

import functools
import json
import shutil
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_families import BUILT, ORACLES, WITH_ORACLE, build, read_json
from transformers import AutoModelForImageTextToText, AutoProcessor

from sepm_eval import load_backbone
from sepm_eval.images import UnreadableImage
from sepm_eval.model_wrappers._hf import attention, families
from sepm_eval.model_wrappers._hf import model as hf

FOCUS = "Please focus on emotion."
BETAS = ("0.1", "0.2", "0.5")
TILED = ("aya_vision", "internvl", "smolvlm")
RECURRENT = ("qwen3_5", "qwen3_5_moe")
MROPE = ("glm4v", "qwen2_5_vl", "qwen3_5", "qwen3_vl")


@functools.cache
def oracle(family):
    with np.load(ORACLES / family / "oracle.npz") as arrays:
        return read_json(ORACLES / family / "meta.json"), dict(arrays)


@functools.cache
def backbone_of(family, positions="auto", tiling=True):
    folder = str(ORACLES / family)
    return load_backbone("hf", folder, device="cpu", dtype="float32", positions=positions, tiling=tiling)


@functools.cache
def pictures(family):
    _, arrays = oracle(family)
    return [Image.fromarray(arrays[f"image_{i}"]) for i in range(3)]


@functools.cache
def seen(family, tiling=True):
    return backbone_of(family, tiling=tiling).see(pictures(family))


def tolerance(family):
    return 3e-4 if family in RECURRENT else 1e-4


def least(importance, separators, beta):
    """Keep mask: the floor(beta n) least important tokens dropped, separators never."""
    order = [int(i) for i in np.argsort(importance, kind="stable") if not separators[i]]
    keep = torch.ones(len(importance), dtype=torch.bool)
    keep[order[: int(Fraction(beta) * len(importance))]] = False
    return keep


def close(found, expected, most):
    difference = np.abs(np.asarray(found) - np.asarray(expected)).max()
    assert difference <= most


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
    decoder = backbone._decoder
    for i, picture in enumerate(visual.pictures):
        prompt = backbone._prompts.encode(meta["question_stage2"], picture.more["expansion"], None)
        length, slots = len(prompt.ids), prompt.slots.nonzero().flatten()
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        mask[int(slots[-1]) + 1 :, slots[~keep[i]]] = False
        with torch.inference_mode():
            expected = decoder.model(
                input_ids=prompt.ids[None],
                attention_mask=mask[None, None],
                position_ids=decoder._places(prompt, picture)[..., None, :],
                mm_encoder_outputs={"image": decoder._features([picture], None)},
            ).logits[0, -1]
        close(found[i], expected, 1e-4)


def test_a_reading_without_some_tokens_cannot_be_gone_on_from():
    backbone, visual = backbone_of("internvl"), seen("internvl")
    keep = [torch.arange(len(picture.features)) > 0 for picture in visual.pictures]
    first = backbone.read(["A?"] * 3, visual, keep=keep)
    with pytest.raises(ValueError, match="cannot be gone on from"):
        backbone.read(["B?"] * 3, visual, prefix=first)


@pytest.fixture(scope="module", params=sorted(BUILT))
def built(request, tmp_path_factory):
    return request.param, build(request.param, tmp_path_factory.mktemp("families") / request.param)


@pytest.fixture(scope="module")
def both(built):
    family, folder = built
    backbone = load_backbone("hf", str(folder), device="cpu", dtype="float32")
    eager = AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()
    gradient = Image.linear_gradient("L")
    images = [gradient.resize((200, 120)).convert("RGB"), gradient.rotate(90).resize((90, 120)).convert("RGB")]
    return family, backbone, eager, AutoProcessor.from_pretrained(folder), images


@pytest.fixture(scope="module")
def asked(both):
    _, backbone, _, processor, images = both
    questions = [f"{FOCUS} What do you feel?", f"{FOCUS} A or B?"]
    options = {"images_kwargs": dict(backbone._pictures.options)}
    inputs = []
    for question, image in zip(questions, images, strict=True):
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        inputs.append(
            processor.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                add_generation_prompt=True,
                processor_kwargs=options,
                **backbone._prompts.template_options,
            )
        )
        inputs[-1].pop("labels", None)
    return questions, inputs


class TestBuilt:
    """Families without an oracle, against a second copy of the model with eager attention."""

    def test_reads_as_the_models_own_forward_pass(self, both, asked):
        family, backbone, eager, _, images = both
        questions, inputs = asked
        together = backbone.read(questions, backbone.see(images))
        layer = int(backbone.settings["probed_layer"])
        for i, own in enumerate(inputs):
            with torch.inference_mode():
                expected = eager(**own, output_attentions=True)
            close(together.logits[i], expected.logits[0, -1], tolerance(family))
            visual = backbone.see([images[i]])
            found = backbone.read([questions[i]], visual, probe=FOCUS)
            with_attention = [one for one in expected.attentions if one is not None]
            rows = with_attention[-1 if family in RECURRENT else layer][0].mean(0)
            prompt = backbone._prompts.encode(questions[i], visual.pictures[0].more["expansion"], FOCUS)
            close(found.probe_attention[0], rows[prompt.probed].mean(0)[prompt.slots], 1e-5)

    def test_writes_what_generate_writes(self, both, asked):
        _, backbone, eager, processor, images = both
        questions, inputs = asked
        written = backbone.write(backbone.read(questions, backbone.see(images)), 6)
        for text, own in zip(written, inputs, strict=True):
            ids = eager.generate(**own, max_new_tokens=6, do_sample=False)[0, own["input_ids"].shape[1] :]
            assert text == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def test_dropping_is_removal(self, both, asked):
        family, backbone, _, _, images = both
        questions, _ = asked
        visual = backbone.see(images)
        keep = [torch.arange(len(picture.features)) % 3 != 1 for picture in visual.pictures]
        found = backbone.read(questions, visual, keep=keep).logits
        alone = [backbone.read([questions[i]], visual[[i]], keep=[keep[i]]).logits[0] for i in range(2)]
        whole = backbone.read(questions, visual).logits
        for i in range(2):
            close(found[i], alone[i], tolerance(family))
            assert (found[i] - whole[i]).abs().max() > 1e-2
            if family not in RECURRENT:
                prompt = backbone._prompts.encode(questions[i], visual.pictures[i].more["expansion"], None)
                close(found[i], backbone._decoder.read_masked(prompt, visual.pictures[i], keep[i])[0], 1e-4)

    def test_places_cover_the_tokens(self, both):
        _, backbone, _, _, images = both
        for picture in backbone.see(images).pictures:
            assert len(set(picture.cells)) == len(picture.cells) == len(picture.features)

    @pytest.mark.parametrize("built", ["cohere2_vision", "idefics3"], indirect=True)
    def test_tiles_are_the_processors(self, built, both):
        _, folder = built
        backbone, images = load_backbone("hf", str(folder), device="cpu", dtype="float32", tiling=True), both[-1]
        for image, picture in zip(images, backbone.see(images).pictures, strict=True):
            *tiles, whole = picture.blocks
            assert len(tiles) > 1
            assert whole.box == (0, 0, *image.size)
            assert len(set(picture.cells)) == len(picture.cells) == len(picture.features)
            area = sum((right - left) * (bottom - top) for left, top, right, bottom in (tile.box for tile in tiles))
            assert area == pytest.approx(image.width * image.height)


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


class TestRefused:
    @pytest.fixture
    def changed(self, tmp_path):
        """A copy of a tiny Qwen2.5-VL, or of another family, with its config.json changed."""

        def change(family="qwen2_5_vl", name="checkpoint", **config):
            folder = shutil.copytree(ORACLES / family, tmp_path / name, ignore=shutil.ignore_patterns("oracle.npz"))
            path = folder / "config.json"
            path.write_text(json.dumps(read_json(path) | config), encoding="utf-8")
            return folder

        return change

    @pytest.mark.parametrize("kind", sorted(families.REFUSED))
    def test_families_that_cannot_be_read(self, changed, kind):
        with pytest.raises(ValueError, match=f"model_type='{kind}'") as caught:
            load_backbone("hf", str(changed(model_type=kind)), device="cpu")
        assert families.REFUSED[kind] in str(caught.value)

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ({"model_type": "llama"}, "of another kind"),
            ({"model_type": "whisper"}, "of another kind"),
            ({"model_type": "kimi_vl", "auto_map": {"AutoConfig": "configuration_kimi_vl.KimiVLConfig"}}, "never run"),
            ({"model_type": "from_the_future"}, "a newer release may"),
            ({"model_type": "llava_llama", "mm_vision_tower": "openai/clip"}, "use sepm_"),
            ({"model_type": "pix2struct"}, "takes no visual features"),
        ],
    )
    def test_other_models(self, changed, config, reason):
        folder = str(changed(**config))
        for attempt in (lambda: load_backbone("hf", folder, device="cpu"), lambda: hf.supported(folder, {})):
            with pytest.raises(ValueError, match=reason):
                attempt()

    def test_always_thinking_by_name(self, changed):
        with pytest.raises(ValueError, match="always thinks"):
            load_backbone("hf", str(changed(name="Qwen3-VL-8B-Thinking")), device="cpu")

    def test_always_thinking_by_its_template(self, changed):
        folder = changed("qwen3_5")
        path = folder / "chat_template.jinja"
        path.write_text(path.read_text().replace("<think>\n\n</think>\n\n", "<think>\n"))
        with pytest.raises(ValueError, match="always thinks"):
            load_backbone("hf", str(folder), device="cpu")

    def test_no_chat_template(self, changed):
        folder = changed()
        (folder / "chat_template.jinja").unlink()
        with pytest.raises(ValueError, match="no chat template"):
            load_backbone("hf", str(folder), device="cpu")

    def test_a_letter_of_two_tokens(self):
        with pytest.raises(ValueError, match="can only be read if it is one token"):
            backbone_of("qwen2_5_vl").letter_ids("A\u042f")

    def test_a_question_that_spells_the_placeholder(self):
        with pytest.raises(ValueError, match="must not spell it"):
            backbone_of("qwen2_5_vl").read(["What is <|image_pad|>?"], seen("qwen2_5_vl")[[0]])

    def test_placeholders_that_do_not_match_the_features(self):
        backbone, visual = backbone_of("qwen2_5_vl"), seen("qwen2_5_vl")
        mixed = (
            visual[[0]]
            .pictures[0]
            .__class__(visual.pictures[0].features[:-1], visual.pictures[0].blocks, visual.pictures[0].more)
        )
        with pytest.raises(ValueError, match="16 visual tokens and the picture gave 15"):
            backbone.read(["A?"], type(visual)((mixed,)))

    def test_a_probe_that_is_not_in_the_prompt(self):
        with pytest.raises(ValueError, match="does not hold the probe"):
            backbone_of("qwen2_5_vl").read(["A?"], seen("qwen2_5_vl")[[0]], probe=FOCUS)

    def test_an_old_transformers(self, monkeypatch):
        monkeypatch.setattr(hf, "transformers_version", "5.6.0")
        monkeypatch.setattr(hf, "inspect", SimpleNamespace(signature=lambda _: SimpleNamespace(parameters={})))
        with pytest.raises(ValueError, match=r"5\.6\.0 is installed, and hf models need 5\.20\.2 or newer"):
            hf.supported(str(ORACLES / "internvl"), {})

    def test_separators_are_never_dropped(self):
        picture = seen("llava_next").pictures[0]
        keep = torch.ones(len(picture.features), dtype=torch.bool)
        keep[24] = False  # the first newline: 16 of the base, 8 of a row
        assert picture.cells[24] == (1, 0, -1)
        with pytest.raises(ValueError, match="separators"):
            backbone_of("llava_next").read(["A?"], seen("llava_next")[[0]], keep=[keep])

    def test_tiling_that_is_no_switch(self):
        with pytest.raises(ValueError, match="tiling='off'"):
            load_backbone("hf", str(ORACLES / "internvl"), device="cpu", tiling="off")

    def test_unknown_positions(self):
        with pytest.raises(ValueError, match="positions='open'"):
            load_backbone("hf", str(ORACLES / "internvl"), device="cpu", positions="open")


class TestUnknownFamily:
    def test_is_used_if_it_holds_the_contract(self, monkeypatch):
        monkeypatch.delitem(families.FAMILIES, "gemma3")
        meta, arrays = oracle("gemma3")
        backbone = load_backbone("hf", str(ORACLES / "gemma3"), device="cpu", dtype="float32")
        reading = backbone.read([meta["question_stage1"]] * 3, backbone.see(pictures("gemma3")))
        close(reading.logits, arrays["logits_last"], 1e-4)

    def test_is_refused_if_it_does_not(self, monkeypatch):
        """PaliGemma counts positions from 1 and reads the prompt both ways."""
        monkeypatch.delitem(families.FAMILIES, "paligemma")
        with pytest.raises(ValueError, match="what is read of a picture differs from the model's own"):
            load_backbone("hf", str(ORACLES / "paligemma"), device="cpu", dtype="float32")

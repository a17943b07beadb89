"""The contract on families without an oracle: tiny models, held against a second copy with eager attention."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from tiny_families import BUILT, FOCUS, RECURRENT, build, close, tolerance
from transformers import AutoModelForImageTextToText, AutoProcessor

from sepm_eval import load_backbone


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

"""Models and questions that the backbone over transformers' own classes refuses, and the reason it gives."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from tiny_families import FOCUS, ORACLES, backbone_of, close, oracle, pictures, read_json, seen
from transformers import InternVLForConditionalGeneration

from sepm_eval import load_backbone
from sepm_eval.model_wrappers import hf
from sepm_eval.model_wrappers._hf import decoder, families
from sepm_eval.model_wrappers._hf import model as loading
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.prompts import Prompts


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

    def test_a_damaged_configuration(self, changed):
        folder = str(changed(text_config={"model_type": "qwen2_5_vl_text", "num_hidden_layers": "four"}))
        for attempt in (lambda: load_backbone("hf", folder, device="cpu"), lambda: hf.supported(folder, {})):
            with pytest.raises(ValueError, match=r"checkpoint cannot be loaded as hf: .*num_hidden_layers"):
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

    def test_a_tokenizer_that_is_missing(self, changed):
        """transformers makes an empty one, without a word."""
        folder = changed()
        (folder / "tokenizer.json").unlink()
        with pytest.raises(ValueError, match=r"its tokenizer has only \d+ tokens; tokenizer.json is missing"):
            load_backbone("hf", str(folder), device="cpu")

    def test_a_processor_of_its_own_code(self, changed, tmp_path):
        folder, run = changed("internvl"), tmp_path / "run"
        path = folder / "processor_config.json"
        own = {"processor_class": "OwnProcessor", "auto_map": {"AutoProcessor": "own.OwnProcessor"}}
        path.write_text(json.dumps(read_json(path) | own), encoding="utf-8")
        (folder / "own.py").write_text(f"open({str(run)!r}, 'w')\nclass OwnProcessor: pass\n", encoding="utf-8")
        with pytest.raises(ValueError, match="program code from its own repository, which is never run") as caught:
            load_backbone("hf", str(folder), device="cpu")
        assert "trust_remote_code" not in str(caught.value)
        assert not run.exists()

    def test_masks_and_prompts_that_do_not_fit_the_pictures(self):
        backbone, visual = backbone_of("internvl"), seen("internvl")
        masks = [torch.ones(count, dtype=torch.bool) for count in visual.counts]
        for keep, message in (
            (masks[:2], "2 masks for 3 pictures"),
            ([masks[1], *masks[1:]], rf"keep\[0\] is \[{visual.counts[1]}\] bool"),
            ([masks[0].float(), *masks[1:]], r"keep\[0\] is .* float32"),
        ):
            with pytest.raises(ValueError, match=message):
                backbone.read(["A?"] * 3, visual, keep=keep)
        for prompts in (["A?"] * 2, ["A?"] * 4):
            with pytest.raises(ValueError, match=f"{len(prompts)} prompts for 3 pictures"):
                backbone.read(prompts, visual)

    def test_a_tokenizer_that_splits_its_letters(self, changed):
        """SmolVLM's answers begin with a space, which is one token with the letter behind it."""
        path = changed("smolvlm") / "tokenizer.json"
        content = read_json(path)
        merges = content["model"]["merges"]
        content["model"]["merges"] = [one for one in merges if "".join(one).replace(" ", "") not in ("ĠA", "ĠB")]
        assert len(content["model"]["merges"]) == len(merges) - 2
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=r"writes 'A' as \[\d+, \d+\]; its probability can only be read"):
            load_backbone("hf", str(path.parent), device="cpu")

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
        monkeypatch.setattr(loading, "transformers_version", "5.6.0")
        monkeypatch.setattr(InternVLForConditionalGeneration, "forward", lambda self, pixel_values=None: None)
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

    def test_pixels_that_are_no_number(self):
        with pytest.raises(ValueError, match="max_pixels='many': use whole numbers"):
            load_backbone("hf", str(ORACLES / "qwen2_5_vl"), device="cpu", max_pixels="many")
        with pytest.raises(ValueError, match="min_pixels=True, max_pixels=23520: use whole numbers"):
            load_backbone("hf", str(ORACLES / "qwen2_5_vl"), device="cpu", min_pixels=True)

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

    def test_is_refused_if_other_tokens_are_dropped_than_asked(self, monkeypatch):
        right = Decoder._features

        def first_rows(self, pictures, keep):
            masks = keep and [mask.sort(descending=True).values for mask in keep]
            return right(self, pictures, masks)

        monkeypatch.setattr(Decoder, "_features", first_rows)
        with pytest.raises(ValueError, match="what is read without some visual tokens differs from the model's own"):
            load_backbone("hf", str(ORACLES / "internvl"), device="cpu", dtype="float32")

    def test_is_refused_if_its_processor_changes_the_prompt(self, monkeypatch):
        right = Prompts._expand
        monkeypatch.setattr(
            Prompts, "_expand", lambda self, rendered, expansion: right(self, rendered, expansion) + "\n"
        )
        with pytest.raises(ValueError, match="tokenises a prompt differently"):
            load_backbone("hf", str(ORACLES / "internvl"), device="cpu", dtype="float32")

    def test_is_refused_if_its_attention_cannot_be_watched(self, monkeypatch):
        monkeypatch.setattr(decoder, "install", lambda model, kernel: None)
        with pytest.raises(ValueError, match="no layer of its language model uses the attention function"):
            load_backbone("hf", str(ORACLES / "internvl"), device="cpu", dtype="float32")

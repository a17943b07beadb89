"""Checkpoints with random weights and the shapes of released ones, as files that any host can load, or on a device.

Tokenizer, processor and chat template are those of the demo model (LLaVA) and of the tiny models of tests/oracles, so
prompts are as long as real ones. The vocabulary is as small as theirs, unless a model is built at its full size.
Answers are one letter, as in ``models``.
"""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from models import letter_head
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from sepm_eval import demo
from sepm_eval.backbone.checkpoints import Checkpoint
from sepm_eval.model_wrappers._hf.contract import check, own_reading
from sepm_eval.model_wrappers._hf.decoder import Decoder
from sepm_eval.model_wrappers._hf.families import family_of
from sepm_eval.model_wrappers._hf.model import Hf, _processor, _supports
from sepm_eval.model_wrappers._hf.pictures import Pictures, image_options
from sepm_eval.model_wrappers._hf.prompts import Prompts

ORACLES = Path(__file__).parent.parent / "tests" / "oracles"
SOURCES = {
    "llava": demo.MODEL,
    **{family: ORACLES / "hf_families" / family for family in ("qwen2_5_vl", "qwen3_vl", "internvl")},
}
FILES = ("*.jinja", "generation_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer*.json")

_CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "projection_dim": 768}
_GQA = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
# Full widths, from the config.json of llava-hf/llava-1.5-7b-hf, Qwen/Qwen2.5-VL-7B-Instruct, Qwen/Qwen3-VL-4B-Instruct
# and OpenGVLab/InternVL3_5-8B-HF. Their depths are in ``DEPTHS``.
WIDE: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "head_dim": 128,
            "max_position_embeddings": 4096,
        }
        | {"num_attention_heads": 32, "num_key_value_heads": 32},
        "vision_config": {**_CLIP, "image_size": 336},
        "image_seq_length": 576,
    },
    "qwen2_5_vl": {
        "text_config": {"hidden_size": 3584, "intermediate_size": 18944}
        | {"num_attention_heads": 28, "num_key_value_heads": 4}
        | {"rope_parameters": {"mrope_section": [16, 24, 24], "rope_theta": 1000000.0, "rope_type": "default"}},
        "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584}
        | {"window_size": 112},
    },
    "qwen3_vl": {
        "text_config": {"hidden_size": 2560, "intermediate_size": 9728, **_GQA}
        | {
            "rope_parameters": {
                **{"mrope_interleaved": True, "mrope_section": [24, 20, 20]},
                **{"rope_theta": 5000000.0, "rope_type": "default"},
            }
        },
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2560}
        | {"num_position_embeddings": 2304},
    },
    "internvl": {
        "text_config": {"model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, **_GQA},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
        | {"image_size": [448, 448]},
        "image_seq_length": 256,
    },
}
_TEXT = {"hidden_size": 1024, "intermediate_size": 2752, "num_attention_heads": 16, "head_dim": 64}
# The shapes of ``models.CPU``: a decoder of 8 layers of width 1,024, and a tower that takes a few per cent of the work.
SCALED: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": {**_TEXT, "num_key_value_heads": 16, "max_position_embeddings": 4096},
        "vision_config": {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "image_size": 336},
        "image_seq_length": 576,
    },
    "qwen2_5_vl": {
        "text_config": {**_TEXT, "num_key_value_heads": 4}
        | {"rope_parameters": {"mrope_section": [8, 12, 12], "rope_theta": 1000000.0, "rope_type": "default"}},
        "vision_config": {"hidden_size": 256, "intermediate_size": 768, "num_heads": 4, "out_hidden_size": 1024}
        | {"window_size": 112},
    },
    "internvl": {
        "text_config": {"model_type": "qwen3", **_TEXT, "num_key_value_heads": 4},
        "vision_config": {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
        | {"image_size": [448, 448]},
        "image_seq_length": 256,
    },
}
# Decoder layers, tower layers: "full" as in the released model, the others so few that a CPU takes seconds a picture.
DEPTHS = {
    "scaled": {"llava": (8, 6), "qwen2_5_vl": (8, 6), "internvl": (8, 6)},
    "full": {"llava": (32, 24), "qwen2_5_vl": (28, 32), "qwen3_vl": (36, 24), "internvl": (36, 24)},
    "wide": {"llava": (4, 3), "qwen2_5_vl": (3, 2), "qwen3_vl": (4, 3), "internvl": (3, 2)},
}
VOCABULARY = {"llava": 32064, "qwen2_5_vl": 152064, "qwen3_vl": 151936, "internvl": 151936}
DTYPES = {"llava": torch.float32, "qwen2_5_vl": torch.bfloat16, "qwen3_vl": torch.bfloat16, "internvl": torch.bfloat16}
"""The dtype each is stored in: lmms-eval's own entries load all but LLaVA in bfloat16, whatever is stored."""


def write(family: str, size: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint.

    Args:
        family: one of ``SOURCES``.
        size: "tiny", as the demo model and the oracles are; "scaled", small enough for a CPU; "wide", of full width and
            few layers; or "full".
        folder: the folder to write to, which must not exist.
        seed: the random seed of the weights.
    """
    folder.mkdir(parents=True)
    _write_settings(family, size, folder)
    model = _model(family, folder, "cpu", DTYPES[family], seed)
    processor = _processor(_checkpoint(folder))
    speak_in_letters(model, _letters(folder, processor, model), _stop(model))
    model.save_pretrained(folder)
    return folder


def build_hf(
    family: str, size: str, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, kernel: str = "sdpa"
) -> Hf:
    """Build a backbone whose weights are drawn on the device and never written; only its settings go into a folder.

    Args:
        family: one of ``SOURCES``, except LLaVA.
        size: see ``write``.
        folder: the folder for the settings, which must not exist.
        device: a torch device.
        dtype: dtype of the weights.
        kernel: the attention kernel.
    """
    folder.mkdir(parents=True)
    _write_settings(family, size, folder)
    checkpoint = _checkpoint(folder)
    model = _model(family, folder, device, dtype, seed=0)
    processor = _processor(checkpoint)
    prompts = Prompts(checkpoint.name, processor, model.config.image_token_id)
    speak_in_letters(model, prompts.letter_ids("BCDEFGH"), _stop(model))
    kind = family_of(checkpoint.config(), checkpoint.name)
    options = image_options(checkpoint.name, processor, tiling=False, limits={})
    pictures = Pictures(checkpoint.name, model, processor, kind, options)
    own = own_reading(model, prompts, options)
    decoder = Decoder(model, kind, kernel, renumbers=None, stop_ids=[_stop(model)])
    check(checkpoint.name, prompts, pictures, decoder, own)
    settings = {"dtype": str(dtype).removeprefix("torch."), "positions": "auto"}
    return Hf(checkpoint, prompts, pictures, decoder, settings, _supports(model.config, kind))


def speak_in_letters(model: PreTrainedModel, letters: list[int], stop: int) -> None:
    """Make every answer one of these tokens, with the end right behind it (see ``models``)."""
    letter_head(model.get_output_embeddings(), model.get_input_embeddings(), letters, stop)


def _write_settings(family: str, size: str, folder: Path) -> None:
    """Write all files of a checkpoint except the weights."""
    for pattern in FILES:
        for path in SOURCES[family].glob(pattern):
            shutil.copy(path, folder)
    config = json.loads((SOURCES[family] / "config.json").read_text(encoding="utf-8"))
    if size != "tiny":
        _widen(family, size, config)
        _enlarge_pictures(family, folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _widen(family: str, size: str, config: dict[str, Any]) -> None:
    for key, value in copy.deepcopy((SCALED if size == "scaled" else WIDE)[family]).items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    text, vision = config["text_config"], config["vision_config"]
    layers, depth = DEPTHS[size][family]
    text["num_hidden_layers"] = layers
    text.pop("layer_types", None)
    vision["depth" if "depth" in vision else "num_hidden_layers"] = depth
    if "fullatt_block_indexes" in vision:  # every eighth layer, or the last one of few
        vision["fullatt_block_indexes"] = list(range(7, depth, 8)) or [depth - 1]
    if "deepstack_visual_indexes" in vision:
        vision["deepstack_visual_indexes"] = [depth * part // 4 for part in (1, 2, 3)] if depth > 3 else [0, 1, 2]
    if size == "full":
        text["vocab_size"] = VOCABULARY[family]


def _enlarge_pictures(family: str, folder: Path) -> None:
    """Give the image processor the picture sizes of the released model."""
    if family.startswith("qwen"):
        _change(folder / "processor_config.json", {"size": {"longest_edge": 12845056, "shortest_edge": 3136}})
    elif family == "internvl":
        _change(folder / "processor_config.json", {"size": {"height": 448, "width": 448}, "max_patches": 12})
        path = folder / "processor_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "image_seq_length": 256}), encoding="utf-8")
    else:
        size = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
        _change(folder / "preprocessor_config.json", size)


def _change(path: Path, changed: dict[str, Any]) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config.get("image_processor", config).update(changed)
    path.write_text(json.dumps(config), encoding="utf-8")


def _checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(f"random {folder.name}", folder, "seed-0")


def _model(family: str, folder: Path, device: str, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(folder)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    return model.eval().requires_grad_(False)


def _stop(model: PreTrainedModel) -> int:
    found = model.config.get_text_config().eos_token_id
    return int(found if isinstance(found, int) else found[0])


def _letters(folder: Path, processor: Any, model: PreTrainedModel) -> list[int]:
    return Prompts(folder.name, processor, model.config.image_token_id).letter_ids("BCDEFGH")

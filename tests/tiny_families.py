"""The tiny checkpoints of transformers' families: those with an oracle, and those built here for want of one.

The latter are another model, of random weights, around an oracle's tokenizer and processor.
"""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sepm_eval import load_backbone

ORACLES = Path(__file__).parent / "oracles" / "hf_families"
RECURRENT = ("qwen3_5", "qwen3_5_moe")
FOCUS = "Please focus on emotion."
WITH_ORACLE = sorted(path.name for path in ORACLES.iterdir() if path.is_dir())


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _qwen2_vl(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["text_config"] |= {"model_type": "qwen2_vl_text"}
    config["vision_config"] = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 64,
        "num_heads": 4,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    processor |= {"processor_class": "Qwen2VLProcessor"}


def _qwen3_vl_moe(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["text_config"] |= {
        "model_type": "qwen3_vl_moe_text",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "decoder_sparse_step": 1,
    }
    config["vision_config"] |= {"model_type": "qwen3_vl_moe_vision"}


def _qwen3_5_moe(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["text_config"] |= {
        "model_type": "qwen3_5_moe_text",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    }
    config["vision_config"] |= {"model_type": "qwen3_5_moe_vision"}


def _glm4v_moe(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["text_config"] |= {
        "model_type": "glm4v_moe_text",
        "moe_intermediate_size": 32,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
    }
    config["vision_config"] |= {"model_type": "glm4v_moe_vision"}


def _glm46v(config: dict[str, Any], processor: dict[str, Any]) -> None:
    processor |= {"processor_class": "Glm46VProcessor"}
    processor["image_processor"] |= {"image_processor_type": "Glm46VImageProcessor"}
    processor["video_processor"] |= {"video_processor_type": "Glm46VVideoProcessor"}


def _cohere2_vision(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config |= {"image_token_id": config.pop("image_token_index"), "alignment_intermediate_size": 64}
    pixels = processor["image_processor"]
    processor.clear()
    processor |= {"processor_class": "Cohere2VisionProcessor", "image_processor": pixels}
    pixels |= {"image_processor_type": "Cohere2VisionImageProcessor", "patch_size": 4}


def _llava(config: dict[str, Any], processor: dict[str, Any]) -> None:
    del config["image_grid_pinpoints"]
    kept = ("crop_size", "do_center_crop", "do_normalize", "do_rescale", "do_resize", "image_mean", "image_std", "size")
    pixels = {key: processor["image_processor"][key] for key in kept}
    processor |= {
        "processor_class": "LlavaProcessor",
        "image_processor": {**pixels, "image_processor_type": "CLIPImageProcessor"},
    }


def _vipllava(config: dict[str, Any], processor: dict[str, Any]) -> None:
    _llava(config, processor)
    config |= {"vision_feature_layers": [-2, -1], "vision_feature_layer": [-2, -1]}


def _idefics3(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["vision_config"] |= {"model_type": "idefics3_vision"}
    processor |= {"processor_class": "Idefics3Processor"}
    processor["image_processor"] |= {"image_processor_type": "Idefics3ImageProcessor"}
    del processor["video_processor"]


def _paligemma2(config: dict[str, Any], processor: dict[str, Any]) -> None:
    """Gemma-2 caps attention scores and logits, and slides in every other layer."""
    config |= {"model_type": "paligemma"}
    config["text_config"] |= {
        "model_type": "gemma2",
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 512,
        "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 0.5,
        "final_logit_softcapping": 3.0,
    }


def _gemma4(config: dict[str, Any], processor: dict[str, Any]) -> None:
    config["text_config"] |= {
        "model_type": "gemma4_text",
        "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
        "rope_parameters": None,
        "global_head_dim": 32,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": config["text_config"]["vocab_size"],
        "num_kv_shared_layers": 0,
        "use_bidirectional_attention": "vision",
    }
    config["text_config"]["rope_parameters"] = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
    }
    config["vision_config"] = {
        "model_type": "gemma4_vision",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 8,
        "patch_size": 4,
        "pooling_kernel_size": 3,
        "position_embedding_size": 512,
    }
    config["audio_config"] = None
    config |= {"image_token_id": config.pop("image_token_index"), "video_token_id": 4, "audio_token_id": 5}
    config |= {"boi_token_id": config.pop("boi_token_index"), "eoi_token_id": config.pop("eoi_token_index")}
    processor |= {
        "processor_class": "Gemma4Processor",
        "image_processor": {"image_processor_type": "Gemma4ImageProcessor", "patch_size": 4, "max_soft_tokens": 70},
        "feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"},
        "video_processor": {"video_processor_type": "Gemma4VideoProcessor"},
    }


BUILT = {
    "qwen2_vl": ("qwen2_5_vl", _qwen2_vl),
    "qwen3_vl_moe": ("qwen3_vl", _qwen3_vl_moe),
    "qwen3_5_moe": ("qwen3_5", _qwen3_5_moe),
    "glm4v_moe": ("glm4v", _glm4v_moe),
    "glm46v": ("glm4v", _glm46v),
    "cohere2_vision": ("aya_vision", _cohere2_vision),
    "llava": ("llava_next", _llava),
    "vipllava": ("llava_next", _vipllava),
    "idefics3": ("smolvlm", _idefics3),
    "paligemma2": ("paligemma", _paligemma2),
    "gemma4": ("gemma3", _gemma4),
}
TOKENS = {
    "gemma4": {"audio_token": "<mask>", "boa_token": "<mask>", "eoa_token": "<mask>"},
    "cohere2_vision": {
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<|IMG_PATCH|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    },
}
PLACEHOLDER = {
    "gemma4": ("<start_of_image>", "<image_soft_token>"),
    "cohere2_vision": ("<image>", "<|IMG_PATCH|>"),
}  # other than that of the template taken over


def build(family: str, folder: Path) -> Path:
    """A checkpoint of a family in ``BUILT``, in a folder that does not exist yet."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    source, change = BUILT[family]
    shutil.copytree(ORACLES / source, folder, ignore=shutil.ignore_patterns("oracle.npz", "meta.json", "model.*"))
    config, processor = read_json(folder / "config.json"), read_json(folder / "processor_config.json")
    config |= {"model_type": family, "architectures": None}
    change(config, processor)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    tokenizer = read_json(folder / "tokenizer_config.json") | TOKENS.get(family, {})
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    template = folder / "chat_template.jinja"
    template.write_text(
        template.read_text(encoding="utf-8").replace(*PLACEHOLDER.get(family, ("", ""))), encoding="utf-8"
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:  # large enough that answers depend on every token
                weight.normal_(0, 0.4 * weight[0].numel() ** -0.5)
    model.save_pretrained(folder)
    return folder


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


def close(found, expected, most):
    difference = np.abs(np.asarray(found) - np.asarray(expected)).max()
    assert difference <= most


def tolerance(family):
    return 3e-4 if family in RECURRENT else 1e-4

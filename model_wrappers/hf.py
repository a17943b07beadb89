"""Any picture-and-text model of transformers: how it is loaded and what it supports. The model is in ``_hf/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepm_eval.backbone.architecture import POSITIONS, Architecture, KnownCheckpoint
from sepm_eval.backbone.geometry import Geometry
from sepm_eval.backbone.interface import Backbone
from sepm_eval.model_wrappers._hf.shapes import geometry


def load(
    pretrained: str = "Qwen/Qwen2.5-VL-7B-Instruct",
    *,
    device: str = "auto",
    dtype: str = "auto",
    positions: str = "auto",
    tiling: bool = False,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    device_map: Any = None,
    max_memory: Any = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    quantization_config: Any = None,
    attn_implementation: str = "sdpa",
) -> Backbone:
    """Load a picture-and-text model of transformers from a hub id or folder.

    Args:
        pretrained: such as "Qwen/Qwen2.5-VL-7B-Instruct", "OpenGVLab/InternVL3_5-8B-HF", or a folder.
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
        positions: "closed" renumbers the tokens that are left when visual tokens are dropped, as the public SEPM code
            does; "kept" leaves every token its position; "auto" is "kept" where a position is a place in the picture
            (M-RoPE), and "closed" elsewhere.
        tiling: let the image processor cut pictures into tiles, if it can be switched on and off.
        min_pixels: pictures with fewer pixels are enlarged, if the image processor has such a limit (Qwen, GLM).
        max_pixels: pictures with more pixels are reduced, likewise.
        device_map: which part goes to which device; this and the next five are explained in docs/loading.md.
        max_memory: how much each device may hold.
        load_in_4bit: quantise the language model to four bits.
        load_in_8bit: quantise the language model to eight bits.
        quantization_config: quantise the language model in another way.
        attn_implementation: the attention kernel: "sdpa", "flash_attention_2" or "eager".

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or fails the contract; the message says why.
        NotEnoughMemory: the weights do not fit into memory.
    """
    # long because: every option stands in the signature, in its explanation and in the call
    from sepm_eval.model_wrappers._hf.model import load as load_hf  # imports torch and transformers

    return load_hf(
        pretrained,
        positions=positions,
        tiling=tiling,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        device=device,
        dtype=dtype,
        device_map=device_map,
        max_memory=max_memory,
        load_in_4bit=load_in_4bit,
        load_in_8bit=load_in_8bit,
        quantization_config=quantization_config,
        attn_implementation=attn_implementation,
    )


def supported(pretrained: str, options: Mapping[str, Any]) -> frozenset[str]:
    """What a checkpoint will support, from its config.json alone (see ``Backbone.supports``).

    Args:
        pretrained: see ``load``.
        options: the other arguments of ``load``.

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or does not allow one of the options.
        FileNotFoundError: there is no such checkpoint.
    """
    from sepm_eval.model_wrappers._hf.model import supported as supported_by

    return supported_by(pretrained, options)


def shapes(folder: Path) -> Geometry | None:
    """The shapes of a checkpoint, for a picture of 640 x 480 pixels; None for a family whose costs are not known."""
    pixels: dict[str, Any] = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            pixels |= found.get("image_processor", found)
    return geometry(json.loads((folder / "config.json").read_text(encoding="utf-8")), pixels)


# Values from the released files, as far as costs depend on them.
_QWEN_PIXELS = {"size": {"shortest_edge": 3136, "longest_edge": 12845056}}
_QWEN3_PIXELS = {"size": {"shortest_edge": 65536, "longest_edge": 16777216}}
_GQA = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
_WINDOWS = {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]}
_PATCHES = {"spatial_merge_size": 2, "temporal_patch_size": 2}
_QWEN2_5_VL_7B = {
    "model_type": "qwen2_5_vl",
    "text_config": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "vocab_size": 152064}
    | {"num_attention_heads": 28, "num_key_value_heads": 4},
    "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "patch_size": 14, **_PATCHES}
    | {"out_hidden_size": 3584, **_WINDOWS},
}
_QWEN3_VL_4B = {
    "model_type": "qwen3_vl",
    "text_config": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "vocab_size": 151936}
    | _GQA,
    "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24, "patch_size": 16, **_PATCHES}
    | {"out_hidden_size": 2560, "deepstack_visual_indexes": [5, 11, 17]},
}
_QWEN3_VL_8B = {
    "model_type": "qwen3_vl",
    "text_config": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "vocab_size": 151936}
    | _GQA,
    "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "depth": 27, "patch_size": 16, **_PATCHES}
    | {"out_hidden_size": 4096, "deepstack_visual_indexes": [8, 16, 24]},
}
_INTERNVL3_5_8B = {
    "model_type": "internvl",
    "text_config": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "vocab_size": 151936}
    | _GQA,
    "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    | {"image_size": [448, 448], "patch_size": [14, 14]},
    "downsample_ratio": 0.5,
}

CHECKPOINTS = (
    KnownCheckpoint(
        "Qwen/Qwen2.5-VL-7B-Instruct",
        entry="qwen2.5_vl_7b",
        names=("qwen2.5-vl-7b",),
        geometry=geometry(_QWEN2_5_VL_7B, _QWEN_PIXELS),
        parameters="7B",
    ),
    KnownCheckpoint(
        "Qwen/Qwen3-VL-4B-Instruct",
        entry="qwen3_vl_4b",
        names=("qwen3-vl-4b",),
        geometry=geometry(_QWEN3_VL_4B, _QWEN3_PIXELS),
        parameters="4B",
    ),
    KnownCheckpoint(
        "Qwen/Qwen3-VL-8B-Instruct",
        entry="qwen3_vl_8b",
        names=("qwen3-vl-8b",),
        geometry=geometry(_QWEN3_VL_8B, _QWEN3_PIXELS),
        parameters="8B",
    ),
    KnownCheckpoint(
        "OpenGVLab/InternVL3_5-8B-HF",
        entry="internvl3.5_8b",
        names=("internvl3_5-8b",),
        geometry=geometry(_INTERNVL3_5_8B, {}),
        parameters="8B",
    ),
)

BACKBONES = {"hf": Architecture(load, CHECKPOINTS, shapes, supported, {"positions": POSITIONS})}

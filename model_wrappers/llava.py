"""LLaVA-1.5 (7B, 13B): how it is loaded and which checkpoints it has. The model is in ``_llava.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sepm_eval.backbone.architecture import POSITIONS, Architecture, KnownCheckpoint
from sepm_eval.backbone.geometry import Decoder, Geometry, Tower, geometry_from_configs
from sepm_eval.backbone.interface import Backbone

IMAGE_ASPECT_RATIOS = ("pad", "crop")


def load(
    pretrained: str = "llava-hf/llava-1.5-7b-hf",
    *,
    device: str = "auto",
    dtype: str = "auto",
    image_aspect_ratio: str = "pad",
    positions: str = "auto",
    device_map: Any = None,
    max_memory: Any = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    quantization_config: Any = None,
    attn_implementation: str = "sdpa",
) -> Backbone:
    """Load LLaVA-1.5 from a hub id or folder, in the llava-hf layout or the original one.

    Args:
        pretrained: such as "llava-hf/llava-1.5-7b-hf" or "liuhaotian/llava-v1.5-7b", a folder, or "demo".
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
        image_aspect_ratio: "pad" to a square with the mean colour, as the original does, or "crop" the centre, as the
            preprocessor of the llava-hf repositories does.
        positions: "closed" (also "auto") renumbers the tokens that are left when visual tokens are dropped, as the
            public SEPM code does; "kept" leaves every token its position.
        device_map: which part goes to which device; this and the next five are explained in docs/loading.md.
        max_memory: how much each device may hold.
        load_in_4bit: quantise the language model to four bits.
        load_in_8bit: quantise the language model to eight bits.
        quantization_config: quantise the language model in another way.
        attn_implementation: the attention kernel: "sdpa", "flash_attention_2" or "eager".

    Raises:
        ValueError: the checkpoint is not LLaVA-1.5, or its weights are incomplete.
        NotEnoughMemory: the weights do not fit into memory.
    """
    from sepm_eval.model_wrappers._llava import load as load_llava  # imports torch and transformers

    return load_llava(
        pretrained,
        image_aspect_ratio,
        positions,
        device=device,
        dtype=dtype,
        device_map=device_map,
        max_memory=max_memory,
        load_in_4bit=load_in_4bit,
        load_in_8bit=load_in_8bit,
        quantization_config=quantization_config,
        attn_implementation=attn_implementation,
    )


def shapes(folder: Path) -> Geometry | None:
    """The shapes of a checkpoint in the llava-hf layout; None for the original one, which lacks those of its tower."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "text_config" not in config or "vision_config" not in config:
        return None
    return geometry_from_configs(config["text_config"], config["vision_config"])


_CLIP_L_336 = Tower(336, 14, 1024, 4096, layers=24, class_token=True)

# The vocabulary of these shapes is the number of output rows in the llava-hf files.
CHECKPOINTS = (
    KnownCheckpoint(
        "llava-hf/llava-1.5-7b-hf",
        entry="llava_v1.5_7b",
        names=("llava-1.5-7b", "llava-v1.5-7b"),
        geometry=Geometry(_CLIP_L_336, Decoder(4096, 11008, 32, 32, 32, 128, 32064)),
        parameters="7B",
        language_model="Vicuna-v1.5-7B",
        vision_model="CLIP ViT-L/14-336",
    ),
    KnownCheckpoint(
        "llava-hf/llava-1.5-13b-hf",
        entry="llava_v1.5_13b",
        names=("llava-1.5-13b", "llava-v1.5-13b"),
        geometry=Geometry(_CLIP_L_336, Decoder(5120, 13824, 40, 40, 40, 128, 32064)),
        parameters="13B",
        language_model="Vicuna-v1.5-13B",
        vision_model="CLIP ViT-L/14-336",
    ),
    KnownCheckpoint("demo", entry="demo"),
)

CHOICES = {"image_aspect_ratio": IMAGE_ASPECT_RATIOS, "positions": POSITIONS}
BACKBONES = {"llava": Architecture(load, CHECKPOINTS, shapes, choices=CHOICES)}

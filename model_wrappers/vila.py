"""VILA-1.5 (3B, Llama-3 8B, 13B): how it is loaded and which checkpoints it has. The model is in ``_vila.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.backbone.architecture import POSITIONS, Architecture, KnownCheckpoint
from sepm_eval.backbone.geometry import Decoder, Geometry, Tower, geometry_from_configs
from sepm_eval.backbone.interface import Backbone

SUPPORTS = ABILITIES - {"class_token", "tower"}
"""What every checkpoint supports: SigLIP has no class token, and four of its patches become one visual token."""


def load(
    pretrained: str = "Efficient-Large-Model/Llama-3-VILA1.5-8B",
    *,
    device: str = "auto",
    dtype: str = "auto",
    template: str = "auto",
    positions: str = "auto",
    device_map: Any = None,
    max_memory: Any = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    quantization_config: Any = None,
    attn_implementation: str = "sdpa",
) -> Backbone:
    """Load VILA-1.5 from a hub id or folder.

    Args:
        pretrained: such as "Efficient-Large-Model/Llama-3-VILA1.5-8B" or a folder.
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
        template: "may2024" or "aug2024" (Llama-3), "vicuna_v1" (3B, 13B), or "auto": by the tokenizer and the name.
        positions: "closed" (also "auto") renumbers the tokens that are left when visual tokens are dropped, as the
            public SEPM code does; "kept" leaves every token its position.
        device_map: which part goes to which device; this and the next five are explained in docs/loading.md.
        max_memory: how much each device may hold.
        load_in_4bit: quantise the language model to four bits.
        load_in_8bit: quantise the language model to eight bits.
        quantization_config: quantise the language model in another way.
        attn_implementation: the attention kernel: "sdpa", "flash_attention_2" or "eager".

    Raises:
        ValueError: the checkpoint is not VILA-1.5, is of a kind that is not supported, or is incomplete.
        NotEnoughMemory: the weights do not fit into memory.
    """
    from sepm_eval.model_wrappers._vila import load as load_vila  # imports torch and transformers

    return load_vila(
        pretrained,
        template,
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


def supported(pretrained: str, options: Mapping[str, Any]) -> frozenset[str]:
    """What every checkpoint will support, whatever its options (see ``Backbone.supports``)."""
    return SUPPORTS


def shapes(folder: Path) -> Geometry | None:
    """The shapes of a checkpoint, whose parts are in separate folders; None if one of the two needed is missing."""
    parts = [folder / part / "config.json" for part in ("llm", "vision_tower")]
    if not all(part.is_file() for part in parts):
        return None
    text, vision = (json.loads(part.read_text(encoding="utf-8")) for part in parts)
    return geometry_from_configs(text, vision, merge=2)


_LLAMA_3_8B = KnownCheckpoint(
    "Efficient-Large-Model/Llama-3-VILA1.5-8B",
    entry="llama3_vila1.5_8b",
    names=("llama-3-vila1.5-8b",),
    geometry=Geometry(
        Tower(384, 14, 1152, 4304, layers=27, class_token=False),
        Decoder(4096, 14336, 32, 32, 8, 128, 128256),
        merge=2,
    ),
    parameters="8B",
    language_model="Llama-3-8B",
    vision_model="SigLIP-SO400M/14-384",
)

CHECKPOINTS = (
    _LLAMA_3_8B,
    replace(
        _LLAMA_3_8B,
        pretrained="Efficient-Large-Model/Llama-3-VILA1.5-8B-Fix",
        entry="llama3_vila1.5_8b_fix",
        names=("llama-3-vila1.5-8b-fix",),
    ),
    KnownCheckpoint("Efficient-Large-Model/VILA1.5-3b", entry="vila1.5_3b"),
    KnownCheckpoint("Efficient-Large-Model/VILA1.5-13b", entry="vila1.5_13b"),
)

CHOICES = {"template": ("auto", "may2024", "aug2024", "vicuna_v1"), "positions": POSITIONS}
BACKBONES = {"vila": Architecture(load, CHECKPOINTS, shapes, supported, CHOICES)}

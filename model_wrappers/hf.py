"""Any picture-and-text model of transformers: how it is loaded and what it supports. The model stands in ``_hf/``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sepm_eval.backbone.architecture import Architecture, KnownCheckpoint
from sepm_eval.backbone.interface import Backbone


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
        positions: what becomes of the positions of tokens behind dropped ones: "closed" up, as in SEPM's public code,
            or "kept"; "auto" keeps them where a position is a place in the picture (M-RoPE) and closes up elsewhere.
        tiling: let the image processor cut pictures into tiles, where it can do without.
        min_pixels: pictures with fewer are enlarged, where the image processor has such a limit (Qwen, GLM).
        max_pixels: pictures with more are reduced.
        device_map: which part goes to which device; this and the next five are explained in docs/loading.md.
        max_memory: how much each device may hold.
        load_in_4bit: quantise the language model to four bits.
        load_in_8bit: quantise it to eight.
        quantization_config: quantise it otherwise.
        attn_implementation: the kernel of attention: "sdpa", "flash_attention_2" or "eager".

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or fails the contract; the reason is said.
        NotEnoughMemory: its weights do not fit into memory.
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
        options: what ``load`` is to be given beside it.

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or an option does not go with it.
        FileNotFoundError: there is no such checkpoint.
    """
    from sepm_eval.model_wrappers._hf.model import supported as supported_by

    return supported_by(pretrained, options)


CHECKPOINTS = (
    KnownCheckpoint("Qwen/Qwen2.5-VL-7B-Instruct", entry="qwen2.5_vl_7b", names=("qwen2.5-vl-7b",), parameters="7B"),
    KnownCheckpoint("Qwen/Qwen3-VL-4B-Instruct", entry="qwen3_vl_4b", names=("qwen3-vl-4b",), parameters="4B"),
    KnownCheckpoint("Qwen/Qwen3-VL-8B-Instruct", entry="qwen3_vl_8b", names=("qwen3-vl-8b",), parameters="8B"),
    KnownCheckpoint("OpenGVLab/InternVL3_5-8B-HF", entry="internvl3.5_8b", names=("internvl3_5-8b",), parameters="8B"),
)

BACKBONES = {"hf": Architecture(load, CHECKPOINTS, supported=supported)}

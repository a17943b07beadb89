"""Any picture-and-text model of transformers: how it is loaded. The model itself stands in ``_hf``.

The prompt is the checkpoint's own chat template with the picture in front of the question, preprocessing is what its
own processor does, and logits are its own forward pass. What families differ in is in ``_hf.families``; a family that
is not there is tried against ``_hf.contract``, as all are, and refused if it fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    Raises:
        ValueError: the checkpoint is of a kind that is refused, or fails the contract; the reason is said.
    """
    from sepm_eval.model_wrappers._hf import loading  # imports torch, which names and options do without

    return loading.load(
        pretrained,
        device=device,
        dtype=dtype,
        positions=positions,
        tiling=tiling,
        limits={"min_pixels": min_pixels, "max_pixels": max_pixels},
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
    from sepm_eval.model_wrappers._hf import loading

    return loading.supported(pretrained, options)


BACKBONES = {"hf": load}

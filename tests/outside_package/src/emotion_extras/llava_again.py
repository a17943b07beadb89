"""A backbone: LLaVA once more, under a name of this package's own."""

from __future__ import annotations

from sepm_eval.backbone.interface import Backbone
from sepm_eval.model_wrappers.llava import load as load_llava


def load(pretrained: str = "demo", *, device: str = "auto", dtype: str = "auto") -> Backbone:
    """Load a LLaVA checkpoint.

    Args:
        pretrained: a hub id, a folder, or "demo".
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
    """
    return load_llava(pretrained, device=device, dtype=dtype)

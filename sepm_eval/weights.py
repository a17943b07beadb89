"""Weights of a checkpoint folder as tensors by name: safetensors first, torch's own format without code otherwise."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of ``*.safetensors``, or of ``pytorch_model*.bin`` (read with ``weights_only``, so nothing runs).

    Raises:
        FileNotFoundError: the folder holds neither.
    """
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path))
    if weights:
        return weights
    for path in sorted(folder.glob("pytorch_model*.bin")):
        weights.update(torch.load(path, map_location="cpu", weights_only=True))
    if not weights:
        raise FileNotFoundError(f"{folder} holds no weights (*.safetensors or pytorch_model*.bin)")
    return weights

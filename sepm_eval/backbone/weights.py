"""Weights of a checkpoint folder as tensors by name: from safetensors, or else from ``.bin`` without running its code.

The files are memory-mapped, not read: a tensor's pages are loaded when it is used, and the system may drop them again.
So the weights are never held in memory twice.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sepm_eval.backbone.shards import weight_files


def read_weights(folder: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """All tensors of a folder's weight files; ``.bin`` is read with ``weights_only``, so no code in it is run.

    Args:
        folder: where the files are.
        dtype: the dtype in which the model computes. Mapped tensors keep the dtype in which they are stored; a ``.bin``
            from before torch 1.6 cannot be mapped, so its tensors are cast one by one before the next file is read.
            None: no tensor is cast.

    Raises:
        FileNotFoundError: the folder holds no weight files, or not all of them (see ``weight_files``).
        ValueError: a file is damaged, or holds anything but tensors by name.
    """
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        weights.update(_read_bin(path, dtype) if path.suffix == ".bin" else _read_safetensors(path))
    return weights


@contextmanager
def whole_files(folder: Path) -> Iterator[None]:
    """Turn errors about damaged files, which a transformers loader passes on from other libraries, into ``ValueError``.

    Raises:
        ValueError: a file is damaged, or a ``.bin`` holds more than tensors (transformers runs no code in it either).
    """
    try:
        yield
    except (SafetensorError, pickle.UnpicklingError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"weights in {folder} are damaged or hold more than tensors: {reason}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}): download it again") from error


def _read_bin(path: Path, dtype: torch.dtype | None) -> dict[str, Tensor]:
    mapped = zipfile.is_zipfile(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is damaged or holds more than tensors, which are all that is read: {reason}"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise ValueError(f"{path} holds a {type(found).__name__} that holds more than tensors")
    if not mapped and dtype is not None:
        for name, one in found.items():
            found[name] = one.to(dtype) if one.is_floating_point() else one
    return found

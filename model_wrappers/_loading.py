"""What every loader settles: device, dtype, whether weights and preprocessor fit, and what a fault is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.image_utils import PILImageResampling

from sepm_eval.backbone.memory import is_out_of_memory
from sepm_eval.backbone.shards import weight_files

_MOST_LAYERS = 1000


@contextmanager
def named_faults(name: str, pretrained: str) -> Iterator[None]:
    """Around a whole loading: whatever the libraries make of a damaged checkpoint becomes an error that names it.

    They raise nearly anything, and those written in Rust a ``PanicException``, which is no ``Exception``. Missing
    memory and what ends the process pass through.

    Args:
        name: the architecture.
        pretrained: the checkpoint as the user called it.

    Raises:
        ValueError: the checkpoint cannot be loaded.
        FileNotFoundError: a part of it is missing.
    """
    try:
        yield
    except BaseException as error:
        panic = type(error).__module__ == "pyo3_runtime"
        if not (panic or isinstance(error, Exception)) or is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        if type(error) in (ValueError, FileNotFoundError) and pretrained in str(error):
            raise
        if not isinstance(error, (ValueError, OSError)):
            reason = f"{type(error).__name__}: {reason}"
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{pretrained} cannot be loaded as {name}: {reason}") from error


def check_size(what: str, config: Any, build: Callable[[], nn.Module], folders: Sequence[Path]) -> None:
    """Refuse a configuration of a model that the weights cannot fill, before memory for it is asked for.

    Every weight takes a byte at least, so there cannot be more of them than the files have bytes.

    Args:
        what: the checkpoint's name.
        config: the configuration, as transformers holds it.
        build: makes the model; called where tensors have shapes but no memory.
        folders: where its weights are.

    Raises:
        ValueError: the model is larger than the files, or has no possible number of layers.
    """
    for part in (config, *(getattr(config, key, None) for key in ("text_config", "vision_config"))):
        layers = getattr(part, "num_hidden_layers", 1)
        if not isinstance(layers, int) or not 0 < layers <= _MOST_LAYERS:
            raise ValueError(
                f"{what}: its config.json says num_hidden_layers={layers!r}; allowed are 1 to {_MOST_LAYERS}"
            )
    with torch.device("meta"):
        wanted = sum(weight.numel() for weight in build().parameters())
    held = sum(path.stat().st_size for folder in folders for path in weight_files(folder))
    if wanted > held:
        raise ValueError(
            f"{what}: its config.json describes a model of {wanted} weights, but its files have only {held} bytes; "
            "one of them is damaged or belongs to another checkpoint"
        )


def check_processor(where: Path, processor: Any) -> None:
    """Refuse an image processor that prepares pictures as neither LLaVA-1.5 nor VILA does.

    Sizes are not looked at: loaders give their own, which are the tower's.

    Args:
        where: the folder whose preprocessor_config.json was read.
        processor: a Pillow-backed image processor of transformers.

    Raises:
        ValueError: a value no such model has: a mean outside 0 to 1, a spread outside 0.01 to 1, and so on.
    """

    def three(values: Any, least: float, most: float) -> bool:
        """Whether it is a number for each channel; NaN lies in no range."""
        return (
            isinstance(values, (list, tuple))
            and len(values) == 3
            and all(type(value) in (int, float) and least <= value <= most for value in values)
        )

    wanted = {
        "image_mean": (three(processor.image_mean, 0, 1), "three numbers from 0 to 1"),
        "image_std": (three(processor.image_std, 0.01, 1), "three numbers from 0.01 to 1"),
        "rescale_factor": (_is_close(processor.rescale_factor, 1 / 255), "1/255"),
        "resample": (processor.resample == PILImageResampling.BICUBIC, "3 (bicubic)"),
        **{key: (getattr(processor, key) is True, "true") for key in ("do_resize", "do_rescale", "do_normalize")},
    }
    for key, (fits, allowed) in wanted.items():
        if not fits:
            raise ValueError(
                f"the preprocessor of {where} says {key}={getattr(processor, key)!r}, which neither LLaVA-1.5 nor VILA "
                f"does; allowed is {allowed}. Its preprocessor_config.json is damaged or belongs to another model"
            )


def _is_close(value: Any, wanted: float) -> bool:
    return type(value) in (int, float) and abs(value - wanted) < 1e-9


def pick_device(wanted: str) -> torch.device:
    """The device to run on: "auto" takes cuda, then mps, then cpu."""
    if wanted != "auto":
        try:
            return torch.device(wanted)
        except RuntimeError as error:
            raise ValueError(f"device={wanted!r} is no torch device: use auto, cpu, mps, cuda or cuda:N") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(wanted: str, device: torch.device, config: dict[str, Any]) -> torch.dtype:
    """The dtype to compute in: "auto" is the checkpoint's own on a GPU and float32 on a CPU."""
    if wanted == "auto":
        wanted = "float32" if device.type == "cpu" else _own_dtype(config)
    dtype = getattr(torch, wanted, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype={wanted!r}: use auto, float32, bfloat16 or float16")
    return dtype


def _own_dtype(config: dict[str, Any]) -> str:
    """The dtype a configuration names; half precision if it names none, as LLaVA's own code loads."""
    text = config.get("text_config", {})
    named = next((c[key] for c in (config, text) for key in ("dtype", "torch_dtype") if c.get(key)), "float16")
    return str(named).removeprefix("torch.")


# Buffers that older releases of transformers saved although they follow from the configuration.
_DERIVED = (".position_ids", ".rotary_emb.inv_freq")


def check_complete(what: str, info: dict[str, Any], unread: str | None = None) -> None:
    """Refuse a checkpoint whose weights do not all fit: the model would answer, with random layers.

    info: transformers' loading info; unread: a module that was left out on purpose.
    """
    found = {key: sorted(map(str, names)) for key, names in info.items() if key.endswith("_keys")}
    found["unexpected_keys"] = [
        name
        for name in found.get("unexpected_keys", [])
        if not name.endswith(_DERIVED) and unread not in name.split(".")
    ]
    problems = {key: names[:4] for key, names in found.items() if names}
    if problems:
        raise ValueError(
            f"{what}: the weights do not fit the model ({problems}); the checkpoint is incomplete or of another kind"
        )

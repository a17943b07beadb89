"""What every loader settles first: device, dtype, and whether all weights arrived."""

from __future__ import annotations

from typing import Any

import torch


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
            f"{what}: the weights do not fit the model ({problems}); the checkpoint is incomplete or not LLaVA"
        )

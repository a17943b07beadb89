"""Quantised weights, through transformers: which quantisation is wanted, and whether it can run on this machine."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

# The settings that a short name stands for. A torchao type that is given as a class name has that class's defaults.
NAMES: dict[str, dict[str, Any]] = {
    "nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "fp4": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "int8": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "torchao-int8": {"quant_method": "torchao", "quant_type": "Int8WeightOnlyConfig"},
}
METHODS = ("bitsandbytes", "torchao")
_NEEDED = "quantised loading needs the package {0} (pip install {0}) and a device that it supports: {1}"


def parse_quantization(four: bool, eight: bool, config: Any) -> Callable[[torch.dtype], Any] | None:
    """A function from the dtype to compute in to transformers' quantisation config; None if none is wanted.

    Args:
        four: the setting load_in_4bit.
        eight: the setting load_in_8bit.
        config: one of ``NAMES``, or the fields of a quantisation config of transformers, as a mapping or a JSON object,
            whose "quant_method" is one of ``METHODS``.

    Raises:
        ValueError: a setting has none of these values, or more than one quantisation is wanted.
    """
    form = f"use one of {', '.join(NAMES)}, or a JSON object with quant_method {' or '.join(METHODS)}"
    for name, value in (("load_in_4bit", four), ("load_in_8bit", eight)):
        if not isinstance(value, bool):
            raise ValueError(f"{name}={value!r}: use True or False")
    if four + eight + (config is not None) > 1:
        raise ValueError("give one of load_in_4bit, load_in_8bit and quantization_config")
    if four or eight:
        wanted = {"quant_method": "bitsandbytes", f"load_in_{4 if four else 8}bit": True}
    elif config is None:
        return None
    elif isinstance(config, str) and config in NAMES:
        wanted = NAMES[config]
    else:
        try:
            wanted = json.loads(config) if isinstance(config, str) else config
        except (ValueError, RecursionError) as error:
            raise ValueError(f"quantization_config={config[:200]!r}: {form}") from error
    if not isinstance(wanted, dict) or wanted.get("quant_method") not in METHODS:
        raise ValueError(f"quantization_config={str(config)[:200]!r}: {form}")
    return lambda dtype: _made(wanted, dtype)


def _made(wanted: dict[str, Any], dtype: torch.dtype) -> Any:
    from transformers import TorchAoConfig
    from transformers.quantizers.auto import AutoQuantizationConfig

    four = wanted.get("load_in_4bit") and "bnb_4bit_compute_dtype" not in wanted
    computing = {"bnb_4bit_compute_dtype": str(dtype).removeprefix("torch.")} if four else {}
    try:
        if wanted["quant_method"] == "torchao" and isinstance(wanted.get("quant_type"), str):
            return TorchAoConfig(getattr(import_module("torchao.quantization"), wanted["quant_type"])())
        return AutoQuantizationConfig.from_dict({**copy.deepcopy(wanted), **computing})
    except ImportError as error:
        raise ValueError(_NEEDED.format(wanted["quant_method"], _sentence(error))) from error
    except Exception as error:  # whatever a library raises for settings that it does not know
        raise ValueError(f"quantization_config {wanted} cannot be used: {_sentence(error)}") from error


def check_installed(config: Any, device_map: Any) -> None:
    """Check that a quantisation can run on this machine.

    Args:
        config: a quantisation config of transformers.
        device_map: as ``from_pretrained`` takes it.

    Raises:
        ValueError: its package is not installed, or does not work on these devices.
    """
    from transformers.quantizers.auto import AutoHfQuantizer

    method = str(getattr(config.quant_method, "value", config.quant_method))
    try:
        AutoHfQuantizer.from_config(config).validate_environment(device_map=device_map)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ValueError(_NEEDED.format(method, _sentence(error))) from error


def stored_bytes(config: Any) -> float:
    """Bytes per number in quantised weights, at least."""
    return 0.5 if getattr(config, "load_in_4bit", False) or "Int4" in str(config.to_dict()) else 1.0


def spare(config: Any, modules: list[str]) -> Any:
    """Exclude these modules, by their full names, from a quantisation config, unless it has its own list of them."""
    key = "llm_int8_skip_modules" if hasattr(config, "llm_int8_skip_modules") else "modules_to_not_convert"
    if getattr(config, key, None) is None:
        setattr(config, key, modules)
    return config


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

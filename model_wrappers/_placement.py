"""How a checkpoint is to be loaded: device, dtype, division among devices, quantisation, attention kernel.

All of it is decided from the user's settings, and checked against the machine, before any weights are read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sepm_eval.backbone.memory import free_memory
from sepm_eval.backbone.probe import KERNELS
from sepm_eval.backbone.shards import bytes_in_memory
from sepm_eval.model_wrappers._memory import NotEnoughMemory, lack_of_memory
from sepm_eval.model_wrappers._quantization import check_installed, parse_quantization, spare, stored_bytes

logger = logging.getLogger(__name__)

STRATEGIES = ("auto", "balanced")


@dataclass(frozen=True)
class Loading:
    """How a checkpoint is to be loaded, as decided by ``settle``.

    Attributes:
        device: the device of a model that is not divided.
        dtype: the dtype in which the model computes.
        device_map: one of ``STRATEGIES``, the place of each module by its name, or None: all on ``device``.
        max_memory: bytes that a strategy may use on each device, by number or "cpu"; None: what is free.
        quantization: a quantisation config of transformers, or None.
        attention: the attention kernel, one of ``KERNELS``; None: the one that the model's class chooses.
    """

    device: torch.device
    dtype: torch.dtype
    device_map: str | dict[str, str] | None = None
    max_memory: dict[int | str, int] | None = None
    quantization: Any = None
    attention: str | None = "sdpa"

    @property
    def bytes_a_number(self) -> float:
        """Bytes of memory per weight."""
        return self.dtype.itemsize if self.quantization is None else stored_bytes(self.quantization)

    @property
    def settings(self) -> dict[str, str]:
        """The part that determines an answer, in the form of ``Backbone.settings``."""
        quantised = "none"
        if self.quantization is not None:
            quantised = json.dumps(self.quantization.to_dict(), sort_keys=True, default=str)
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "attn_implementation": self.attention or "auto",
            "quantization_config": quantised,
        }

    def part(self, name: str) -> Loading:
        """How to load one of the models that make up a checkpoint; its name is the prefix of its keys in a map.

        Raises:
            ValueError: a map puts all of this model on disk.
        """
        if not isinstance(self.device_map, dict):
            return self
        inside = {
            key.removeprefix(name).removeprefix("."): place
            for key, place in self.device_map.items()
            if key == name or key.startswith(f"{name}.")
        }
        rest = {"": self.device_map[""]} if "" in self.device_map else {}
        found = {**rest, **inside}
        if set(found.values()) == {"disk"}:
            raise ValueError(
                f"device_map puts all of {name} on disk, where nothing is computed; leave a part elsewhere"
            )
        return self._but(device_map=found)

    def on(self, device_map: dict[str, str]) -> Loading:
        """The same loading with another device map."""
        return self._but(device_map=device_map)

    def sparing(self, *modules: str) -> Loading:
        """The same loading without quantising these modules; ``quantization`` itself is changed to name them."""
        if self.quantization is None:
            return self
        return self._but(quantization=spare(self.quantization, list(modules)))

    def undivided(self, what: str) -> torch.device:
        """The device of a model that is too small to be divided.

        Raises:
            ValueError: a map divides it, or puts it on disk.
        """
        if not isinstance(self.device_map, dict):
            return self.device
        places = set(self.device_map.values())
        if len(places) != 1 or places == {"disk"}:
            raise ValueError(f"device_map gives {what} the places {sorted(places)}: it is not divided, name one device")
        return torch.device(_place(*places))

    def whole(self) -> Loading:
        """The same loading for a small model: not divided by a strategy, and not quantised."""
        return self._but(device_map=self.device_map if isinstance(self.device_map, dict) else None, quantization=None)

    def after(self, used: int) -> Loading:
        """The same loading for the next model, with ``used`` bytes subtracted from ``max_memory`` on ``device``."""
        if self.max_memory is None:
            return self
        place = "cpu" if self.device.type == "cpu" else self.device.index or 0
        return self._but(max_memory={**self.max_memory, place: max(self.max_memory.get(place, 0) - used, 0)})

    def placed(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained`` that say where weights go."""
        if self.device_map is None:
            return {"device_map": {"": self.device}}
        if isinstance(self.device_map, dict):
            return {"device_map": {key: _place(value) for key, value in self.device_map.items()}}
        return {"device_map": self.device_map, "max_memory": self.max_memory or _room()}

    def _but(self, **changes: Any) -> Loading:
        return Loading(**{**self.__dict__, **changes})


def settle(
    folders: Sequence[Path],
    config: Mapping[str, Any],
    *,
    device: str = "auto",
    dtype: str = "auto",
    device_map: Any = None,
    max_memory: Any = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    quantization_config: Any = None,
    attn_implementation: str = "sdpa",
) -> Loading:
    """Decide how a checkpoint is loaded, and refuse what cannot work on this machine. Nothing is loaded.

    Args:
        folders: all folders with its weights.
        config: the config.json of its language model, or of the whole checkpoint.
        device: "auto" (cuda, then mps, then cpu) or a torch device.
        dtype: a torch dtype's name, or "auto": on a GPU the checkpoint's own, on a CPU float32, or bfloat16 if float32
            does not fit, which is logged.
        device_map: "auto", "balanced", or the place of each module by its name, as a mapping or JSON; a place is a
            GPU's number, a torch device or "disk", and "" means all other modules. docs/loading.md has examples.
        max_memory: how much "auto" and "balanced" may use, by GPU number or "cpu", as a mapping or JSON.
        load_in_4bit: quantise the language model with bitsandbytes, to 4 bits with its defaults.
        load_in_8bit: quantise the language model with bitsandbytes, to 8 bits.
        quantization_config: see ``parse_quantization``.
        attn_implementation: the attention kernel, one of ``KERNELS``.

    Raises:
        ValueError: a setting is impossible, or needs what is not installed.
        NotEnoughMemory: the weights do not fit.
    """
    quantised = parse_quantization(load_in_4bit, load_in_8bit, quantization_config)
    if quantised is not None and config.get("quantization_config"):
        lot = "load_in_4bit, load_in_8bit and quantization_config"
        raise ValueError(f"the weights of this checkpoint are already quantised: leave out {lot}")
    divided, limits = _parse_map(device_map), _parse_memory(max_memory)
    if limits is not None and not isinstance(divided, str):
        raise ValueError(f"max_memory={max_memory!r} goes with device_map={' or device_map='.join(STRATEGIES)}")
    place = pick_device(device)
    kind = _dtype(dtype, place, config, folders, quantised, divided)
    found = Loading(place, kind, divided, limits, quantised and quantised(kind), attn_implementation)
    _check_attention(found)
    if found.quantization is not None:
        check_installed(found.quantization, found.placed()["device_map"])
    if divided is None:
        _check_memory(folders, found)
    return found


def _check_memory(folders: Sequence[Path], loading: Loading) -> None:
    """Refuse weights that do not fit into the memory of their one device."""
    need = sum(bytes_in_memory(folder, loading.bytes_a_number) for folder in folders)
    if lack := lack_of_memory(need, str(loading.device), loading.bytes_a_number):
        raise NotEnoughMemory(f"{folders[0]} cannot be loaded: {lack}")


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


def pick_dtype(wanted: str, device: torch.device, config: Mapping[str, Any]) -> torch.dtype:
    """The dtype to compute in: "auto" is the checkpoint's own on a GPU and float32 on a CPU."""
    if wanted == "auto":
        wanted = "float32" if device.type == "cpu" else _own_dtype(config)
    dtype = getattr(torch, wanted, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype={wanted!r}: use auto, float32, bfloat16 or float16")
    return dtype


def _own_dtype(config: Mapping[str, Any]) -> str:
    """The dtype that a configuration names; float16 if it names none, as in LLaVA's own code."""
    text = config.get("text_config", {})
    named = next((c[key] for c in (config, text) for key in ("dtype", "torch_dtype") if c.get(key)), "float16")
    return str(named).removeprefix("torch.")


def _dtype(
    wanted: str,
    device: torch.device,
    config: Mapping[str, Any],
    folders: Sequence[Path],
    quantised: Any,
    divided: str | dict[str, str] | None,
) -> torch.dtype:
    """Like ``pick_dtype``, but "auto" on a CPU is bfloat16 if float32 does not fit or the weights are quantised."""
    kind = pick_dtype(wanted, device, config)
    if wanted != "auto" or device.type != "cpu":
        return kind
    if quantised is not None:
        return torch.bfloat16
    need, free = sum(bytes_in_memory(folder, kind.itemsize) for folder in folders), free_memory("cpu")
    if need <= free or divided is not None:
        return kind
    logger.warning(
        "%s: float32 needs %.1f GiB of memory, where %.1f GiB are free; dtype=auto takes bfloat16",
        folders[0],
        need / 2**30,
        free / 2**30,
    )
    return torch.bfloat16


def _check_attention(loading: Loading) -> None:
    """Refuse a kernel that is unknown or cannot run here, before transformers does so after loading the weights."""
    if loading.attention not in KERNELS:
        raise ValueError(f"attn_implementation={loading.attention!r}: use one of {', '.join(KERNELS)}")
    if loading.attention != "flash_attention_2":
        return
    from transformers.utils import is_flash_attn_2_available

    lacking = [
        told
        for told, there in {
            "a CUDA GPU": loading.device.type == "cuda",
            "the package flash-attn (pip install flash-attn)": is_flash_attn_2_available(),
            f"dtype=bfloat16 or float16, not {loading.settings['dtype']}": loading.dtype.itemsize == 2,
        }.items()
        if not there
    ]
    if lacking:
        raise ValueError(
            f"attn_implementation=flash_attention_2 needs {' and '.join(lacking)}; attn_implementation=sdpa runs here"
        )


def _parse_map(device_map: Any) -> str | dict[str, str] | None:
    form = f"use {', '.join(STRATEGIES)}, or a JSON object of places by module, such as " + '{"": "cpu"}'
    if device_map is None or device_map in STRATEGIES:
        return device_map
    found = _json_object("device_map", device_map, form)
    places = {str(key): str(place) for key, place in found.items()}
    for key, place in places.items():
        try:
            _place(place)
        except RuntimeError as error:
            raise ValueError(
                f"device_map puts {key!r} on {place!r}: use a GPU's number, cpu, mps, cuda:N or disk"
            ) from error
    if not places or set(places.values()) == {"disk"}:
        raise ValueError(f"device_map={device_map!r} names only disk, on which nothing is computed; {form}")
    return places


def _place(name: str) -> Any:
    """A place of a device map in the form that accelerate takes.

    Raises:
        RuntimeError: there is no such place.
    """
    if name.isdecimal():
        return int(name)
    if name == "meta":
        raise RuntimeError("weights there have no values")
    return name if name in ("cpu", "disk") else torch.device(name)


def _parse_memory(max_memory: Any) -> dict[int | str, int] | None:
    from accelerate.utils import convert_file_size_to_int

    form = 'give a JSON object of sizes by GPU\'s number or "cpu", such as {"0": "10GiB", "cpu": "30GiB"}'
    if max_memory is None:
        return None
    limits: dict[int | str, int] = {}
    for key, size in _json_object("max_memory", max_memory, form).items():
        place: int | str = int(key) if str(key).isdecimal() else str(key)
        try:
            limits[place] = convert_file_size_to_int(size)
        except (ValueError, TypeError) as error:
            raise ValueError(f"max_memory gives {key!r} {size!r}: {form}") from error
        if isinstance(place, str) and place not in ("cpu", "mps"):
            raise ValueError(f"max_memory names {key!r}: {form}")
    return limits


def _json_object(name: str, value: Any, form: str) -> dict[Any, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}={value[:200]!r}: {form}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name}={str(value)[:200]!r}: {form}")
    return found


def _room() -> dict[int | str, int]:
    """Free memory of each device, in bytes; on the CPU, no more than this process may use."""
    from accelerate.utils import get_max_memory

    free = get_max_memory()
    return {**free, "cpu": min(free.get("cpu", 0), free_memory("cpu"))}

"""Whether a checkpoint's weights will fit into the memory of their devices, checked before anything is loaded.

The operating system kills a process that uses too much memory, without a message. Only what is certain to fail is
refused: weights that would not fit even by themselves. The memory that answering needs is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from sepm_eval.backbone.memory import free_memory


class NotEnoughMemory(MemoryError):
    """A model's weights do not fit; the message says by how much, and what to do."""


def lack_of_memory(need: float, device: str, bytes_a_number: float) -> str:
    """A message that says why weights do not fit into a device's memory; "" if they may fit.

    Args:
        need: bytes of the weights in memory.
        device: the torch device to which they go.
        bytes_a_number: bytes per weight.
    """
    free = free_memory(device)
    if need <= free:
        return ""
    smaller = f"dtype=bfloat16 needs {_gib(need * 2 / bytes_a_number)}, " if bytes_a_number > 2 else ""
    divided = "device_map=auto divides it among all devices and the CPU, " if device != "cpu" else ""
    quantised = "load_in_4bit=True needs a quarter of bfloat16, " if bytes_a_number >= 2 else ""
    return (
        f"its weights need {_gib(need)} of memory on {device}, where {_gib(free)} are free; "
        f"{smaller}{divided}{quantised}or end what else runs there, or use a machine with more"
    )


def lack_on_map(model: nn.Module, device_map: Mapping[str, str], bytes_a_number: float) -> str:
    """A message that says why a model does not fit with a user's device map; "" if it may fit.

    Args:
        model: the model; its tensors may be on the meta device.
        device_map: the place of each module, by its name; "" stands for all others. The disk is assumed to have room.
        bytes_a_number: bytes per weight in memory.
    """
    needs: dict[str, float] = {}
    for name, weight in model.named_parameters():
        place = device_map[_holder(name, device_map)]
        needs[place] = needs.get(place, 0) + weight.numel() * bytes_a_number
    for place, need in needs.items():
        if place not in ("disk", "meta") and (free := free_memory(place)) < need:
            return (
                f"device_map puts {_gib(need)} of weights on {place}, where {_gib(free)} are free; move some of them, "
                "or leave it to device_map=auto"
            )
    return ""


def spell_out(model: nn.Module, device_map: Mapping[str, str], name: str = "", place: str = "") -> dict[str, str]:
    """Rewrite a device map so that no key lies inside another, as accelerate requires: a module becomes its parts.

    Args:
        model: the model, or one of its modules.
        device_map: the place of modules, by name.
        name: the module's name; "" for the model.
        place: the place of the module around it.
    """
    place = device_map.get(name, place)
    if not any(key != name and (not name or key.startswith(f"{name}.")) for key in device_map):
        # a module without a place has no weights, only buffers: any device that computes will do
        return {name: place or next(one for one in device_map.values() if one != "disk")}
    front = f"{name}." if name else ""
    own = [*model.named_parameters(recurse=False), *model.named_buffers(recurse=False)]
    found = {f"{front}{key}": place for key, _ in own if place}
    for key, module in model.named_children():
        found |= spell_out(module, device_map, f"{front}{key}", place)
    return found


def _holder(weight: str, device_map: Mapping[str, str]) -> str:
    """The key of a device map that gives a weight its place: the longest one that the weight's name begins with."""
    return max((name for name in device_map if not name or f"{weight}.".startswith(f"{name}.")), key=len)


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"

"""Memory: how much is free, which errors mean that it ran out, and how to free some before another attempt."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import torch
from torch import nn

# Messages, in lower case, of failed allocations that are raised as a plain RuntimeError.
_SAID = (
    "out of memory",  # CUDA, HIP, MPS, XPU, from PyTorch's allocator or from the driver
    "defaultcpuallocator",
    "not enough memory: you tried to allocate",  # PyTorch on a CPU, under Windows
    "cublas_status_alloc_failed",
    "cusolver_status_alloc_failed",
    "cusparse_status_alloc_failed",
    "cufft_alloc_failed",
    "cudnn_status_alloc_failed",
    "hipblas_status_alloc_failed",
    "miopenstatusallocfailed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the device or of the machine ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(text in said for text in _SAID)


def free_memory(device: str) -> int:
    """Free memory of a device in bytes; on the CPU, what this process may still use.

    The system's file cache counts as free, because the system drops it first.

    Args:
        device: a torch device.
    """
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    return min([available, *_left_by_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def used_memory() -> int:
    """Used memory in bytes: the peak so far over all CUDA GPUs; without one, what is in use now (MPS or process)."""
    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_reserved(at) for at in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def _left_by_limits(root: Path, membership: Path) -> list[int]:
    """Bytes left under each memory limit of this process's control groups, as containers and batch systems set them.

    The system's own figures do not take these limits into account. Both versions of Linux's control groups are read;
    other systems have none.

    Args:
        root: where control groups are mounted.
        membership: the file that names this process's groups, one "number:controllers:/path" per line.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, inside in lines:
        second = controllers == ""
        if not second and "memory" not in controllers.split(","):
            continue
        mount = root if second else root / "memory"
        names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        group = mount / inside.lstrip("/")
        for place in dict.fromkeys((group, *(one for one in group.parents if one.is_relative_to(mount)), mount)):
            try:
                limit, used = (int((place / name).read_text()) for name in names)
                stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no limit ("max"), or a container that cannot see the groups around it
                continue
            total = "" if second else "total_"
            files = int(stat.get(f"{total}inactive_file", 0)) + int(stat.get(f"{total}active_file", 0))
            left.append(max(limit - used + files, 0))
    return left


def computes_on(module: nn.Module) -> torch.device:
    """Device for a module's input: where its first weights are or, if the model is divided, where they are moved to."""
    first = next(one for one in module.modules() if next(one.parameters(recurse=False), None) is not None)
    device = next(first.parameters(recurse=False)).device
    if device.type != "meta":
        return device
    hook = first._hf_hook  # accelerate's hook, which fetches weights that are kept elsewhere
    places = (getattr(one, "execution_device", None) for one in getattr(hook, "hooks", [hook]))
    return torch.device(next(place for place in places if place is not None))


def release() -> None:
    """Free memory that is no longer referenced, including PyTorch's reserve on a device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()

"""Memory: how much is free, how a lack of it is told from other errors, and what is done before another try."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import torch
from torch import nn

# What is said where an allocation fails and no class of its own says so, in lower case.
_SAID = (
    "out of memory",  # CUDA, HIP, MPS, XPU, whether PyTorch's allocator or the driver says it
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
    """Whether an error says that memory, of the device or of the machine, did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(text in said for text in _SAID)


def free_memory(device: str) -> int:
    """Bytes of memory that are free on a device; of the CPU, what this process may still have.

    What the system keeps of files in memory counts as free: it lets go of them first.

    Args:
        device: a torch device.
    """
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    return min([available, *_left_by_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def used_memory() -> int:
    """Bytes of memory in use: on all GPUs the most so far, without one what this process holds now."""
    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_reserved(at) for at in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return int(torch.mps.driver_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def _left_by_limits(root: Path, membership: Path) -> list[int]:
    """Bytes left by each memory limit on this process's control groups, as containers and batch systems set them.

    The system's own figures do not know of them. Both versions of Linux's control groups are read; elsewhere there are
    none.

    Args:
        root: where control groups are mounted.
        membership: the file that names this process's groups, "number:controllers:/path" a line.
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
            except (OSError, ValueError):  # no limit ("max"), or a container that does not see the groups around it
                continue
            total = "" if second else "total_"
            files = int(stat.get(f"{total}inactive_file", 0)) + int(stat.get(f"{total}active_file", 0))
            left.append(max(limit - used + files, 0))
    return left


def computes_on(module: nn.Module) -> torch.device:
    """The device to which a module's input goes: where its first weights are or, of a divided model, are brought to."""
    first = next(one for one in module.modules() if next(one.parameters(recurse=False), None) is not None)
    device = next(first.parameters(recurse=False)).device
    if device.type != "meta":
        return device
    hook = first._hf_hook  # accelerate's, which fetches weights that lie elsewhere
    places = (getattr(one, "execution_device", None) for one in getattr(hook, "hooks", [hook]))
    return torch.device(next(place for place in places if place is not None))


def release() -> None:
    """Give back what nothing holds any more, PyTorch's reserves on a device among it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()

"""Lack of memory: how it is told from other errors, and what is done before another try."""

from __future__ import annotations

import gc

import torch

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


def release() -> None:
    """Give back what nothing holds any more, PyTorch's reserves on a device among it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()

"""Several processes that share a run: which one this is, and how they keep in step.

lmms-eval tells a model its rank only after it is loaded; the launcher's variables say it before.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

T = TypeVar("T")

_HOURS_BETWEEN_RANKS = 24


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def own_device(device: str) -> str:
    """The device a process loads to: where several share a machine, "auto" is each one's own GPU."""
    own = device == "auto" and world_size() > 1 and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if own else device


def shard() -> str:
    """What tells this process's journal from the others'."""
    return f".rank{rank()}" if world_size() > 1 else ""


def join() -> None:
    """Let this process meet the others; one may wait for another as long as a whole run takes."""
    if world_size() > 1:
        Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=_HOURS_BETWEEN_RANKS))])


def agreed(value: T) -> T:
    """What the first process says, for all: others may not see its files yet."""
    if world_size() == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box)
    return box[0]


def wait() -> None:
    """Go on when every process has come this far."""
    if world_size() > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()

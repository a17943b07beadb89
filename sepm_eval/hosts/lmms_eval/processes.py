"""Several processes that share a run: the rank of this process, and how the processes synchronise.

lmms-eval tells a model its rank only after loading; the launcher's environment variables have it from the beginning.
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
    """The rank of this process, counted from 0."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def own_device(device: str) -> str:
    """The device to which this process loads a model: with several processes, "auto" is each one's own GPU."""
    own = device == "auto" and world_size() > 1 and torch.cuda.is_available()
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if own else device


def shard() -> str:
    """The text in a journal's file name that tells the journals of several processes apart; "" for one process."""
    return f".rank{rank()}" if world_size() > 1 else ""


def join() -> None:
    """Join the process group; its timeout is a day, because one process may wait for another for a whole run."""
    if world_size() > 1:
        Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=_HOURS_BETWEEN_RANKS))])


def agreed(value: T) -> T:
    """The value of the first process, given to all, because the other processes may not see its files yet."""
    if world_size() == 1:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box)
    return box[0]


def wait() -> None:
    """Wait until every process has reached this call."""
    if world_size() > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()

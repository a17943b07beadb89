"""Whether there is room for what a plan will need: memory for a model's weights, disk for journals and logs.

Only what is certain to fail is refused: weights that would not fit even alone. What an answer needs is not counted.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

BYTES_AN_ANSWER = 8192  # of a journal's record and a log's sample together, measured at 3 to 6 KB; rounded up


def lack_of_memory(weights: int, stored: int, wanted: int, device: str) -> str:
    """Why weights do not fit into memory, in words; "" if they may.

    Args:
        weights: bytes of the weights' files.
        stored: bytes of a number in them.
        wanted: bytes of a number of the model in memory.
        device: a torch device to which the model goes.
    """
    need = weights * wanted // stored
    free = _free(device)
    if need <= free:
        return ""
    smaller = "" if wanted <= 2 else "; dtype=bfloat16 needs half of that"
    return (
        f"its weights need {need / 2**30:.1f} GiB of memory on {device}, where {free / 2**30:.1f} GiB are "
        f"free{smaller}; end what else runs there, or use a device with more"
    )


def lack_of_disk(folder: Path, answers: int) -> str:
    """Why a folder's disk does not hold so many answers, in words; "" if it does."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    need, free = answers * BYTES_AN_ANSWER, shutil.disk_usage(there).free
    if need <= free:
        return ""
    return (
        f"{answers:,} answers need about {need / 2**30:.1f} GiB of disk, and {free / 2**30:.1f} GiB are free at "
        f"{there}: name another folder with --out"
    )


def _free(device: str) -> int:
    """Bytes of memory that are free on a device."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)

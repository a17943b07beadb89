"""A check whether the disk has enough space for the journals and logs of a plan."""

from __future__ import annotations

import shutil
from pathlib import Path

BYTES_AN_ANSWER = 8192  # one journal record and one log sample together took 3 to 6 KB when measured; rounded up


def lack_of_disk(folder: Path, answers: int) -> str:
    """A sentence if the disk of a folder has no space for this number of answers; "" if it has."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    need, free = answers * BYTES_AN_ANSWER, shutil.disk_usage(there).free
    if need <= free:
        return ""
    return (
        f"{answers:,} answers need about {need / 2**30:.1f} GiB of disk, and {free / 2**30:.1f} GiB are free at "
        f"{there}: name another folder with --out"
    )

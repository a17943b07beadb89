"""Inputs that are broken, misleading or meant to do harm, each with what must become of it.

Everything is made when it is wanted, from a fixed seed. A case builds its input in a folder of its own, which is also
the data folder, and hands it to the function that a user's file would reach.
"""

from __future__ import annotations

from hostile import checkpoints, lists, pictures, releases, runs
from hostile.case import Case

AREAS = (
    *(pictures.pictures, pictures.places),
    *(releases.emoset, releases.emotion6, releases.webemo, releases.abstract, releases.artphoto),
    *(lists.item_lists, lists.archives, lists.copies),
    *(runs.plans, runs.results, runs.journals),
    *(checkpoints.manifests, checkpoints.questions, checkpoints.checkpoints),
)


def cases() -> list[Case]:
    """All of them."""
    return [case for area in AREAS for case in area()]

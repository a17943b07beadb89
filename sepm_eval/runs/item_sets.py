"""A digest of the items that a run was asked about: their ids, labels and pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def item_set_digest(items: Iterable[tuple[str, str, str]]) -> str:
    """A digest that identifies a set of items, whatever their order.

    Args:
        items: for each item its id, its label and the SHA-256 of its picture's file ("" if the file could not be read).
            An item that occurs twice counts twice.

    Returns:
        64 hexadecimal digits, the SHA-256 of the sorted items as JSON.
    """
    rows = sorted((key, label, picture) for key, label, picture in items)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

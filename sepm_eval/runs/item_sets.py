"""What a run was asked on, as one value: a digest of ids, labels and pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def item_set_digest(items: Iterable[tuple[str, str, str]]) -> str:
    """What identifies a set of items, whatever their order.

    Args:
        items: id, label and SHA-256 of the picture's file of each ("" where it could not be read). An item that stands
            twice counts twice.

    Returns:
        64 hexadecimal digits, the SHA-256 of the sorted items as JSON.
    """
    rows = sorted((key, label, picture) for key, label, picture in items)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

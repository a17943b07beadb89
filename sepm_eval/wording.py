"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 file", "2 files".

    Args:
        number: how many.
        one: the noun for one of them.
        many: the noun for several; by default ``one`` with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"

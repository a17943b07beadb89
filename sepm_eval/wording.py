"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun in the right form: "1 file", "2 files".

    Args:
        number: how many there are.
        one: the noun in the singular.
        many: the noun in the plural; by default ``one`` with an s.

    Returns:
        The number, a space and the noun.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"

"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun in the right form: "1 file", "2 files".

    Args:
        number: how many there are.
        noun: the noun in the singular, whose plural has an s.

    Returns:
        The number, a space and the noun.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""Checks of the methods' options: whatever a plan or a command line may hold, a bad value is a ``ValueError``."""

from __future__ import annotations

from collections.abc import Collection

LARGEST = 2**63 - 1  # what a journal's readers take for a whole number


def check_one_of(name: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is none of the allowed ones, in type too: True is not 1.

    Raises:
        ValueError: it is none of them.
    """
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise ValueError(f"{name}={_shown(value)}: use one of {list(allowed)}")


def checked_share(name: str, value: object, below: float) -> float:
    """A number from 0 up to, but not including, ``below``, as a float: equal settings are written alike (0, -0.0).

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < below:
        raise ValueError(f"{name}={_shown(value)}: use a number from 0 up to, but not including, {below:g}")
    return float(value) + 0.0


def check_whole(name: str, value: object) -> None:
    """Refuse a value that is no whole number from 0 to ``LARGEST``.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise ValueError(f"{name}={_shown(value)}: use a whole number from 0 to {LARGEST}")


def check_switch(name: str, value: object) -> None:
    """Refuse a value that is neither True nor False.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}={_shown(value)}: use True or False")


def _shown(value: object) -> str:
    """A value as it is written, or where that is too long, what it is."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        shown = ""
    return shown if 0 < len(shown) <= 80 else f"<{type(value).__name__}, too long to show>"

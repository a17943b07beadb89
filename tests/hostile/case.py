"""What one hostile input is, and the names and colours that several kinds of input share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sepm_eval.datasets import find_benchmarks

BENCHMARKS = find_benchmarks()
RED, BLUE = (254, 0, 0), (0, 0, 254)

# Names that lead elsewhere, on this system or on another.
TRAVERSALS = {
    "up": "../outside.jpg",
    "up-inside": "image/../../outside.jpg",
    "absolute": "/etc/passwd",
    "backslash": "..\\outside.jpg",
    "backslash-inside": "image\\..\\..\\outside.jpg",
    "drive": "C:/outside.jpg",
    "drive-relative": "C:outside.jpg",
    "share": "\\\\host\\share\\outside.jpg",
    "stream": "picture.jpg:hidden",
    "nul": "picture.jpg\0.png",
    "newline": "picture\n.jpg",
    "escape": "picture\x1b[2J.jpg",
    "long": "x" * 300 + ".jpg",
    "deep": "x/" * 800 + "x.jpg",
}


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        name: area and what is wrong.
        act: makes the input in a folder and reads it.
        refused: what the error must say, as a pattern; None if the input must be read.
        gives: what reading it must give.
        either: both are right, as the damage cannot always be seen: an error that says ``refused``, or what ``gives``
            as a function accepts.
    """

    name: str
    act: Callable[[Path], Any]
    refused: str | None = None
    gives: Any = None
    either: bool = False

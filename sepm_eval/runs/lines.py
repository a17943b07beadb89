"""Reading of selected fields from a line of JSON: all other fields are skipped without creating Python objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec


def line_reader(fields: Sequence[str], unread: Sequence[str] = ()) -> Callable[[bytes], dict[str, Any]]:
    """Make a function that reads some fields of one line of JSON.

    Args:
        fields: names of the fields to read.
        unread: names of fields whose values are wanted as raw JSON bytes, not parsed.

    Returns:
        A function that takes a line and returns, by name, those of these fields that the line has. The values of
        ``fields`` are what ``json.loads`` returns for them. It raises a ValueError, a TypeError or a RecursionError if
        the line holds no JSON object.
    """
    kinds = [(name, Any, msgspec.UNSET) for name in fields] + [(name, msgspec.Raw, msgspec.UNSET) for name in unread]
    decode = msgspec.json.Decoder(msgspec.defstruct("Line", kinds)).decode

    def read(line: bytes) -> dict[str, Any]:
        try:
            found = decode(line)
        except msgspec.MsgspecError:
            return _by_hand(line)
        told = {name: value for name in fields if (value := getattr(found, name)) is not msgspec.UNSET}
        return told | {name: bytes(raw) for name in unread if (raw := getattr(found, name)) is not msgspec.UNSET}

    def _by_hand(line: bytes) -> dict[str, Any]:
        """Read a line that msgspec rejects: Python's JSON parser accepts more (NaN, half of a surrogate pair)."""
        content = json.loads(line)
        if not isinstance(content, dict):
            raise TypeError(f"{str(content)[:80]!r} is no object")
        told = {name: content[name] for name in fields if name in content}
        return told | {name: json.dumps(content[name]).encode() for name in unread if name in content}

    return read

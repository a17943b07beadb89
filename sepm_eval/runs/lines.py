"""Of a line of JSON only what is asked for: all else is passed over and never becomes an object."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec


def line_reader(fields: Sequence[str], unread: Sequence[str] = ()) -> Callable[[bytes], dict[str, Any]]:
    """A function that reads some fields of one line.

    Args:
        fields: their names.
        unread: names of fields whose values are wanted as they are written, as bytes.

    Returns:
        What gives for a line the fields that stand in it, by name, with the values that ``json.loads`` gives. It raises
        a ValueError, a TypeError or a RecursionError if the line holds no JSON object.
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
        """The same of what only Python's JSON takes (NaN, half of a surrogate pair), or of what is none."""
        content = json.loads(line)
        if not isinstance(content, dict):
            raise TypeError(f"{str(content)[:80]!r} is no object")
        told = {name: content[name] for name in fields if name in content}
        return told | {name: json.dumps(content[name]).encode() for name in unread if name in content}

    return read

"""Damage to the files of a checkpoint, from a fixed seed: what a torn download, a bad disk or a bad edit leaves."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Iterator
from typing import Any

# In place of any value of a configuration: other types, and sizes that no model has.
VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", [], {}, [1, "x"], {"a": None}, 0, -1, 1, 3, 1.5, -2.5, 1e300),
    *(10**6, 10**9, 10**12, 2**63, 10**40, float("nan"), float("inf")),
)
GONE = object()
FILES = {
    "empty": b"",
    "zeros": bytes(3000),
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "text": b'"x"',
    "number": b"7",
    "html": b"<html><body>404 not found</body></html>",
    "nested": b"[" * 100_000,
    "nested-objects": b'{"a":' * 100_000,
    "not-utf8": b'{"a": "\xff\xfe"}',
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
}


def damages(name: str, content: bytes, seed: int, most: int) -> Iterator[tuple[str, bytes | None]]:
    """What damaged it and what the file then holds; None is a file that is gone.

    Args:
        name: the file's name, which says what it should hold.
        content: what it holds.
        seed: of what is drawn.
        most: how many values of a JSON file are replaced.
    """
    draw = random.Random(seed)
    yield "gone", None
    yield from FILES.items()
    yield "garbage", draw.randbytes(2000)
    for share in (0.02, 0.3, 0.6, 0.99):
        yield f"cut at {share:.0%}", content[: int(share * len(content))]
    for number in range(4):
        changed = bytearray(content)
        reach = len(content) if number % 2 else min(len(content), 2000)  # the front is where headers are
        for _ in range(1 + number):
            changed[draw.randrange(reach)] ^= 1 << draw.randrange(8)
        yield f"flipped {number}", bytes(changed)
    if name.endswith(".json"):
        yield from _edited(json.loads(content), draw, most)
    elif name.endswith(".safetensors"):
        yield from _misdescribed(content, draw)


def _edited(whole: Any, draw: random.Random, most: int) -> Iterator[tuple[str, bytes]]:
    """A JSON file with one value gone or replaced; values near the top are drawn as often as the many deep ones."""
    places = list(_places(whole))
    shallow = [place for place in places if len(place) < 3]
    for _ in range(most):
        place = draw.choice(draw.choice((places, shallow)))
        value = draw.choice((GONE, *VALUES))
        changed = copy.deepcopy(whole)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        if value is GONE:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        told = "gone" if value is GONE else json.dumps(value)[:20]
        yield f"{'.'.join(map(str, place))[:60]} is {told}", json.dumps(changed).encode()


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def _misdescribed(content: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Weights whose header says something else."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for change in ("name", "gone", "transposed", "flat", "dtype", "offsets", "negative"):
        changed = copy.deepcopy(header)
        name = draw.choice([name for name, about in header.items() if len(about.get("shape", ())) == 2])
        about = changed[name]
        if change == "name":
            changed[f"{name}.other"] = changed.pop(name)
        elif change == "gone":
            del changed[name]
        elif change == "transposed":
            about["shape"] = [about["shape"][0] * 2, about["shape"][1] // 2]
        elif change == "flat":
            about["shape"] = [about["shape"][0] * about["shape"][1]]
        elif change == "dtype":
            about["dtype"] = {"F32": "I32", "F16": "I16"}[about["dtype"]]
        elif change == "offsets":
            about["data_offsets"] = [0, about["data_offsets"][1] - about["data_offsets"][0]]
        else:
            about["shape"] = [-1, *about["shape"][1:]]
        text = json.dumps(changed).encode()
        yield f"{name}: {change}", struct.pack("<Q", len(text)) + text + content[8 + length :]

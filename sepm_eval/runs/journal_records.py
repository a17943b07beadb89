"""What a report takes from journals: of each answer it asks for a small value, and nothing of the others.

A journal is read line by line, and a line whose key nobody asks for is passed over without being parsed: it may hold
many runs, and those of a large benchmark take gigabytes as objects.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from sepm_eval.runs.journal import START
from sepm_eval.runs.outcomes import Record
from sepm_eval.types import Block

_MOST_TOKENS = 10**6  # of a picture
_FARTHEST = 10**9  # pixels
_LONGEST = 10**9  # seconds

RecordId: TypeAlias = "tuple[str, str, int]"  # of a record: key, task, doc_id


def journal_records(
    paths: Iterable[Path], wanted: Mapping[RecordId, str], damaged: list[str] | None = None
) -> dict[RecordId, Record]:
    """The journal records that answers came from.

    Args:
        paths: journals, and other files, which are left alone.
        wanted: the text of each answer by its record's id. A record with another text is not the answer's.
        damaged: is given a sentence for each journal with a line that is no record; what follows there is left out.

    Raises:
        ValueError: a line of a journal is not a record, and ``damaged`` is None.
    """
    keys = {key.encode() for key, _, _ in wanted}
    joined: dict[RecordId, Record] = {}
    for path in filter(is_journal, paths):
        with told_of(damaged):
            for record_id, text, record in records(path, keys):
                if record_id not in wanted:
                    continue
                if text is None:
                    joined.setdefault(record_id, record)
                elif text == wanted[record_id]:
                    joined[record_id] = record
    return joined


@contextmanager
def told_of(damaged: list[str] | None) -> Iterator[None]:
    """Around the reading of one file: what is wrong with it is put into a list, if there is one, and is no error."""
    try:
        yield
    except (ValueError, OSError) as error:
        if damaged is None:
            raise
        damaged.append(str(error))


def records(path: Path, keys: Container[bytes]) -> Iterator[tuple[RecordId, str | None, Record]]:
    """A journal's whole records with certain keys, one at a time, each with its text, None of one that failed.

    Lines with other keys are passed over without being read.

    Raises:
        ValueError: a line is not a record, or lacks what every record has.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # being written, or torn
            key = _key(line)
            if key and key not in keys:
                continue
            try:
                yield record_of(json.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a journal record ({error!r}); move the file away"
                ) from error


def _key(line: bytes) -> bytes:
    """The key of a journal's line, which stands first; b"" if none does."""
    begin = len(START) + 1
    return line[begin : line.find(b'"', begin)] if line.startswith(START + b'"') else b""


def record_of(content: Mapping[str, Any]) -> tuple[RecordId, str | None, Record]:
    """What a report takes from a journal record: its id, its text (None if it failed), and the rest as a value.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, OverflowError: it is none.
    """
    answered = {"answered": True, "failed": False}[content["status"]]
    kinds = {"key": str, "task": str, "doc_id": int, "versions": dict, "model": dict}
    kinds |= {"text": str, "method": dict} if answered else {}
    odd = [name for name, kind in kinds.items() if type(content[name]) is not kind]
    if odd:
        raise TypeError(f"{odd[0]} is {content[odd[0]]!r}")
    record = Record(
        stages=len(content.get("prompts") or ()),
        visual_tokens=content.get("visual_tokens"),
        tokens_read=_shared(tuple(content.get("tokens_read") or ())),
        p_positive=content.get("p_positive"),
        p_negative=content.get("p_negative"),
        confidence=content.get("confidence"),
        polarity=content.get("polarity") and sys.intern(content["polarity"]),
        ambiguous=content.get("ambiguous"),
        dropped=array("I", content.get("dropped") or ()),
        blocks=_blocks(json.dumps(content.get("blocks") or ())),
        error=content.get("error"),
        tokens_left=_number(content, "tokens_left", _MOST_TOKENS),
        labels=_labels(tuple(content.get("option_probabilities") or ())),
        probabilities=_probabilities(content.get("option_probabilities") or {}),
        seconds=_number(content, "seconds", _LONGEST),
    )
    record_id = content["key"], content["task"], content["doc_id"]
    return record_id, content["text"] if answered else None, record


def _number(content: Mapping[str, Any], name: str, most: float) -> float | None:
    """A number that a record may have, from 0 on.

    Raises:
        TypeError: something else stands there.
    """
    found = content.get(name)
    if found is not None and (type(found) not in (int, float) or not 0 <= found <= most):
        raise TypeError(f"{name} is {found!r}")
    return found


def _probabilities(found: Mapping[str, Any]) -> array[float]:
    if not all(type(one) in (int, float) and 0 <= one < math.inf for one in found.values()):  # DAN's are weighted
        raise TypeError(f"option_probabilities is {found!r}")
    return array("d", found.values())


@lru_cache(maxsize=1024)
def _labels(found: tuple[str, ...]) -> tuple[str, ...]:
    """The same, one object for all that are equal."""
    return found


@lru_cache(maxsize=1024)
def _shared(counts: tuple[int, ...]) -> tuple[int, ...]:
    """The same, one object for all that are equal."""
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError(f"tokens_read is {counts!r}")
    return counts


@lru_cache(maxsize=2**16)
def _blocks(written: str) -> tuple[Block, ...]:
    """Where visual tokens lie, from JSON; one object for all that are equal, as those of pictures of one size are.

    Raises:
        TypeError, LookupError, AttributeError: it says nothing of the kind.
    """
    found = []
    for one in json.loads(written):
        box, grid = tuple(one["box"]), (one["rows"], one["columns"])
        fits = all(type(count) is int and 0 < count <= _MOST_TOKENS for count in grid)
        fits = fits and len(box) == 4 and all(type(edge) in (int, float) and abs(edge) <= _FARTHEST for edge in box)
        fits = fits and box[0] < box[2] and box[1] < box[3] and one["separators"] in ("none", "rows", "end")
        if not fits or type(one["by_columns"]) is not bool:
            raise TypeError(f"a block is {one!r}")
        found.append(Block(box, *grid, one["separators"], one["by_columns"]))
    if sum(map(len, found)) > _MOST_TOKENS:
        raise TypeError(f"blocks have {sum(map(len, found))} tokens")
    return tuple(found)


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does."""
    with path.open("rb") as file:
        return file.read(len(START)) == START

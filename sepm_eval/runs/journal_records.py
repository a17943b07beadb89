"""Reading journals for reports: a small ``Record`` for each answer that is asked for, and nothing for the others.

A journal is read line by line, and a line whose key is not asked for is skipped without being parsed: a journal may
hold many runs, and the records of a large benchmark would take gigabytes as Python objects.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections import ChainMap
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from sepm_eval.runs.journal import START
from sepm_eval.runs.lines import line_reader
from sepm_eval.runs.outcomes import Outcome, Record
from sepm_eval.types import Block

_MOST_TOKENS = 10**6  # visual tokens of a picture
_FARTHEST = 10**9  # pixels
_LONGEST = 10**9  # seconds
# Fields that every record has, with their types; bytes stands for a JSON object that is not parsed.
_FAILED = (("key", str), ("task", str), ("doc_id", int), ("versions", bytes), ("model", bytes))
_ANSWERED = (*_FAILED, ("text", str), ("method", bytes))

RecordId: TypeAlias = "tuple[str, str, int]"  # key, task and doc_id of a record
Wanted: TypeAlias = "dict[str, dict[str, list[Outcome]]]"  # by task and key of a record: the outcomes that need it

_read = line_reader(
    (
        *("key", "status", "task", "doc_id", "text", "prompts", "visual_tokens", "tokens_read", "p_positive"),
        *("p_negative", "confidence", "polarity", "ambiguous", "dropped", "error", "tokens_left", "seconds"),
        "option_probabilities",
    ),
    ("versions", "model", "method", "blocks"),
)


def fill_in(paths: Iterable[Path], wanted: Wanted, damaged: list[str] | None = None) -> None:
    """Set for each outcome the journal record that it came from.

    A record belongs to an outcome if key, task and document are the same and, for an answered record, the text too. A
    failed question may have several records; the first one counts.

    Args:
        paths: journals; other files among them are ignored.
        wanted: the outcomes whose records are set.
        damaged: a list to which a sentence is added for each journal with an invalid line; the rest of that journal is
            not read.

    Raises:
        ValueError: a line of a journal is not a record, and ``damaged`` is None.
    """
    keys = ChainMap(*wanted.values()) if len(wanted) > 1 else next(iter(wanted.values()), {})
    for path in filter(is_journal, paths):
        with told_of(damaged):
            for (key, task, doc_id), text, record in records(path, keys):
                for outcome in wanted.get(task, {}).get(key, ()):
                    if outcome.doc_id != doc_id:
                        continue
                    if text == outcome.output or (text is None and outcome.record is None):
                        object.__setattr__(outcome, "record", record)  # an Outcome is frozen; this completes it


@contextmanager
def told_of(damaged: list[str] | None) -> Iterator[None]:
    """While one file is read, add its errors to a list instead of raising them; without a list they are raised."""
    try:
        yield
    except (ValueError, OSError) as error:
        if damaged is None:
            raise
        damaged.append(str(error))


def records(path: Path, keys: Container[str]) -> Iterator[tuple[RecordId, str | None, Record]]:
    """Yield the complete records of a journal that have one of these keys.

    Each record comes with its id (key, task and document) and its text, which is None for a failed question. Lines with
    other keys are skipped without being parsed.

    Raises:
        ValueError: a line is not a record, or lacks a field that every record has.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # the line is being written, or was left unfinished
            key = _key(line)
            if key and key not in keys:
                continue
            try:
                yield _record(_read(line))
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a journal record ({error!r}); move the file away"
                ) from error


def _key(line: bytes) -> str:
    """The key of a journal's line, which is its first field; "" if the line does not begin with a key."""
    begin = len(START) + 1
    return line[begin : line.find(b'"', begin)].decode("latin-1") if line.startswith(START + b'"') else ""


def record_of(content: Mapping[str, Any]) -> tuple[RecordId, str | None, Record]:
    """What a report needs from a journal record that has already been parsed from JSON.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, OverflowError: the content is no record.
    """
    return _record(_read(json.dumps(content).encode()))


def _record(content: Mapping[str, Any]) -> tuple[RecordId, str | None, Record]:
    """What a report needs from the fields of a journal record: its id, its text (None if it failed) and its values.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, OverflowError: the content is no record.
    """
    answered = {"answered": True, "failed": False}[content["status"]]
    kinds = _ANSWERED if answered else _FAILED
    for name, kind in kinds:
        if type(content[name]) is not kind or (kind is bytes and not content[name].startswith(b"{")):
            raise TypeError(f"{name} is {content[name]!r}")
    record = Record(
        visual_tokens=content.get("visual_tokens"),
        tokens_read=_shared(tuple(content.get("tokens_read") or ())),
        p_positive=content.get("p_positive"),
        p_negative=content.get("p_negative"),
        confidence=content.get("confidence"),
        polarity=content.get("polarity") and sys.intern(content["polarity"]),
        ambiguous=content.get("ambiguous"),
        dropped=_small(content.get("dropped") or ()),
        blocks=_blocks(content.get("blocks", b"[]")),
        error=content.get("error"),
        tokens_left=_number(content, "tokens_left", _MOST_TOKENS),
        labels=_labels(tuple(content.get("option_probabilities") or ())),
        probabilities=_probabilities(content.get("option_probabilities") or {}),
        seconds=_number(content, "seconds", _LONGEST),
    )
    record_id = content["key"], content["task"], content["doc_id"]
    return record_id, content["text"] if answered else None, record


def _small(dropped: Sequence[int]) -> Sequence[int]:
    """The indices of dropped tokens in 2 or 4 bytes each: there may be a million records with a hundred indices."""
    return array("H" if len(dropped) and max(dropped) < 2**16 else "I", dropped)


def _number(content: Mapping[str, Any], name: str, most: float) -> float | None:
    """A number from 0 to ``most`` that a record may have; None if it does not have the field.

    Raises:
        TypeError: the field holds something else.
    """
    found = content.get(name)
    if found is not None and (type(found) not in (int, float) or not 0 <= found <= most):
        raise TypeError(f"{name} is {found!r}")
    return found


def _probabilities(found: Mapping[str, Any]) -> array[float]:
    """The values of ``option_probabilities``, of which there may be ten million in all, so they are checked together.

    DAN's are weighted by the polarity and may be above 1.

    Raises:
        TypeError: a value is negative, not finite, or no number.
    """
    told = found.values()
    # The sum is below infinity unless a value is NaN or infinite.
    if not (set(map(type, told)) <= {int, float} and min(told, default=0) >= 0 and sum(told) < math.inf):
        raise TypeError(f"option_probabilities is {found!r}")
    return array("d", told)


@lru_cache(maxsize=1024)
def _labels(found: tuple[str, ...]) -> tuple[str, ...]:
    """The labels unchanged; equal tuples share one object, to save memory."""
    return found


@lru_cache(maxsize=1024)
def _shared(counts: tuple[int, ...]) -> tuple[int, ...]:
    """The counts of ``tokens_read`` unchanged; equal tuples share one object, to save memory.

    Raises:
        TypeError: a count is not a whole number from 0 on.
    """
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError(f"tokens_read is {counts!r}")
    return counts


@lru_cache(maxsize=2**16)
def _blocks(written: bytes) -> tuple[Block, ...]:
    """Read from JSON where visual tokens lie in a picture; pictures of one size share one object, to save memory.

    Raises:
        TypeError, LookupError, AttributeError: the JSON text does not describe blocks of visual tokens.
    """
    found = []
    for one in json.loads(written) or ():
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
    """Whether a file begins like a journal."""
    with path.open("rb") as file:
        return file.read(len(START)) == START

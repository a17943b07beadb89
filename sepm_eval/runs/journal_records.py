"""What a report takes from journals: of each answer it asks for a small value, and nothing of the others.

A journal is read line by line, and a line whose key nobody asks for is passed over without being parsed: it may hold
many runs, and those of a large benchmark take gigabytes as objects.
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

_MOST_TOKENS = 10**6  # of a picture
_FARTHEST = 10**9  # pixels
_LONGEST = 10**9  # seconds
_FAILED = (("key", str), ("task", str), ("doc_id", int), ("versions", bytes), ("model", bytes))  # bytes: of an object
_ANSWERED = (*_FAILED, ("text", str), ("method", bytes))

RecordId: TypeAlias = "tuple[str, str, int]"  # of a record: key, task, doc_id
Wanted: TypeAlias = "dict[str, dict[str, list[Outcome]]]"  # by task and key of the record: the answers from it

_read = line_reader(
    (
        *("key", "status", "task", "doc_id", "text", "prompts", "visual_tokens", "tokens_read", "p_positive"),
        *("p_negative", "confidence", "polarity", "ambiguous", "dropped", "error", "tokens_left", "seconds"),
        "option_probabilities",
    ),
    ("versions", "model", "method", "blocks"),
)


def fill_in(paths: Iterable[Path], wanted: Wanted, damaged: list[str] | None = None) -> None:
    """Give outcomes the journal records that they came from.

    An answered record with another text, or of another document, is not the outcome's; of a question that failed there
    may be several, of which the first counts.

    Args:
        paths: journals, and other files, which are left alone.
        wanted: the outcomes, whose records are set.
        damaged: is given a sentence for each journal with a line that is no record; what follows there is left out.

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
                        object.__setattr__(outcome, "record", record)  # an outcome is frozen as soon as it is whole


@contextmanager
def told_of(damaged: list[str] | None) -> Iterator[None]:
    """Around the reading of one file: what is wrong with it is put into a list, if there is one, and is no error."""
    try:
        yield
    except (ValueError, OSError) as error:
        if damaged is None:
            raise
        damaged.append(str(error))


def records(path: Path, keys: Container[str]) -> Iterator[tuple[RecordId, str | None, Record]]:
    """A journal's whole records with certain keys, one at a time.

    Each comes with its key, task and document, and with its text, which is None of a question that failed. Lines with
    other keys are passed over without being read.

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
                yield _record(_read(line))
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a journal record ({error!r}); move the file away"
                ) from error


def _key(line: bytes) -> str:
    """The key of a journal's line, which stands first; "" if none does."""
    begin = len(START) + 1
    return line[begin : line.find(b'"', begin)].decode("latin-1") if line.startswith(START + b'"') else ""


def record_of(content: Mapping[str, Any]) -> tuple[RecordId, str | None, Record]:
    """What a report takes from a journal record that is at hand whole, as JSON's values.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, OverflowError: it is none.
    """
    return _record(_read(json.dumps(content).encode()))


def _record(content: Mapping[str, Any]) -> tuple[RecordId, str | None, Record]:
    """What a report takes from a journal record.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, OverflowError: it is none.
    """
    answered = {"answered": True, "failed": False}[content["status"]]
    kinds = _ANSWERED if answered else _FAILED
    for name, kind in kinds:
        if type(content[name]) is not kind or (kind is bytes and not content[name].startswith(b"{")):
            raise TypeError(f"{name} is {content[name]!r}")
    record = Record(
        stages=len(content.get("prompts") or ()),
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
    """The same in as few bytes as will do: there may be a million records with a hundred numbers each."""
    return array("H" if len(dropped) and max(dropped) < 2**16 else "I", dropped)


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
    """The values, checked all at once: there may be ten million of them. DAN's are weighted and may be above 1."""
    told = found.values()
    # a sum is below infinity unless a value is NaN or infinite
    if not (set(map(type, told)) <= {int, float} and min(told, default=0) >= 0 and sum(told) < math.inf):
        raise TypeError(f"option_probabilities is {found!r}")
    return array("d", told)


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
def _blocks(written: bytes) -> tuple[Block, ...]:
    """Where visual tokens lie, from JSON; one object for all that are equal, as those of pictures of one size are.

    Raises:
        TypeError, LookupError, AttributeError: it says nothing of the kind.
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
    """Whether a file begins as a journal does."""
    with path.open("rb") as file:
        return file.read(len(START)) == START

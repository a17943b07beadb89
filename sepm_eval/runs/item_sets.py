"""Digests of the items that a run was asked about: their ids, labels and pictures, their questions, people's votes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Marks: TypeAlias = tuple[tuple[str, "str | float"], ...]
_MARKS = ("kind", "rating")


def item_set_digest(items: Iterable[tuple[str, str, str]]) -> str:
    """A digest that identifies a set of items, whatever their order.

    Args:
        items: for each item its id, its label and the SHA-256 of its picture's file ("" if the file could not be read).
            An item that occurs twice counts twice.

    Returns:
        64 hexadecimal digits, the SHA-256 of the sorted items as JSON.
    """
    rows = sorted((key, label, picture) for key, label, picture in items)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def marks_of(fields: Mapping[str, Any]) -> Marks:
    """What metrics use of an item with a question of its own, besides its label: the kind of question, a human rating.

    Args:
        fields: an item's ``extra``, a document, or what a log says of it.
    """
    return tuple((name, fields[name]) for name in _MARKS if isinstance(fields.get(name), (str, int, float)))


def tied_questions(asked: Iterable[tuple[str, str, Marks]]) -> list[str]:
    """The questions of a run in the form that ``identity.exam_digest`` takes.

    Args:
        asked: for each item its id, its question word for word, and its marks.

    Returns:
        The question, if all items were asked the same one and none has marks; otherwise a text for each item, which
        ties question and marks to the item.
    """
    rows = list(asked)
    questions = {question for _, question, _ in rows}
    if len(questions) < 2 and not any(marks for _, _, marks in rows):
        return sorted(questions)
    return [json.dumps([item, question, dict(marks)], sort_keys=True) for item, question, marks in rows]


def votes_digest(voted: Iterable[tuple[str, Mapping[str, float | None] | None]]) -> str:
    """A digest of people's votes.

    Args:
        voted: for each item its id, and by label how many people chose it, or which share of them.

    Returns:
        64 hexadecimal digits; "" if nobody voted on any item.
    """
    rows = [
        [item, {label: float(count) for label, count in votes.items() if count is not None}]
        for item, votes in voted
        if votes
    ]
    if not rows:
        return ""
    text = json.dumps(sorted(rows, key=lambda row: str(row[0])), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

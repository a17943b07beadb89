"""Question text to options, and answer text to a letter. Strict both ways: what is not explicit is not read.

The shared extractors of the hosts guess (lmms-eval's reads "I cannot determine" as option I and "Anger" as option A;
VLMEvalKit's reads "awesome joy" as awe). Here an answer counts when it is a letter, a name, or says which one it
chooses; everything else is unparsed, and scored and counted as such. The grammar is in docs/answers.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase

from sepm_eval import emotions
from sepm_eval.answers.items import sentences
from sepm_eval.answers.positions import listed, stated_by_position
from sepm_eval.answers.statements import stated_in_words
from sepm_eval.answers.text import plain

# One line, and no two parts that can take the same character: the time is linear in the text.
_OPTION = re.compile(r"^[^\S\n]*\(?([A-Z])[.):][^\S\n]*(\S.*)$", re.MULTILINE)
_SHORT = 40  # characters


@dataclass(frozen=True)
class Options:
    """The options of a multiple-choice text: labels (known emotions) and the names shown, lettered from A."""

    labels: tuple[str, ...]
    names: tuple[str, ...]


def half_known(text: str) -> tuple[str, ...]:
    """Options that are no known emotion, in a question that offers known emotions as well.

    Such a question has most likely a misspelt label.

    Returns:
        The unknown names; none if all options are known, or if none is.
    """
    names = [name.rstrip() for _, name in _OPTION.findall(text)]
    unknown = tuple(name for name in names if emotions.label_of(name) is None)
    return unknown if len(unknown) < len(names) else ()


def parse_question(text: str) -> Options | None:
    """Read the emotions that a question offers.

    A text is an emotion question when the lines that start with a letter run A, B, C ... without a gap, there are at
    least two of them, and every one is a known emotion (``emotions.label_of``), each named once.

    Returns:
        The options, or None if the text is no such question.
    """
    found = _OPTION.findall(text)
    if len(found) < 2 or [letter for letter, _ in found] != [chr(ord("A") + i) for i in range(len(found))]:
        return None
    names = tuple(name.rstrip() for _, name in found)
    labels = tuple(label for name in names if (label := emotions.label_of(name)) is not None)
    if len(labels) != len(names) or len(set(labels)) != len(labels):
        return None
    return Options(labels, names)


def with_names(text: str, names: Sequence[str]) -> str:
    """A question's text with other names behind the letters of its options.

    Args:
        text: the question, one option a line.
        names: from A on.

    Returns:
        The text, changed in nothing else.

    Raises:
        ValueError: the text has not as many options.
    """
    found = list(_OPTION.finditer(text))
    if [one[1] for one in found] != list(ascii_uppercase[: len(names)]):
        raise ValueError(f"the question does not list {len(names)} options from A on, each on a line: {text!r}")
    for one, name in reversed(list(zip(found, names, strict=True))):
        text = f"{text[: one.start(2)]}{name}{text[one.end(2) :]}"
    return text


def parse_answer(text: str, options: Options) -> str | None:
    """Read which option an answer states.

    An answer counts if a choice opens the text or has a line to itself, or if it is said to be the answer ("the answer
    is B", "I choose fear", "B is correct"). A choice is a letter, a name, or a letter with its own name. The whole
    grammar is in docs/answers.md; the time is linear in the text.

    Args:
        text: what the model wrote.
        options: what the question offered.

    Returns:
        The letter, or None ("unparsed"): the answer states no option, denies or contradicts itself, names several
        options, or only repeats them.
    """
    return _read_short(text, options) if len(text) <= _SHORT else _read(text, options)


def _read(text: str, options: Options) -> str | None:
    letters = ascii_uppercase[: len(options.labels)]
    names, others = _names(options)
    bare = plain(text)
    if letter := names.get(bare.strip().rstrip(".").lower()):  # nothing but a name, which may have several words
        return letter
    said = sentences(bare, letters, names, others)
    lists = listed(said)
    stated, denied = stated_in_words(said, lists)
    stated |= stated_by_position(said, lists)
    return None if len(stated) != 1 or stated & (denied | {""}) else stated.pop()


_read_short = lru_cache(maxsize=4096)(_read)  # most answers of a run are among a few


@lru_cache(maxsize=64)
def _names(options: Options) -> tuple[dict[str, str], frozenset[str]]:
    """Letter by every spelling of an option, and the spellings of all emotions that are not among them."""
    letters = _letters(options)
    return letters, frozenset({*emotions.POLARITY, *emotions.SYNONYMS, *emotions.ADJECTIVES} - set(letters))


def _letters(options: Options) -> dict[str, str]:
    """Letter by lower-case label, shown name, other spelling and adjective."""
    found: dict[str, str] = {}
    for letter, label, name in zip(ascii_uppercase, options.labels, options.names, strict=False):
        others = (
            word for table in (emotions.SYNONYMS, emotions.ADJECTIVES) for word, key in table.items() if key == label
        )
        found.update(dict.fromkeys((label, name.lower(), *others), letter))
    return found

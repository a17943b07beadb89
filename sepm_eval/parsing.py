"""Parse the options from a question's text, and the chosen letter from an answer's text, without any guessing.

The shared answer extractors of the hosts guess: that of lmms-eval reads "I cannot determine" as option I and "Anger" as
option A, and that of VLMEvalKit reads "awesome joy" as awe. Here an answer counts if it is a letter or a name, or says
which one it chooses; everything else is unparsed, and is scored and counted as such. The grammar is in docs/answers.md.
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

# An option is one line. No two neighbouring parts can match the same character, so the time is linear in the text.
_OPTION = re.compile(r"^[^\S\n]*\(?([A-Z])[.):][^\S\n]*(\S.*)$", re.MULTILINE)
_SHORT = 40  # characters


@dataclass(frozen=True)
class Options:
    """The options of a multiple-choice text: labels (known emotions) and the names shown, lettered from A."""

    labels: tuple[str, ...]
    names: tuple[str, ...]


def half_known(text: str) -> tuple[str, ...]:
    """Find the options that are no known emotion, in a question that also offers known emotions.

    Such a question most likely has a misspelt label.

    Returns:
        The unknown names; empty if all options are known emotions, or if none is.
    """
    names = [name.rstrip() for _, name in _OPTION.findall(text)]
    unknown = tuple(name for name in names if emotions.label_of(name) is None)
    return unknown if len(unknown) < len(names) else ()


def parse_question(text: str) -> Options | None:
    """Read the emotions that a question offers.

    A text is an emotion question if its option lines ("A. Anger") have the letters A, B, C ... without a gap, there are
    at least two of them, and each names a different known emotion (``emotions.label_of``).

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
    """Replace the names of the options in a question's text.

    Args:
        text: the question, with each option on its own line.
        names: the new names, in the order of the letters from A on.

    Returns:
        The text with nothing else changed.

    Raises:
        ValueError: the text does not have exactly this number of options, with letters from A on.
    """
    found = list(_OPTION.finditer(text))
    if [one[1] for one in found] != list(ascii_uppercase[: len(names)]):
        raise ValueError(f"the question does not list {len(names)} options from A on, each on a line: {text!r}")
    for one, name in reversed(list(zip(found, names, strict=True))):
        text = f"{text[: one.start(2)]}{name}{text[one.end(2) :]}"
    return text


def parse_answer(text: str, options: Options) -> str | None:
    """Read which option an answer states.

    A choice is a letter, a name, or a letter with its own name. It counts if it opens the text or is alone on a line,
    or if the text says that it is the answer ("the answer is B", "I choose fear", "B is correct"). The whole grammar is
    in docs/answers.md. The time is linear in the length of the text.

    Args:
        text: what the model wrote.
        options: what the question offered.

    Returns:
        The letter. None ("unparsed") if the answer states no option, denies the option that it states, contradicts
        itself, names several options, or only repeats them.
    """
    return _read_short(text, options) if len(text) <= _SHORT else _read(text, options)


def _read(text: str, options: Options) -> str | None:
    letters = ascii_uppercase[: len(options.labels)]
    names, others = _names(options)
    bare = plain(text)
    if letter := names.get(bare.strip().rstrip(".").lower()):  # the text is only a name, which may have several words
        return letter
    said = sentences(bare, letters, names, others)
    lists = listed(said)
    stated, denied = stated_in_words(said, lists)
    stated |= stated_by_position(said, lists)
    return None if len(stated) != 1 or stated & (denied | {""}) else stated.pop()


_read_short = lru_cache(maxsize=4096)(_read)  # most answers of a run are one of a few short texts


@lru_cache(maxsize=64)
def _names(options: Options) -> tuple[dict[str, str], frozenset[str]]:
    """Map every spelling of an option to its letter, and list the spellings of all emotions that are not offered."""
    letters = _letters(options)
    return letters, frozenset({*emotions.POLARITY, *emotions.SYNONYMS, *emotions.ADJECTIVES} - set(letters))


def _letters(options: Options) -> dict[str, str]:
    """Map each option's label, shown name, other spellings and adjectives, all in lower case, to its letter."""
    found: dict[str, str] = {}
    for letter, label, name in zip(ascii_uppercase, options.labels, options.names, strict=False):
        others = (
            word for table in (emotions.SYNONYMS, emotions.ADJECTIVES) for word, key in table.items() if key == label
        )
        found.update(dict.fromkeys((label, name.lower(), *others), letter))
    return found

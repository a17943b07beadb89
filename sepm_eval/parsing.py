"""Question text to options, and answer text to a letter. Strict both ways: what is not explicit is not read.

The shared extractors of the hosts guess (lmms-eval's reads "I cannot determine" as option I and "Anger" as option A;
VLMEvalKit's reads "awesome joy" as awe). Here an answer counts when it is a letter, a name, or says which one it
chooses; everything else is unparsed, and scored and counted as such.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sepm_eval import emotions

# One line each, and no two parts that can take the same character: the time is linear in the text.
_OPTION = re.compile(r"^[^\S\n]*\(?([A-Z])[.):][^\S\n]*(\S.*)$", re.MULTILINE)
_CHOICE = re.compile(r"\b(?:answer|option|choice)\b(?:\s+(?:is|would be))?\s*:?\s*(.*)", re.IGNORECASE)
_LETTERED = re.compile(r"^\(?([A-Za-z])(?:[).:]+\s*(.*)|)$", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """The options of a multiple-choice text: labels (known emotions) and the names shown, lettered from A."""

    labels: tuple[str, ...]
    names: tuple[str, ...]


def half_known(text: str) -> tuple[str, ...]:
    """The options that are no known emotions in a question that also offers known ones: a misspelt label, perhaps."""
    names = [name.rstrip() for _, name in _OPTION.findall(text)]
    unknown = tuple(name for name in names if emotions.label_of(name) is None)
    return unknown if len(unknown) < len(names) else ()


def parse_question(text: str) -> Options | None:
    """The emotion options a question text offers, or None if it is not an emotion multiple-choice question.

    It is one when the lines that start with a letter run A, B, C ... without a gap, there are at least two, and every
    one of them is a known emotion (``emotions.label_of``), each named once.
    """
    found = _OPTION.findall(text)
    if len(found) < 2 or [letter for letter, _ in found] != [chr(ord("A") + i) for i in range(len(found))]:
        return None
    names = tuple(name.rstrip() for _, name in found)
    labels = tuple(label for name in names if (label := emotions.label_of(name)) is not None)
    if len(labels) != len(names) or len(set(labels)) != len(labels):
        return None
    return Options(labels, names)


def parse_answer(text: str, options: Options) -> str | None:
    """The letter that an answer chooses, or None ("unparsed").

    Read are, in any case and with closing punctuation: a letter ("B", "(b)", "B."), a letter with its own name
    ("B. Anger"), a name or label ("anger"), and any of these after the last "answer", "answer is", "option" or
    "choice" of a longer text ("A man is smiling. Answer: D"), or alone on its last line. A letter with another
    option's name is a contradiction.
    """
    text = text.strip()
    chosen = _read_choice(text, options)
    last_line = text.rpartition("\n")[2]
    return chosen or _read_choice(_last_choice(text), options) or _read_choice(last_line, options)


def _last_choice(text: str) -> str:
    """What follows the last word that announces a choice, up to the end of its line."""
    said = ""
    for announced in re.finditer(r"\b(?:answer|option|choice)\b", text, re.IGNORECASE):
        match = _CHOICE.match(text, announced.start())
        said = match.group(1) if match else ""
    return said


def _read_choice(text: str, options: Options) -> str | None:
    """The letter of a text that is nothing but a choice."""
    text = text.strip().strip("*\"'`").rstrip(".!,; \n")
    letter_of = _letters(options)
    named = letter_of.get(text.lower())
    if named:
        return named
    match = _LETTERED.match(text)
    if match is None:
        return None
    letter, rest = match.group(1).upper(), (match.group(2) or "").strip()
    if letter not in letter_of.values():
        return None
    if rest and letter_of.get(rest.lower().rstrip(".)")) != letter:
        return None
    return letter


def _letters(options: Options) -> dict[str, str]:
    """Letter by lower-case label, shown name and other spelling."""
    found: dict[str, str] = {}
    for index, (label, name) in enumerate(zip(options.labels, options.names, strict=True)):
        for spelling in (label, name.lower(), *_spellings(label)):
            found[spelling] = chr(ord("A") + index)
    return found


def _spellings(label: str) -> Sequence[str]:
    return [other for other, key in emotions.SYNONYMS.items() if key == label]

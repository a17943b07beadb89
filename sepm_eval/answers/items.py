"""Divide the plain text of an answer into sentences of words, punctuation marks and choices.

A choice is a letter, a name, or both ("B. Anger", "Anger (B)", "option B"). The letters A and I are choices only where
they cannot be words. A lower-case letter is a choice only where the context shows that it is an option's letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sepm_eval.answers import words

_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|\n|([^\w\s'])\1*")
_OPENERS, _CLOSERS = frozenset("(<"), frozenset(")>")
_ENDS = frozenset(".!?;")
_INTRODUCING = frozenset({":", "=", "(", "-", "answer"})


class Item(NamedTuple):
    """A word, a punctuation mark or a choice in a sentence.

    Attributes:
        kind: which of these it is.
        text: the word in lower case, or the mark. For a choice by name alone this is the name in lower case, for any
            other choice it is empty.
        letter: the letter of the chosen option; empty if letter and name contradict each other, or no option has the
            letter.
        form: for a choice, how it is given: by its letter, by a letter with a prefix such as "option" ("cited"), by its
            name, or by both. For a word, "name" marks an emotion that the question does not offer.
    """

    kind: Literal["word", "mark", "choice"]
    text: str
    letter: str = ""
    form: Literal["", "letter", "cited", "name", "both"] = ""

    @property
    def lettered(self) -> bool:
        """Whether the item is a choice with a letter, which cannot be an ordinary word as a name can."""
        return self.kind == "choice" and self.form != "name"

    @property
    def blocks(self) -> bool:
        """Whether the item is a word that negates a choice, doubts it, or refers to another one."""
        return self.text in words.BLOCKERS or self.text.endswith("n't")

    @property
    def bounds(self) -> bool:
        """Whether a clause ends at this item: a choice, certain marks, or a word that begins another clause."""
        return (
            self.kind == "choice"
            or self.text in words.CLAUSE_MARKS
            or self.text in words.CLAUSE_WORDS
            or self.text == "and"
        )


@dataclass
class Sentence:
    """The items up to an end mark (. ! ? ;) or the end of a line.

    Attributes:
        items: the items, without the mark that ends the sentence.
        end: the mark that ends the sentence, or a line break.
        opens_line: whether the sentence is the first of its line.
        closes_line: whether the sentence is the last of its line.
        bullet: whether a bullet or a list number stands before it.
        small: whether it starts with a small letter, which suggests that it continues the text before it.
    """

    items: list[Item] = field(default_factory=list)
    end: str = "\n"
    opens_line: bool = True
    closes_line: bool = True
    bullet: bool = False
    small: bool = False


class _Reader:
    """Finds choices in the tokens of a text, from left to right."""

    def __init__(self, text: str, letters: str, spellings: Mapping[str, str], others: Set[str]) -> None:
        self.letters, self.spellings, self.others = letters, spellings, others
        self.tokens: list[str] = []
        for match in _TOKEN.finditer(text):
            token = match[0]
            self.tokens.extend(self._split(token) if "-" in token else (token,))
        self.all_small = text.islower()
        self.one_word = sum(token[0].isalnum() for token in self.tokens) == 1

    def _split(self, token: str) -> list[str]:
        """Split a token at its hyphen if both parts are letters or names: "B-Anger", but not "awe-inspiring"."""
        parts = token.split("-")
        if len(parts) == 2 and all(part.lower() in self.spellings or len(part) == 1 for part in parts):
            return [parts[0], "-", parts[1]]
        return [token]

    def at(self, index: int) -> str:
        return self.tokens[index] if 0 <= index < len(self.tokens) else "\n"

    def name(self, index: int) -> str | None:
        return self.spellings.get(self.at(index).lower())

    def skip(self, index: int, marks: frozenset[str], most: int = 4) -> int:
        while most and self.at(index)[:1] in marks and self.at(index) != "..." and index < len(self.tokens):
            index, most = index + 1, most - 1
        return index

    def is_letter(self, index: int, before: str, prefixed: bool) -> bool:
        """Whether a token is the letter of an option and not a word."""
        token, after = self.at(index), self.at(index + 1)
        if len(token) != 1 or not token.isascii() or not token.isalpha():
            return False
        ends = after == "\n" or (after[:1] in _ENDS and after != "...") or after in _CLOSERS
        bracketed = before in _OPENERS and after in _CLOSERS
        own = self._own_name_follows(index)
        if token.islower():
            article = token in "ai" and before not in _INTRODUCING and not self.all_small  # "It is a" was cut off
            told = (
                not article
                and before in words.BEFORE_SMALL
                and (ends or (token not in "ai" and not after[:1].isalnum()))
            )
            return bracketed or self.one_word or told or own or (prefixed and not after[:1].isalnum())
        if token not in "AI":
            return True
        if ends or own or bracketed or (prefixed and not (token == "I" and after[:1].isalnum())):
            return True
        if after[:1].isalnum():
            return (token == "A" and after in words.AFTER_A) or after == "is"
        if after == "," and token == "I":
            return before in words.BEFORE_SMALL
        if after == "(":
            return before in words.BEFORE_SMALL or index == 0
        return after != "..." and after != "'"

    def _own_name_follows(self, index: int) -> bool:
        """Whether the name of this letter's option follows; without a mark in between, A and I must not be words."""
        start = self.skip(index + 1, words.JOINTS)
        if self.name(start) != self.at(index).upper():
            return False
        after = self.at(start + 1)
        if start > index + 1 or self.at(index) not in "AIai" or after == "\n" or after in _ENDS:
            return True
        name = self.at(start)
        return name[0].isupper() and (self.at(index) == "I" or (self.at(index) == "A" and name[0] in "AEIOU"))

    def choice(self, index: int, before: str) -> tuple[Item, int] | None:
        """The choice that starts at a token, and the index of the token after it and its repetitions; None if none."""
        first = self.at(index)[0]
        said = self._one_choice(index, before) if first.isalnum() or first in _OPENERS else None
        if said is None or not said[0].letter:
            return said
        (item, end), letter = said, said[0].letter
        while self.at(end).upper() == letter and self.at(end) != "a":
            again = self._one_choice(end, "")
            if again is None or again[0].letter != letter:
                break
            item, end = (again[0] if again[0].form == "both" else item), again[1]
        return item, end

    def _one_choice(self, index: int, before: str) -> tuple[Item, int] | None:
        start = self.skip(index, _OPENERS)
        before = self.at(start - 1) if start > index else before
        prefixed = self.at(start).lower() in words.PREFIXES
        if prefixed:
            start = self.skip(start + 1, _OPENERS)
        if self.is_letter(start, before, prefixed):
            item, end = self._after_letter(start, prefixed)
        elif not prefixed and self.name(start):
            item, end = self._after_name(start)
        else:
            return None
        while end < len(self.tokens) and self.at(end)[0] in _CLOSERS:
            end += 1
        return item, end

    def _after_letter(self, index: int, prefixed: bool) -> tuple[Item, int]:
        letter = self.at(index).upper() if self.at(index).upper() in self.letters else ""
        start = self.skip(index + 1, words.JOINTS)
        named = self.name(start)
        if named is None and self.at(start) == "\n" and self.name(start + 1) == letter:
            named, start = letter, start + 1
        if named is None and start > index + 1 and self._names_another(start):
            named = ""
        if named is None or (named != letter and "," in self.tokens[index + 1 : start]):
            return Item("choice", "", letter, "cited" if prefixed else "letter"), index + 1
        return Item("choice", "", letter if named == letter else "", "both"), start + 1

    def _names_another(self, index: int) -> bool:
        """Whether a name that the question does not offer follows a letter: "B. Rage", "B. Outrage"."""
        token, after = self.at(index), self.skip(index + 1, _ENDS)
        alone = token[0].isupper() and self.at(after) == "\n" and token not in words.STARTS
        unknown = token.lower() not in words.AFTERTHOUGHTS | words.COURTESIES
        return token.lower() in self.others or (alone and unknown and len(token) > 1)

    def _after_name(self, index: int) -> tuple[Item, int]:
        letter = self.spellings[self.at(index).lower()]
        start = self.skip(index + 1, words.JOINTS - {".", ")"})
        joint = self.tokens[index + 1 : start]
        prefixed = self.at(start).lower() in words.PREFIXES
        start += prefixed
        if not self.is_letter(start, "" if not joint else joint[-1], prefixed):
            return Item("choice", self.at(index).lower(), letter, "name"), index + 1
        if self.at(start).upper() == letter:
            return Item("choice", "", letter, "both"), start + 1
        if joint and "," not in joint:
            return Item("choice", "", "", "both"), start + 1
        return Item("choice", self.at(index).lower(), letter, "name"), index + 1


class _Writer:
    """Collects items into sentences."""

    def __init__(self) -> None:
        self.found: list[Sentence] = []
        self.current = Sentence()

    def close(self, end: str) -> None:
        """End the current sentence, and if ``end`` is a line break, also the line."""
        closes_line = end == "\n"
        self.current.end, self.current.closes_line = end, closes_line
        if self.current.items:
            self.found.append(self.current)
        elif closes_line and self.found:
            self.found[-1].closes_line = True
        self.current = Sentence(opens_line=closes_line or (self.current.opens_line and not self.current.items))

    def add(self, token: str, item: Item) -> None:
        """Add a word or a mark to the current sentence; a bullet at its start is only noted."""
        if token == "•" and not self.current.items:
            self.current.bullet = True
            return
        self.current.small = self.current.small or (not self.current.items and token[0].islower())
        self.current.items.append(item)


def sentences(text: str, letters: str, spellings: Mapping[str, str], others: Set[str]) -> list[Sentence]:
    """Divide a text into sentences of words, marks and choices.

    Args:
        text: the output of ``answers.text.plain``.
        letters: the options' letters in order.
        spellings: name in lower case -> letter of its option.
        others: names in lower case of the emotions that the question does not offer. After a letter, such a name is a
            contradiction.

    Returns:
        The sentences, in order.
    """
    reader, writer = _Reader(text, letters, spellings, others), _Writer()
    plain: dict[str, Item] = {}  # cache: token that starts no choice -> its item
    index = 0
    while index < len(reader.tokens):
        token, items = reader.tokens[index], writer.current.items
        if token in plain:
            writer.add(token, plain[token])
            index += 1
        elif (choice := reader.choice(index, items[-1].text if items else "")) is not None:
            if token[0] in _OPENERS and reader.at(choice[1] - 1)[0] not in _CLOSERS:
                items.append(Item("mark", "("))
            items.append(choice[0])
            index = choice[1]
            if choice[0].lettered and reader.at(index) in words.STARTS:
                writer.close(".")
        elif token == "\n" or (token[0] in _ENDS and token != "..."):
            writer.close(token[0])
            index += 1
        elif token.isdigit() and not items and writer.current.opens_line and reader.at(index + 1) in (".", ")"):
            writer.current.bullet, index = True, index + 2
        else:
            lower = token.lower()
            item = Item("word" if token[0].isalnum() else "mark", lower, form="name" if lower in others else "")
            if len(token) > 1 and token[0].isalpha() and lower not in words.PREFIXES:
                plain[token] = item
            writer.add(token, item)
            index += 1
    writer.close("\n")
    return writer.found

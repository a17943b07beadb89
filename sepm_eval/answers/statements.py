"""Find the option that an answer states in words. docs/answers.md describes the grammar, with the terms used here.

In these functions, ``place`` is the index of an item in its sentence, mostly that of a choice. The words around a
choice are examined only up to the neighbouring choices, so the time is linear in the length of the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence, Set

from sepm_eval.answers import words
from sepm_eval.answers.items import Item, Sentence
from sepm_eval.emotions import POLARITY


def stated_in_words(sentences: Sequence[Sentence], listed: Set[int]) -> tuple[set[str], set[str]]:
    """Find the choices that the words around them state as the answer.

    Args:
        sentences: the sentences of the whole answer.
        listed: indices of the sentences that belong to a list of options.

    Returns:
        The letters that are stated as the answer, and the letters that are denied. An empty letter among the stated
        ones stands for a contradiction, or for several choices at once.
    """
    stated: set[str] = set()
    denied: set[str] = set()
    for number, sentence in enumerate(sentences):
        above = sentences[number - 1] if number and sentence.opens_line and number not in listed else None
        for place, item in enumerate(sentence.items):
            if item.kind == "choice":
                only = number + 1 == len(sentences) and number == bool(denied)  # also in "It is not B. It is C."
                stated.update(_spoken(sentence, place, above, only=only))
                if _is_denied(sentence.items, place):
                    denied.add(item.letter)
    return stated, denied


def is_heading(sentence: Sentence) -> bool:
    """Whether a line announces the answer on the next line: "Answer", "The best description is:"."""
    items = sentence.items
    if items[-1].text in (":", "=", "is", "be"):
        return True
    return (
        sentence.end == "\n"
        and len(items) < 6
        and items[-1].text in words.HEADS
        and all(item.kind == "word" for item in items)
    )


# Statements in words


def _spoken(sentence: Sentence, place: int, above: Sentence | None, *, only: bool) -> list[str]:
    """The letter of a choice that its sentence states as the answer, "" if it is one of several, or no letter."""
    items = sentence.items
    if above is not None and all(one.text in words.OPENING_MARKS for one in items[:place]) and is_heading(above):
        items = [*above.items, Item("mark", ":"), *items]
        place += len(above.items) + 1
    item = items[place]
    back = _is_said_of(items, place)
    said = (
        back
        or _announced(items, place, only=only)
        or _chosen(items, place)
        or _described(items, place)
        or _pointed_at(items, place)
    )
    if not said or sentence.end == "?" or _is_supposed(items, place):
        return []
    if is_joined(items, place) or (back and _joined_before(items, place)):
        return [""]
    return [item.letter] if back or may_follow(items, place) else []


def _announced(items: Sequence[Item], place: int, *, only: bool) -> bool:
    """Whether the words before a choice announce it: "The answer is B", "Answer: B", "it is B"."""
    item, link = items[place], _back(items, _before_not_but(items, place), words.NEAR)
    if link < 0:
        return False
    if items[place - 1].text in ("answer", "ans") and item.form != "name":
        return _is_clean(items, place - 1, item)
    if items[link].text in ("-", "=") and items[link - 1].text in words.HEADS:
        return link > 0 and _is_clean(items, link - 1, item)
    colon = items[link].text in (":", "=")
    while link > 0 and items[link].text in (":", "="):
        link -= 1
    if colon and items[link := _back(items, link, words.NEAR - words.HEADS) if link else 0].text not in ("is", "be"):
        return _noun_before(items, link + 1, item, colon=True)
    if items[link].text in ("it's", "that's", "this's"):
        return _is_thing(items, link, item, only=only)
    if items[link].text == "answer's":
        return _is_clean(items, link, item)
    if items[link].text == "be":
        link = _back(items, link - 1, words.NEAR)
        if link < 0 or items[link].text not in words.MODALS:
            return False
    elif items[link].text != "is":
        return False
    subject = _back(
        items,
        link - 1,
        words.NEAR - words.HEADS - words.PRONOUNS | {"would", "seems", "appears", "has", "ought", "can"},
    )
    if subject >= 0 and items[subject].text in words.PRONOUNS:
        return _is_thing(items, subject, item, only=only)
    return _noun_before(items, link, item, colon=False)


def _noun_before(items: Sequence[Item], link: int, item: Item, *, colon: bool) -> bool:
    """Whether the subject before "is" or a colon is the answer, the choice, the picture's emotion or the like."""
    about_picture = True
    for place in range(link - 1, -1, -1):
        one = items[place]
        if one.kind == "choice" or one.text == ":" or one.blocks:
            return False
        named = words.HEADS if colon else words.NOUNS
        if one.text in (named if item.form == "name" else words.HEADS | words.MOODS):
            free = not colon and (item.form != "name" or one.text in words.FREE)
            return (free or about_picture) and _is_clean(items, place, item)
        about_picture = about_picture and (one.text in words.ABOUT_PICTURE or one.text in ("(", ")"))
    return False


def _is_thing(items: Sequence[Item], subject: int, item: Item, *, only: bool) -> bool:
    """Whether "it is" states a choice, as in "It is B"; a name only as an opinion, or if the text says nothing else."""
    if not _is_clean(items, subject, item):
        return False
    opinion = any(one.text in words.SPEAKERS for one in items[max(subject - 6, 0) : subject])
    return item.form != "name" or opinion or (only and item.text in POLARITY)


def _chosen(items: Sequence[Item], place: int) -> bool:
    """Whether the speaker chooses it: "I choose B", "I'd go with B", "I would say fear", "choose B"."""
    verb = _back(items, place - 1, words.TOWARDS)
    if verb > 0 and items[verb].text == "answer" and items[verb - 1].text in words.CHOOSE | {"the", "my"}:
        verb = _back(items, verb - 1, words.TOWARDS | {"my"})
    if verb < 0 or items[verb].text not in words.CHOOSE:
        return False
    start = verb
    for start in range(verb - 1, -2, -1):
        if start < 0 or items[start].bounds:
            break
        if items[start].blocks:
            return False
    clause = [one.text for one in items[start + 1 : verb]]
    if words.INTENTIONS.intersection(clause):
        return False
    if words.SPEAKERS.intersection(clause):
        return True
    return items[verb].text in words.IMPERATIVE and set(clause) <= {"please", "just", "should", "finally", "answer"}


def _described(items: Sequence[Item], place: int) -> bool:
    """Whether the picture is described as this choice: "is best described as fear", "I would describe it as fear"."""
    item, link = items[place], _back(items, place - 1, words.THE_FEELING)
    if link < 0 or items[link].text not in ("by", "as", "with", "under"):
        return False
    for verb in range(link - 1, max(link - 14, -1), -1):
        if items[verb].kind == "choice" or items[verb].blocks:
            return False
        if items[verb].text in words.DESCRIBED:
            start = next((n for n in range(verb - 1, -1, -1) if items[n].bounds), -1)
            clause = {one.text for one in items[start + 1 : verb]}
            told = item.form != "name" or bool((words.BEST | words.SPEAKERS) & clause)
            return told and _is_clean(items, verb, item)
    return False


def _pointed_at(items: Sequence[Item], place: int) -> bool:
    """Whether something points to it: "This corresponds to option B", "best represents fear", "shows B. Anger"."""
    item, verb = items[place], _back(items, place - 1, words.THE_FEELING | {"to", "with"})
    if verb < 0:
        return False
    near = [one.text for one in items[max(verb - 2, 0) : place]]
    best = bool(words.BEST.intersection(near))
    if items[verb].text in words.BEST:
        verb -= 1
    known = words.POINT | (words.SUGGEST if best or item.form in ("both", "cited") else frozenset())
    return verb >= 0 and items[verb].text in known and (best or item.form != "name") and _is_clean(items, verb, item)


def _is_said_of(items: Sequence[Item], place: int) -> bool:
    """Whether the words after a choice state it: "B is the answer", "fear is the best description", "B best fits"."""
    start = _back(items, place - 1, words.NEAR | {"(", "emotion"})
    if start >= 0 and not items[start].bounds and items[start].text not in words.CHOOSE | words.BEFORE_SAID:
        return False
    if start >= 0 and not _is_clean(items, start + 1, items[place]):
        return False
    said = _clause_after(items, place, (")", "|", ",") if items[place].form == "both" else (")", "|"))
    if any(one.blocks or one.kind == "choice" for one in said) or not said:
        return False
    texts = [one.text for one in said if one.text not in ("option", "choice", "really", "clearly", "also", "truly")]
    if texts[:1] == ["best"] or (texts[:1] == ["most"] and texts[1:2] and texts[1] in words.BEST):
        return bool(words.VERBS_OF_FIT.intersection(texts[1:3]))
    if texts[:1] and texts[0] in words.VERBS_OF_FIT:
        return bool(words.BEST.intersection(texts[1:7]))
    if texts == ["it", "is"]:
        return True
    made = place > 0 and items[place - 1].text in ("makes", "make", "making")
    while texts and texts[0] in words.COPULAS:
        made = True
        texts.pop(0)
    if not made or not texts:
        return False
    if texts[0] == "what":
        return bool(words.BEST.intersection(texts[1:3]))
    if texts[0] in words.RIGHT or (texts[0] == "most" and texts[1:2] and texts[1] in words.MOST):
        return True
    possessive = any(text.endswith("'s") and text not in words.ABOUT_PICTURE for text in texts)
    return texts[0] in ("the", "my", "our") and not possessive and bool(words.OF_ANSWERS.intersection(texts[1:8]))


def _is_denied(items: Sequence[Item], place: int) -> bool:
    """Whether a choice is denied: "Not B", "rule out option B", "B is wrong"."""
    before = _back(items, place - 1, {"option", "the", "emotion", "of", "out", "be", "answer"})
    if before >= 0 and items[before].text in words.NEGATION:
        return True
    said = [one.text for one in _clause_after(items, place)[:6]]
    if not said or said[0] not in words.VERBS | {"would", "should"}:
        return False
    return any(text in words.NEGATION or text.endswith("n't") for text in said)


# The words around a choice


def _back(items: Sequence[Item], place: int, over: Set[str]) -> int:
    """Index of the nearest item at or left of ``place`` that is none of these words, "(" or "•"; -1 if none."""
    while (
        place >= 0 and (items[place].text in over or items[place].text in ("(", "•")) and items[place].kind != "choice"
    ):
        place -= 1
    return place


def _is_clean(items: Sequence[Item], place: int, item: Item) -> bool:
    """Whether nothing in the clause before an item reverses or weakens it.

    For a choice by name, the clause must also not attribute the emotion to somebody in the picture.
    """
    for number in range(place - 1, -1, -1):
        one = items[number]
        if one.bounds:
            return True
        qualified = number and items[number - 1].text in ("most", "best", "only")
        if one.blocks or one.text in words.OWNERS or (one.text in words.POSSIBLE and not qualified):
            return False
        if items[place].text in ("word", "term") and number == place - 1 and one.text == "the":
            return False  # "the word is ...": it may be a word that is written in the picture
        if one.text in ("first", "last") and items[place].text != "choice":
            return False
        if one.text == "one" and items[number + 1].text in ("would", "will"):
            return False
        person = one.text.endswith("'s") and one.text not in words.ABOUT_PICTURE and one.text not in ("let's", "here's")
        if item.form == "name" and (
            person or (items[place].text in words.FEELINGS and one.text in ("one", "a", "an", "of"))
        ):
            return False
    return True


def _before_not_but(items: Sequence[Item], place: int) -> int:
    """The index from which to look left for "the answer is", also in "the answer is not A but B"."""
    start = _back(items, place - 1, {"rather", "instead"})
    if start > 0 and items[start].text == "but":
        start -= items[start - 1].text == ","
        other = start - 1
        if other > 0 and items[other].kind == "choice":
            start = _back(items, other - 1, {"option", "the"})
            if start > 0 and items[start].text == "not":
                return start - 1
    return place - 1


def _clause_after(items: Sequence[Item], place: int, over: Container[str] = (")", "|")) -> list[Item]:
    """The items after a choice up to the end of its clause, or up to and including the next choice."""
    said: list[Item] = []
    for number in range(place + 1, len(items)):
        item = items[number]
        if not said and item.text in over:
            continue
        if item.kind == "choice":
            return [*said, item]
        if item.bounds:
            break
        said.append(item)
    return said


def _is_supposed(items: Sequence[Item], place: int) -> bool:
    """Whether a condition or an example stands before the choice, or a condition between it and the next choice."""
    for item in reversed(items[max(place - 60, 0) : place]):
        if item.text in ("so", "but", "therefore", "thus", "hence"):
            break
        if item.text in words.SUPPOSED:
            return True
    following = itertools.takewhile(lambda item: item.kind != "choice", items[place + 1 : place + 60])
    return any(item.text in ("if", "unless", "whether") for item in following)


def is_joined(items: Sequence[Item], place: int) -> bool:
    """Whether another choice is joined to this one: "B or C", "A, B", "B and maybe C"."""
    joints: list[str] = []
    for number in range(place + 1, len(items)):
        item = items[number]
        after = items[number + 1].text if number + 1 < len(items) else ""
        if item.form:
            a_new_clause = set(joints) == {","} and after in words.VERBS and item.form != "both"
            beside = "with" in joints and not item.lettered
            return item.letter != items[place].letter and not a_new_clause and not beside
        if (item.text, after) in words.JOIN_PAIRS or (item.text == "but" and after in words.JOIN_WORDS):
            joints.append("and")
        elif joints[-1:] == ["and"] and item.text in ("as", "by", "well"):
            continue
        elif item.text in words.JOIN_MARKS or item.text in words.JOIN_WORDS or item.text in ("the", ")"):
            joints.append(item.text)
        else:
            break
    return "or" in joints


def _joined_before(items: Sequence[Item], place: int) -> bool:
    before = _back(items, place - 1, {"or", "and", "nor", "/", "&", "either", "both", "the"})
    return 0 <= before < place - 1 and items[before].kind == "choice" and items[before].letter != items[place].letter


def may_follow(items: Sequence[Item], place: int) -> bool:
    """Whether what follows lets a choice be the answer: nothing, a mark, a reason; after letter and name, anything."""
    item = items[place]
    following = next((one for one in items[place + 1 : place + 4] if one.text not in (")", "|")), None)
    after = "".join(one.text[:1] for one in items[place + 1 : place + 3])
    if after[:1] in (":", "=") and after[1:].isdigit():
        return False  # "A: 0.2, B: 0.8"
    if following is None or following.kind == "mark" or item.form == "both":
        return True
    if following.text == "not" and not any(one.form for one in items[place + 1 : place + 12]):
        return False
    return following.text in (words.AFTER_NAME if item.form == "name" else words.REASONS | {"and", "to"})

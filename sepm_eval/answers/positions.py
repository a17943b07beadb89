"""Find the option that an answer states by position: at the start of the text, alone on a line, or at the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from string import ascii_uppercase

from sepm_eval.answers import words
from sepm_eval.answers.items import Item, Sentence
from sepm_eval.answers.statements import is_joined, may_follow
from sepm_eval.emotions import POLARITY


def listed(sentences: Sequence[Sentence]) -> set[int]:
    """Find lists of options in an answer.

    A list is two or more sentences that start with choices in ascending order of their letters ("A. Amusement", "B.
    Anger", ...), or that start with choices and explain each of them ("Fear: ...", "Anger: ..."). A single sentence
    that consists only of letters with their names, from A on, is a list, too. The text before and after a list is not
    part of it.

    Returns:
        The indices of the sentences that belong to a list.
    """
    found = {number for number, sentence in enumerate(sentences) if _is_list(sentence)}
    run: list[int] = []
    before = ""
    headed: dict[int, str] = {}
    for number, sentence in enumerate(sentences):
        place = _head(sentence)
        if place is None:
            continue
        letter = sentence.items[place].letter
        if not letter > before:
            run = []
        run.append(number)
        before = letter
        if len(run) > 1:
            found.update(run[-2:])
        if not _is_whole(sentence, place):
            headed[number] = letter
    return found | set(headed) if len(set(headed.values())) > 1 else found


def stated_by_position(sentences: Sequence[Sentence], lists: Set[int]) -> set[str]:
    """Find the choices in the positions where an answer is usually given.

    Args:
        sentences: the sentences of the whole answer.
        lists: indices of the sentences that belong to a list of options.

    Returns:
        The letters of these choices; an empty letter stands for several choices at once.
    """
    courtesy = next((n for n, one in enumerate(sentences) if not _is_courtesy(one)), len(sentences))
    said = sentences[courtesy:]
    lists = {number - courtesy for number in lists}
    rules = (_leading(said, lists), _lines(said, lists), _names(said, lists), _closing(said, lists), _offered(said))
    return set(itertools.chain.from_iterable(rules))


def _is_list(sentence: Sentence) -> bool:
    """Whether a sentence is a list of options, such as "A. Amusement B. Anger C. Awe"."""
    choices = [item for item in sentence.items if item.kind != "mark"]
    letters = "".join(item.letter for item in choices)
    return len(choices) > 1 and all(item.form == "both" for item in choices) and ascii_uppercase.startswith(letters)


def _is_courtesy(sentence: Sentence) -> bool:
    """Whether a sentence is only a polite opening before the answer, such as "Sure!" or "Of course!"."""
    return all(item.text in words.COURTESIES for item in sentence.items)


def _start(sentence: Sentence) -> int:
    """Index of the first item after opening marks and connectives."""
    items = sentence.items
    for place, item in enumerate(items):
        if item.kind == "choice" or (item.kind == "word" and item.text not in words.CONNECTIVES) or item.text == "...":
            the_option = item.text == "the" and place + 1 < len(items) and items[place + 1].form in ("cited", "both")
            return place + the_option
        if item.text in ("i", "in", "to") and (
            place + 1 == len(items) or items[place + 1].text not in words.CONNECTIVES
        ):
            return place  # "I, A", "in love"
    return len(sentence.items)


def _head(sentence: Sentence) -> int | None:
    """Index of the choice that a sentence consists of or explains ("B. Anger", "B: the man ..."); None if none."""
    place = _start(sentence)
    if place >= len(sentence.items) or sentence.items[place].kind != "choice":
        return None
    if _is_whole(sentence, place) or sentence.items[place + 1].text in words.HEAD_MARKS:
        return place
    return None


def _is_whole(sentence: Sentence, place: int) -> bool:
    """Whether only marks follow the choice, or words that do not change its meaning ("B, definitely")."""
    return all(
        (item.kind == "mark" and item.text[0] not in "+/&%") or item.text in words.AFTERTHOUGHTS
        for item in sentence.items[place + 1 :]
    )


def _leading(sentences: Sequence[Sentence], lists: Set[int]) -> Iterator[str]:
    if not sentences or 0 in lists or (sentences[0].bullet and len(sentences) > 1):
        return
    sentence, after = sentences[0], sentences[1] if len(sentences) > 1 else None
    items, place = sentence.items, _start(sentence)
    if place >= len(items) or items[place].kind != "choice":
        return
    item = items[place]
    if is_joined(items, place) or (after is not None and not sentence.closes_line and _rivals(after, item)):
        yield ""
    elif place and item.form == "name" and items[place - 1].kind == "word" and item.text not in POLARITY:
        return  # "So sad." is a remark, not an answer
    elif _is_whole(sentence, place):
        if after is None or item.form == "both" or _goes_with(sentence, after):
            yield item.letter
    elif sentence.end != "?" and _is_explained(items, place, connected=place > 0):
        yield item.letter


def _rivals(after: Sentence, item: Item) -> bool:
    """Whether the next sentence starts with another choice and does not explain it in words."""
    place = _start(after)
    if place >= len(after.items) or after.items[place].letter == item.letter or after.items[place].kind != "choice":
        return False
    return place + 1 == len(after.items) or after.items[place + 1].kind == "mark" or after.items[place].form == "both"


def _goes_with(sentence: Sentence, after: Sentence) -> bool:
    """Whether the next sentence allows the choice of the first sentence to be the answer, as an explanation does."""
    first = after.items[0]
    if sentence.end == "?":
        return after.items[-1].text == "so" and not any(one.blocks for one in after.items)  # "B? I think so."
    if sentence.closes_line and sentence.end != "\n":
        return True
    if first.text[:1].isdigit():
        return False
    if after.small and not after.bullet and first.text not in words.EXPLANATIONS:
        return False
    return (
        sentence.closes_line
        or len(after.items) > 1
        or first.text in words.AFTERTHOUGHTS
        or any(one.form for one in after.items)
    )


def _is_explained(items: Sequence[Item], place: int, *, connected: bool) -> bool:
    """Whether the words after a leading choice in its sentence explain it, and do not contradict it."""
    item, mark, rest = items[place], items[place + 1].text, items[place + 2 :]
    if not may_follow(items, place) or any(one.text in ("if", "unless") for one in rest):
        return False
    if mark in (":", "-", "|"):
        return (
            len(rest) > 1
            and item.text != "content"
            and not rest[0].text[:1].isdigit()
            and not any(one.blocks for one in rest)
        )
    if mark == "," and item.form == "name":
        confirmed = rest[-1].lettered and rest[-1].letter == item.letter  # "Anger, which is option B"
        return confirmed or rest[0].text in words.BECAUSE | words.AGAINST_OTHERS
    if mark in words.BECAUSE or mark in (",", "(") or mark in words.AGAINST_OTHERS:
        return True
    return item.form == "both" and not connected and not any(one.blocks for one in items[place + 1 :])


def _lines(sentences: Sequence[Sentence], lists: Set[int]) -> Iterator[str]:
    """Letters that are alone on a line after the first sentence, or start it with their names and are explained."""
    of_options = bool(sentences) and _speaks_of_options(sentences[0])
    for number, sentence in enumerate(sentences[1:], 1):
        place = _start(sentence)
        opened = sentence.opens_line and sentences[number - 1].items[-1].text == ":"
        if number not in lists and sentence.opens_line and not opened and place < len(sentence.items):
            item, whole = sentence.items[place], _is_whole(sentence, place)
            of_a_list = item.form == "both" and (of_options or bool(lists))
            if not item.lettered or sentence.end == "?":
                pass
            elif whole and (sentence.closes_line or item.form == "both"):
                if not (of_a_list and (item.letter == "A" or not sentence.closes_line)):
                    yield item.letter
            elif not (whole or of_a_list or is_joined(sentence.items, place)) and item.form == "both":
                yield from [item.letter] if _is_explained(sentence.items, place, connected=place > 0) else []
        of_options = of_options or _speaks_of_options(sentence)


def _speaks_of_options(sentence: Sentence) -> bool:
    return sentence.end == "?" or any(item.text in words.OF_OPTIONS for item in sentence.items)


def _names(sentences: Sequence[Sentence], lists: Set[int]) -> Iterator[str]:
    """Letters of the names that are alone on a line below the first; an empty letter if such lines disagree."""
    lines = [
        (number, sentence.items[place])
        for number, sentence in enumerate(sentences)
        if (place := _head(sentence)) is not None
        and sentence.items[place].form == "name"
        and sentence.opens_line
        and sentence.closes_line
        and _is_whole(sentence, place)
        and (sentence.items[0].kind == "choice" or sentence.items[place].text in POLARITY)  # "So sad." does not count
    ]
    if len({item.letter for _, item in lines}) > 1:
        yield ""
    for number, item in lines:
        announced_otherwise = number and sentences[number - 1].items[-1].text == ":"
        if number and number not in lists and not sentences[number].bullet and not announced_otherwise:
            yield item.letter


def _closing(sentences: Sequence[Sentence], lists: Set[int]) -> Iterator[str]:
    """Choices at the end of the first and the last sentence, and a last sentence that is itself a choice.

    The latter counts if it does not start a line; otherwise ``_lines`` and ``_names`` decide.
    """
    if sentences:
        yield from _tail(sentences[0])
    if len(sentences) < 2 or len(sentences) - 1 in lists:
        return
    sentence, above = sentences[-1], sentences[-2]
    place = _head(sentence)
    if place is None:
        yield from _tail(sentence)
    elif _is_whole(sentence, place) and not sentence.opens_line:
        item, numbered = sentence.items[place], above.items[-1].text.isdigit()  # "1. B 2. C"
        by_letter = item.lettered and sentence.end != "?" and not numbered
        if by_letter or (place > 0 and item.text in POLARITY):
            yield item.letter


def _tail(sentence: Sentence) -> Iterator[str]:
    """The letter that ends a sentence after a suitable phrase: "Based on the picture, B." or "..., so B."."""
    items = sentence.items
    if len(items) < 3 or not items[-1].lettered or any(item.kind == "choice" for item in items[:-1]):
        return
    concluded = items[-2].text in ("so", "therefore", "hence", "thus")
    opening = (
        items[0].text in words.OPENINGS and items[-2].text in (",", ":") and not any(one.blocks for one in items[:-1])
    )
    if concluded or opening:
        yield items[-1].letter


def _offered(sentences: Sequence[Sentence]) -> Iterator[str]:
    """An empty letter for each further choice that is offered as an alternative, as in "B. Or maybe C"."""
    for sentence in sentences[1:]:
        texts = [item.text for item in sentence.items[:4]]
        if texts[0] in words.OFFERS and any(item.kind == "choice" for item in sentence.items[1:4]):
            yield ""

"""Which option an answer states. The grammar is written down in docs/answers.md; the names here are those there.

Words are looked at outwards from each choice and no further than the next ones, so the time is linear in the text.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence, Set

from sepm_eval.answer_items import Item, Sentence
from sepm_eval.emotions import POLARITY


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What turns a statement into its opposite, into another choice than the answer, or into a guess.
_NEGATION = _words(
    """not no none never neither nor cannot without except excluding exclude excludes eliminate eliminates eliminated
    eliminating discard discarded reject rejected rejecting rule ruled ruling avoid dismiss dismissed disagree doubt
    wrong incorrect incorrectly false invalid inappropriate inaccurate unsuitable unlikely least less worst weakest
    opposite contrary missing absent lacking lack lacks excluded mistaken mistake mistakenly trap distractor tempting
    cant dont doesnt isnt wasnt wouldnt shouldnt wont didnt arent unlike unrelated irrelevant hardly farthest furthest
    than instead over opposed unsure unclear unable uncertain refuse neutral"""
)
_OTHER = _words(
    """other others another second third fourth next secondary alternative alternatively alternate runner-up previous former earlier original initial sample
    second-best second-most remaining-one backup also-ran else"""
)
_HEDGE = _words(
    """or might may could perhaps maybe possibly either both between whether
    if unless each every any some all example instance format why wonder suppose supposing assume assuming
    thought considered consider initially"""
)
_SUPPOSED = _words("if unless whether example instance format suppose supposing assume assuming")
_POSSIBLE = _words("possible plausible potential potentially")
_OWNERS = _words(
    """his her their its she he they people many few nobody someone somebody everyone everybody viewer viewers user
    critics experts"""
)  # whose answer or emotion it is: not the picture's
_BLOCKERS = _NEGATION | _OTHER | _HEDGE
# Where a clause ends, going left or right.
_CLAUSE_MARKS = _words(", : - ( ) | = ...")
_CLAUSE_WORDS = _words(
    "but so therefore thus hence however because since as while although though and yet then given due consequently"
)
REASONS = _words(
    """because since as due given based for here in which where from when while considering though although but rather
    not instead over overall again option choice answer among out of this at with"""
)
_AFTER_NAME = REASONS - _words("of at with")
_JOIN_MARKS = _words(", / & + ( - | ")
_JOIN_WORDS = _words(
    "or and maybe perhaps possibly also then either even plus alternatively to through vs versus nor with"
)
_JOIN_PAIRS = {("as", "well"), ("followed", "by"), ("along", "with"), ("together", "with")}
_VERBS = _words(
    """is isn't was are aren't does doesn't has would could can cannot can't seems appears implies represents
    describes suggests refers relates"""
)
_NOUNS = _words(
    """answer ans option choice selection pick conclusion verdict decision guess letter match fit description
    descriptor representation caption label category class classification emotion feeling sentiment one prediction
    word term best correct appropriate fitting suitable likely accurate solution answer's"""
)
_FEELINGS = _words("emotion feeling sentiment")
_HEADS = _NOUNS | _words("final selected chosen output result response assistant mood")
# What may stand between "emotion" and "is" where a name follows: the picture, not somebody in it.
_ABOUT_PICTURE = _words(
    """in of by from for to the this that which image image's picture picture's photo photograph scene artwork painting
    here is are being best most accurately closely clearly likely represents represented representing represent
    describes described describe conveys conveyed convey expresses expressed express depicts depicted depict shown
    displayed evokes evoked evoke captured portrayed illustrated reflected matches match fits fit me would overall
    seen presented it question only i see feel comes mind
    seems appears has ought can being shown, given above provided corresponding associated with"""
)
_NEAR = _words(
    """the most likely probably clearly definitely certainly obviously therefore thus hence indeed actually simply
    really just undoubtedly surely evidently ultimately then so option choice letter emotion feeling of that still
    overall primarily mainly mostly predominantly exactly as follows following description label now"""
)
_MODALS = _words("would should must will to only")
_PRONOUNS = _words("it this that")
_CHOOSE = _words(
    """choose chose chosen choosing select selected selecting pick picked picking say go going opt opting vote answer
    settle guess think believe conclude"""
)
_IMPERATIVE = _words("choose chose select selected selecting choosing picking pick picked go going")
_SPEAKERS = _words("i we i'd i'll i've i'm we'd we'll let's my me")
_DESCRIBED = _words(
    """described represented characterized characterised classified labeled labelled categorized categorised captured
    summarized summed matched expressed conveyed aligned falls identified describe identify classify label categorize characterize interpret"""
)
_POINT = _words(
    """corresponds correspond corresponding aligns align aligned matches match fits fit represents represent describes
    points point"""
)
_SUGGEST = _words("indicates suggests depicts conveys evokes expresses reflects captures portrays shows is means")
_BEST = _words("best accurately closely")
_FREE = _words("answer ans option choice selection solution")  # no picture has one, so any words may follow
_TOWARDS = _words(
    ": emotion the that it it's is be this option choice letter for with on to most likely probably definitely clearly"
)
_THE_FEELING = _words("the a option emotion category of being feeling letter description")
_COPULAS = _words(
    "is would should must will be seems appears to definitely likely probably most-likely therefore indeed"
)
_VERBS_OF_FIT = _words(
    """describes represents fits matches captures conveys reflects expresses depicts summarizes characterizes
    corresponds aligns describe represent fit match"""
)
_BEFORE_SAID = _words("and or nor makes make making")
_OF_ANSWERS = _NOUNS - _words("likely letter word term")
_OPENING_MARKS = _words("( ) : =")
_RIGHT = _words("correct right best")
_MOST = _words("appropriate fitting likely suitable accurate probable relevant apt representative")


def blocks(item: Item) -> bool:
    """Whether a word denies, doubts or speaks of another choice."""
    return item.text in _BLOCKERS or item.text.endswith("n't")


def stated_in_words(sentences: Sequence[Sentence], listed: Set[int]) -> tuple[set[str], set[str]]:
    """The letters that are said to be the answer and those that are said not to be.

    An empty letter among the first stands for a contradiction or for several at once. ``listed`` are the sentences
    that belong to a list of options.
    """
    stated: set[str] = set()
    denied: set[str] = set()
    for number, sentence in enumerate(sentences):
        above = sentences[number - 1] if number and sentence.opens_line and number not in listed else None
        for place, item in enumerate(sentence.items):
            if item.kind == "choice":
                stated.update(_spoken(sentence, place, above, only=len(sentences) == 1))
                if _is_denied(sentence.items, place):
                    denied.add(item.letter)
    return stated, denied


def is_heading(sentence: Sentence) -> bool:
    """Whether a line announces the answer on the next: "Answer", "The best description is:"."""
    items = sentence.items
    if items[-1].text in (":", "=", "is", "be"):
        return True
    return (
        sentence.end == "\n"
        and len(items) < 6
        and items[-1].text in _HEADS
        and all(item.kind == "word" for item in items)
    )


# Statements in words


def _spoken(sentence: Sentence, place: int, above: Sentence | None, *, only: bool) -> list[str]:
    """What a sentence says of one choice: its letter, an empty one for a choice among several, or nothing."""
    items = sentence.items
    if above is not None and all(one.text in _OPENING_MARKS for one in items[:place]) and is_heading(above):
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
    """ "The answer is B", "Answer: B", "it is B"."""
    item, link = items[place], _back(items, _before_not_but(items, place), _NEAR)
    if link < 0:
        return False
    if items[place - 1].text in ("answer", "ans") and item.form != "name":
        return _is_clean(items, place - 1, item)
    if items[link].text in ("-", "=") and items[link - 1].text in _HEADS:
        return link > 0 and _is_clean(items, link - 1, item)
    colon = items[link].text in (":", "=")
    while link > 0 and items[link].text in (":", "="):
        link -= 1
    if colon and items[link := _back(items, link, _NEAR - _HEADS) if link else 0].text not in ("is", "be"):
        return _noun_before(items, link + 1, item, colon=True)
    if items[link].text in ("it's", "that's", "this's"):
        return _is_thing(items, link, item, only=only)
    if items[link].text == "answer's":
        return _is_clean(items, link, item)
    if items[link].text == "be":
        link = _back(items, link - 1, _NEAR)
        if link < 0 or items[link].text not in _MODALS:
            return False
    elif items[link].text != "is":
        return False
    subject = _back(items, link - 1, _NEAR - _HEADS - _PRONOUNS | {"would", "seems", "appears", "has", "ought", "can"})
    if subject >= 0 and items[subject].text in _PRONOUNS:
        return _is_thing(items, subject, item, only=only)
    return _noun_before(items, link, item, colon=False)


def _noun_before(items: Sequence[Item], link: int, item: Item, *, colon: bool) -> bool:
    """Whether what stands before "is" or a colon is the answer, the choice, the picture's emotion ..."""
    about_picture = True
    for place in range(link - 1, -1, -1):
        one = items[place]
        if one.kind == "choice" or one.text == ":" or blocks(one):
            return False
        if one.text in (_HEADS if colon or item.form != "name" else _NOUNS):
            free = not colon and (item.form != "name" or one.text in _FREE)
            return (free or about_picture) and _is_clean(items, place, item)
        about_picture = about_picture and (one.text in _ABOUT_PICTURE or one.text in ("(", ")"))
    return False


def _is_thing(items: Sequence[Item], subject: int, item: Item, *, only: bool) -> bool:
    """ "It is B"; of a name only in so many words, or as somebody's opinion."""
    if not _is_clean(items, subject, item):
        return False
    opinion = any(one.text in _SPEAKERS for one in items[max(subject - 6, 0) : subject])
    return item.form != "name" or opinion or (only and item.text in POLARITY)


def _chosen(items: Sequence[Item], place: int) -> bool:
    """ "I choose B", "I'd go with B", "I would say fear", "choose B"."""
    verb = _back(items, place - 1, _TOWARDS)
    if verb > 0 and items[verb].text == "answer" and items[verb - 1].text in _CHOOSE | {"the", "my"}:
        verb = _back(items, verb - 1, _TOWARDS | {"my"})
    if verb < 0 or items[verb].text not in _CHOOSE:
        return False
    start = verb
    for start in range(verb - 1, -2, -1):
        if start < 0 or _bounds(items[start]):
            break
        if blocks(items[start]):
            return False
    clause = [one.text for one in items[start + 1 : verb]]
    if _SPEAKERS.intersection(clause):
        return True
    return items[verb].text in _IMPERATIVE and set(clause) <= {"please", "just", "should", "finally", "answer"}


def _described(items: Sequence[Item], place: int) -> bool:
    """ "The picture is best described as fear", "I would describe it as fear"."""
    item, link = items[place], _back(items, place - 1, _THE_FEELING)
    if link < 0 or items[link].text not in ("by", "as", "with", "under"):
        return False
    for verb in range(link - 1, max(link - 14, -1), -1):
        if items[verb].kind == "choice" or blocks(items[verb]):
            return False
        if items[verb].text in _DESCRIBED:
            start = next((n for n in range(verb - 1, -1, -1) if _bounds(items[n])), -1)
            clause = {one.text for one in items[start + 1 : verb]}
            told = item.form != "name" or bool((_BEST | _SPEAKERS) & clause)
            return told and _is_clean(items, verb, item)
    return False


def _pointed_at(items: Sequence[Item], place: int) -> bool:
    """ "This corresponds to option B", "the picture best represents fear", "the face shows B. Anger"."""
    item, verb = items[place], _back(items, place - 1, _THE_FEELING | {"to", "with"})
    if verb < 0:
        return False
    near = [one.text for one in items[max(verb - 2, 0) : place]]
    best = bool(_BEST.intersection(near))
    if items[verb].text in _BEST:
        verb -= 1
    known = _POINT | (_SUGGEST if best or item.form in ("both", "cited") else frozenset())
    return verb >= 0 and items[verb].text in known and (best or item.form != "name") and _is_clean(items, verb, item)


def _is_said_of(items: Sequence[Item], place: int) -> bool:
    """ "B is the answer", "fear is the best description", "option B best describes it"."""
    start = _back(items, place - 1, _NEAR | {"(", "emotion"})
    if start >= 0 and not _bounds(items[start]) and items[start].text not in _CHOOSE | _BEFORE_SAID:
        return False
    if start >= 0 and not _is_clean(items, start + 1, items[place]):
        return False
    said = _clause_after(items, place, (")", "|", ",") if items[place].form == "both" else (")", "|"))
    if any(blocks(one) or one.kind == "choice" for one in said) or not said:
        return False
    texts = [one.text for one in said if one.text not in ("option", "choice", "really", "clearly", "also", "truly")]
    if texts[:1] == ["best"] or (texts[:1] == ["most"] and texts[1:2] and texts[1] in _BEST):
        return bool(_VERBS_OF_FIT.intersection(texts[1:3]))
    if texts[:1] and texts[0] in _VERBS_OF_FIT:
        return bool(_BEST.intersection(texts[1:7]))
    if texts == ["it", "is"]:
        return True
    made = place > 0 and items[place - 1].text in ("makes", "make", "making")
    while texts and texts[0] in _COPULAS:
        made = True
        texts.pop(0)
    if not made or not texts:
        return False
    if texts[0] == "what":
        return bool(_BEST.intersection(texts[1:3]))
    if texts[0] in _RIGHT or (texts[0] == "most" and texts[1:2] and texts[1] in _MOST):
        return True
    possessive = any(text.endswith("'s") and text not in _ABOUT_PICTURE for text in texts)
    return texts[0] in ("the", "my", "our") and not possessive and bool(_OF_ANSWERS.intersection(texts[1:8]))


def _is_denied(items: Sequence[Item], place: int) -> bool:
    """ "Not B", "rule out option B", "B is wrong"."""
    before = _back(items, place - 1, _words("option the emotion of out be answer"))
    if before >= 0 and items[before].text in _NEGATION:
        return True
    said = [one.text for one in _clause_after(items, place)[:6]]
    if not said or said[0] not in _VERBS | {"would", "should"}:
        return False
    return any(text in _NEGATION or text.endswith("n't") for text in said)


# Around a choice


def _back(items: Sequence[Item], place: int, over: Set[str]) -> int:
    """The last place, going left, that holds none of these words and no opening bracket; -1 where there is none."""
    while (
        place >= 0 and (items[place].text in over or items[place].text in ("(", "•")) and items[place].kind != "choice"
    ):
        place -= 1
    return place


def _bounds(item: Item) -> bool:
    return item.kind == "choice" or item.text in _CLAUSE_MARKS or item.text in _CLAUSE_WORDS or item.text == "and"


def _is_clean(items: Sequence[Item], place: int, item: Item) -> bool:
    """Whether the clause up to here holds nothing that turns it round; of a name also nobody whose feeling it is."""
    for number in range(place - 1, -1, -1):
        one = items[number]
        if _bounds(one):
            return True
        qualified = number and items[number - 1].text in ("most", "best", "only")
        if blocks(one) or one.text in _OWNERS or (one.text in _POSSIBLE and not qualified):
            return False
        if one.text in ("first", "last") and items[place].text != "choice":
            return False
        if one.text == "one" and items[number + 1].text in ("would", "will"):
            return False
        person = one.text.endswith("'s") and one.text not in _ABOUT_PICTURE and one.text not in ("let's", "here's")
        if item.form == "name" and (
            person or (items[place].text in _FEELINGS and one.text in ("one", "a", "an", "of"))
        ):
            return False
    return True


def _before_not_but(items: Sequence[Item], place: int) -> int:
    """Where to look for "the answer is" in "the answer is not A but B"."""
    start = _back(items, place - 1, _words("rather instead"))
    if start > 0 and items[start].text == "but":
        start -= items[start - 1].text == ","
        other = start - 1
        if other > 0 and items[other].kind == "choice":
            start = _back(items, other - 1, _words("option the"))
            if start > 0 and items[start].text == "not":
                return start - 1
    return place - 1


def _clause_after(items: Sequence[Item], place: int, over: Container[str] = (")", "|")) -> list[Item]:
    """The words behind a choice up to the end of its clause or the next choice."""
    said: list[Item] = []
    for number in range(place + 1, len(items)):
        item = items[number]
        if not said and item.text in over:
            continue
        if item.kind == "choice":
            return [*said, item]
        if _bounds(item):
            break
        said.append(item)
    return said


def _is_supposed(items: Sequence[Item], place: int) -> bool:
    """Whether the sentence states a condition or an example, before the choice or up to the next one."""
    if any(item.text in _SUPPOSED for item in items[max(place - 60, 0) : place]):
        return True
    following = itertools.takewhile(lambda item: item.kind != "choice", items[place + 1 : place + 60])
    return any(item.text in ("if", "unless", "whether") for item in following)


def is_joined(items: Sequence[Item], place: int) -> bool:
    """Whether another choice is named in the same breath: "B or C", "A, B", "B and maybe C"."""
    joints: list[str] = []
    for number in range(place + 1, len(items)):
        item = items[number]
        after = items[number + 1].text if number + 1 < len(items) else ""
        if item.form:
            a_new_clause = set(joints) <= {","} and joints and after in _VERBS
            beside = "with" in joints and not item.lettered
            return item.letter != items[place].letter and not a_new_clause and not beside
        if (item.text, after) in _JOIN_PAIRS or (item.text == "but" and after in _JOIN_WORDS):
            joints.append("and")
        elif joints[-1:] == ["and"] and item.text in ("as", "by", "well"):
            continue
        elif item.text in _JOIN_MARKS or item.text in _JOIN_WORDS or item.text in ("the", ")"):
            joints.append(item.text)
        else:
            break
    return "or" in joints


def _joined_before(items: Sequence[Item], place: int) -> bool:
    before = _back(items, place - 1, _words("or and nor / & either both the"))
    return 0 <= before < place - 1 and items[before].kind == "choice" and items[before].letter != items[place].letter


def may_follow(items: Sequence[Item], place: int) -> bool:
    """Whether what follows a choice leaves it one: an end, a mark, a reason; behind a letter with its name anything."""
    item = items[place]
    following = next((one for one in items[place + 1 : place + 4] if one.text not in (")", "|")), None)
    if following is None or following.kind == "mark" or item.form == "both":
        return True
    if following.text == "not" and not any(one.form for one in items[place + 1 : place + 12]):
        return False
    return following.text in (_AFTER_NAME if item.form == "name" else REASONS | {"and", "to"})

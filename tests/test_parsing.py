"""What counts as an answer: a corpus of answers by style, and what holds for every answer."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepm_eval import emotions, prompts
from sepm_eval.emotions import EMOTION6, MIKELS, WEBEMO7, WEBEMO25
from sepm_eval.parsing import Options, parse_answer, parse_question

SETS = {"mikels": MIKELS, "emotion6": EMOTION6, "webemo7": WEBEMO7, "webemo25": WEBEMO25}
OFFERED = {name: Options(tuple(names), tuple(names.values())) for name, names in SETS.items()}
EIGHT, TWENTY_FIVE = OFFERED["mikels"], OFFERED["webemo25"]
# Text, options (the name of a label set or a list of labels) and the letter it states or null, by style.
CORPUS = [
    json.loads(line)
    for line in (Path(__file__).parent / "answers.jsonl").read_text(encoding="utf-8").split("\n")
    if line
]
STYLES = sorted({entry["style"] for entry in CORPUS})


def offered(entry: dict) -> Options:
    names = entry["options"]
    return OFFERED[names] if isinstance(names, str) else Options(tuple(names), tuple(map(str.capitalize, names)))


@pytest.mark.parametrize("style", STYLES)
def test_every_answer_of_the_corpus_is_read_as_written_there(style):
    entries = [entry for entry in CORPUS if entry["style"] == style]
    found = [parse_answer(entry["text"], offered(entry)) for entry in entries]
    misread = [
        f"{entry['text']!r}: {letter}, not {entry['letter']}"
        for entry, letter in zip(entries, found, strict=True)
        if letter != entry["letter"]
    ]
    print(f"{style}: {len(entries) - len(misread)} of {len(entries)} as written")
    assert not misread, "\n".join([f"{style}: {len(misread)} of {len(entries)} misread", *misread])


def test_the_corpus_is_wide():
    explicit = [entry for entry in CORPUS if entry["letter"] is not None]
    by_set = Counter(json.dumps(entry["options"]) for entry in CORPUS)
    assert len(CORPUS) >= 400
    assert min(len(explicit), len(CORPUS) - len(explicit)) >= len(CORPUS) / 3
    assert len(STYLES) >= 20
    assert all(sum(entry["style"] == style for entry in CORPUS) >= 10 for style in STYLES)
    assert len(by_set) >= 5
    assert min(by_set.values()) >= 15
    assert len({(entry["text"], json.dumps(entry["options"])) for entry in CORPUS}) == len(CORPUS)
    assert {entry["letter"] for entry in CORPUS if entry["options"] == "mikels"} == {*"ABCDEFGH", None}


def test_every_adjective_is_of_a_known_label_and_no_name_of_another():
    assert set(emotions.ADJECTIVES.values()) <= set(emotions.POLARITY)
    assert not set(emotions.ADJECTIVES) & {*emotions.POLARITY, *emotions.SYNONYMS}


@given(st.text(max_size=80))
def test_any_text_gives_a_letter_of_the_question_or_none(text):
    assert parse_answer(text, EIGHT) in {None, *"ABCDEFGH"}


# One choice, in every dress. {} is a letter, a name, or both.
WRAPPINGS = (
    "{}",
    "{}.",
    "**{}**",
    "({})",
    "[{}]",
    '"{}"',
    "\u201c{}\u201d",
    "`{}`",
    "{}\n",
    "{}</s>",
    "{}<|im_end|>",
    "<answer>{}</answer>",
    "\\boxed{{{}}}",
    '{{"answer": "{}"}}',
    "<think>B or C, not A.</think>{}",
    "Answer: {}",
    "**Answer:** {}",
    "{} is the answer.",
    "The answer is {}.",
    "The correct answer is **{}**.",
    "I choose {}.",
    "I would say {}",
    "The best description is {}.",
    "The man shouts.\n\nFinal answer: {}",
    "Sure! The answer is {}.",
    "\u7b54\u6848\u662f{}\u3002",
    "The answer is {}. However, there is more to see.",
)
DENIALS = (
    "not {}",
    "Not {}.",
    "It is not {}.",
    "It isn't {}",
    "The answer is not {}.",
    "The answer isn't {}.",
    "The correct answer cannot be {}.",
    "I would not choose {}.",
    "I don't think it is {}.",
    "I don't think the answer is {}.",
    "I would rule out {}.",
    "{} is wrong.",
    "{} is not the answer.",
    "{} is incorrect",
    "{} does not fit.",
    "The wrong answer is {}.",
    "The least likely answer is {}.",
    "My second choice is {}.",
    "Another option is {}.",
    "Neither {} nor anything else.",
    "Anything but {}.",
    "The answer could be {}.",
    "Could it be {}?",
    "If he shouts, the answer is {}.",
    "\u7b54\u6848\u4e0d\u662f{}",
    "The answer is unclear, maybe {}.",
)


@st.composite
def choices(draw: Callable) -> tuple[Options, str, str]:
    """Options, one of their letters, and a way to write that choice."""
    options = draw(st.sampled_from([*OFFERED.values(), Options(("joy", "fear"), ("Joy", "Fear"))]))
    index = draw(st.integers(0, len(options.labels) - 1))
    letter, name = prompts.letters(len(options.labels))[index], options.names[index]
    form = draw(
        st.sampled_from(["{0}", "{1}", "{0}. {1}", "({0}) {1}", "{0}: {1}", "{1} ({0})", "option {0}", "{0}) {2}"])
    )
    return options, letter, form.format(letter, name, name.lower())


@given(choices(), st.sampled_from(WRAPPINGS))
def test_a_choice_is_read_in_every_dress(choice, wrapping):
    options, letter, written = choice
    assert parse_answer(wrapping.format(written), options) == letter


@given(choices(), st.sampled_from(DENIALS), st.sampled_from(["", "The man is shouting. ", "A dog.\n\n", "Sure! "]))
def test_what_is_denied_or_doubted_is_not_the_answer(choice, denial, before):
    options, _, written = choice
    assert parse_answer(before + denial.format(written), options) is None


@given(choices(), choices(), st.sampled_from(DENIALS[:14]), st.sampled_from([" ", "\n", "\n\n"]))
def test_what_is_denied_is_not_read_beside_an_answer(choice, other, denial, between):
    options, letter, written = choice
    denied = other[2] if other[0] == options else "Z"
    found = parse_answer(f"The answer is {written}.{between}{denial.format(denied)}", options)
    assert found in (None, letter)


@given(choices(), st.sampled_from(["\n", "\n\n", " "]), st.sampled_from(["{}. {}", "({}) {}", "{}: {}", "- {}. {}"]))
def test_an_echoed_list_is_no_answer_and_hides_none(choice, between, line):
    options, letter, _ = choice
    echo = between.join(map(line.format, prompts.letters(len(options.labels)), options.names))
    assert parse_answer(echo, options) is None
    assert parse_answer(f"{echo}\nAnswer: {letter}", options) == letter


LONG = (
    "answer ",
    "(",
    "( ",
    "B ",
    "B C ",
    "B\n",
    "B\nC\n",
    "<b>",
    "<think>",
    "<answer>",
    "answer is B ",
    "I think B ",
    "B or ",
    "fear, ",
    "A. Amusement\n",
    "B is the answer and ",
    "as B described ",
    "\u9009",
    "the ",
    '{"a": ',
    "*",
    "- ",
    "if I had to choose ",
    "<|x",
)


@pytest.mark.parametrize("unit", LONG)
def test_the_time_grows_with_the_text_and_no_faster(unit):
    """In calls, which are the same on every machine; what a regular expression does inside is bounded by its form."""

    def cost(size: int) -> int:
        text = (unit * size)[:size]
        calls = Counter[str]()
        sys.setprofile(lambda _frame, event, _argument: calls.update((event,)))
        try:
            parse_answer(text, EIGHT)
        finally:
            sys.setprofile(None)
        return calls.total()

    cost(100)
    assert cost(16_000) <= 8.5 * cost(2_000) + 500


@pytest.mark.parametrize("unit", LONG)
def test_a_long_text_is_read_at_all(unit):
    """A quadratic expression would take minutes for this; the limit is no measure of speed."""
    started = time.process_time()
    parse_answer((unit * 200_000)[:200_000], EIGHT)
    assert time.process_time() - started < 60


@pytest.mark.parametrize("options", [EIGHT, TWENTY_FIVE])
@pytest.mark.parametrize("wording", list(prompts.WORDINGS))
def test_our_questions_are_read_back(options, wording):
    lettered = zip(prompts.letters(len(options.labels)), options.names, strict=True)
    assert parse_question(prompts.fine(lettered, prompts.WORDINGS[wording], foe=True)) == options


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital?\nA. Paris\nB. Rome",
        "Which?\nA. Joy\nB. Sofa",
        "Which?\nA. Joy",
        "Which?\nA. Joy\nC. Fear",  # narrowed already
        "Which?\nA. Joy\nB. Joy",
        "Describe the picture.",
        "",
    ],
)
def test_other_questions_are_not_emotion_questions(text):
    assert parse_question(text) is None

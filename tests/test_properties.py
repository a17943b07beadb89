"""Promises that hold for every input: drawn by hypothesis, or made by damaging valid files from a fixed seed."""

from __future__ import annotations

import math
import string
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_hostile import limited

from sepm_eval import prompts
from sepm_eval.emotions import NEGATIVE, POSITIVE, SYNONYMS
from sepm_eval.methods.selection import count_to_drop, keep_most_significant
from sepm_eval.parsing import Options, half_known, parse_answer, parse_question
from sepm_eval.report import statistics
from sepm_eval.runs.journal import Journal, read_journal
from sepm_eval.scoring import failure_text, macro_f1, score
from sepm_eval.types import Question

ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates too
WHITESPACE = st.text(" \t\n\r\f\v\u00a0\u2003\u2028", max_size=6)


@st.composite
def options(draw) -> Options:
    """Some emotions in some order, each shown by one of its spellings."""
    labels = draw(st.lists(st.sampled_from(POSITIVE + NEGATIVE), min_size=2, max_size=26, unique=True))
    spellings = {label: [label, *(other for other, key in SYNONYMS.items() if key == label)] for label in labels}
    names = [draw(st.sampled_from(spellings[label])) for label in labels]
    shown = draw(st.sampled_from([str.capitalize, str.upper, str.lower]))
    return Options(tuple(labels), tuple(shown(name) for name in names))


@st.composite
def near_answers(draw, offered: Options) -> str:
    """Texts made of what answers are made of."""
    words = ["answer", "Answer:", "is", "option", "choice", "not", "or", "(", ")", ".", ":", "**", "\n", " ", "I", "a"]
    words += [
        "best",
        "because",
        "but",
        "if",
        "said",
        "second",
        ",",
        "?",
        "-",
        "<think>",
        "</think>",
        "{",
        "}",
        "\u7b54\u6848",
        "\u662f",
    ]
    parts = st.sampled_from([*words, *offered.names, *offered.labels, *string.ascii_letters])
    return draw(st.sampled_from(["", " "])).join(draw(st.lists(parts, max_size=12)))


# Questions and answers


@given(options(), st.sampled_from(sorted(prompts.WORDINGS)), st.booleans(), st.booleans())
def test_a_question_is_read_back_as_it_was_asked(offered, wording, foe, ambiguous):
    lettered = list(zip(prompts.letters(len(offered.labels)), offered.names, strict=True))
    text = prompts.fine(lettered, prompts.WORDINGS[wording], foe=foe, ambiguous=ambiguous)
    assert parse_question(text) == offered
    assert parse_question(text.replace("\n", "\r\n")) == offered
    assert half_known(text) == ()


@given(st.data(), options())
def test_only_a_letter_on_offer_is_an_answer_and_whitespace_around_it_says_nothing(data, offered):
    text = data.draw(ANY_TEXT | near_answers(offered))
    found = parse_answer(text, offered)
    assert found in {None, *prompts.letters(len(offered.labels))}
    before, after = data.draw(WHITESPACE), data.draw(WHITESPACE)
    assert parse_answer(before + text + after, offered) == found


@given(st.data(), options())
def test_every_way_to_name_an_option_names_it(data, offered):
    index = data.draw(st.integers(0, len(offered.labels) - 1))
    letter, name, label = prompts.letters(len(offered.labels))[index], offered.names[index], offered.labels[index]
    for text in (
        letter,
        letter.lower(),
        f"({letter})",
        f"{letter}. {name}",
        name,
        label,
        f"I see it. Answer: {letter}.",
    ):
        assert parse_answer(text, offered) == letter
        assert score(text, label, offered).correct


@given(ANY_TEXT)
@example("A. Joy\n" * 50_000)
@example("A." + " " * 200_000 + "x")
@example("\n" * 200_000)
@example("answer " * 60_000)
@example("(" * 200_000)
@example("B " * 50_000)
@example("<think>" * 30_000)
@example("\\boxed{" * 30_000)
def test_no_text_breaks_or_delays_the_reader(text):
    with limited(5):
        found = parse_question(text)
        assert found is None or len(found.labels) >= 2
        half_known(text)
        parse_answer(text, Options(("joy", "fear"), ("Joy", "Fear")))


@given(ANY_TEXT, st.sampled_from(["joy", "fear"]))
def test_a_failure_is_never_an_answer(text, target):
    found = score(failure_text(ValueError(text)), target, Options(("joy", "fear"), ("Joy", "Fear")))
    assert (found.status, found.label, found.correct) == ("failed", None, False)


@given(st.integers(-5, 40))
def test_letters_run_from_a(count):
    if 2 <= count <= 26:
        assert prompts.letters(count) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]
    else:
        with pytest.raises(ValueError, match="2 to 26 options"):
            prompts.letters(count)


@given(st.data(), options())
def test_a_narrowed_list_keeps_its_letters(data, offered):
    question = Question(Image.new("RGB", (1, 1)), offered.labels, offered.names)
    whole = dict(zip(offered.labels, question.options(), strict=True))
    chosen = tuple(data.draw(st.lists(st.sampled_from(offered.labels), unique=True)))
    assert question.options(chosen) == [whole[label] for label in offered.labels if label in chosen]
    sides = [question.of_polarity(side) for side in ("positive", "negative")]
    assert sorted(sides[0] + sides[1]) == sorted(offered.labels)


# Selection

SIGNIFICANCE = st.sampled_from([0.0, 0.25, 0.5, 1.0, -3.0, math.inf])
TOKENS = st.lists(st.tuples(SIGNIFICANCE, st.booleans()), min_size=1, max_size=30)  # and which are separators


@given(TOKENS, st.decimals(0, 1, places=2).map(float))
def test_selection_drops_that_many_of_the_least_and_of_equals_the_first(tokens, beta):
    """Separators count, but are never chosen; one token that shows something stays."""
    significance, separators = map(torch.tensor, zip(*tokens, strict=True))
    keep = keep_most_significant(significance, beta, separators)
    count = count_to_drop(beta, len(tokens))
    assert count == math.floor(Fraction(str(beta)) * len(tokens))
    dropped = [index for index, one in enumerate(keep.tolist()) if not one]
    free = [index for index, (_, separator) in enumerate(tokens) if not separator]
    least = sorted(free, key=lambda index: (tokens[index][0], index))
    assert dropped == sorted(least[: min(count, max(len(free) - 1, 0))])
    if not separators.any():
        assert keep_most_significant(significance, beta).tolist() == keep.tolist()


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 3000))
def test_a_larger_share_never_drops_fewer(first, second, tokens):
    low, high = sorted((first, second))
    assert 0 <= count_to_drop(low, tokens) <= count_to_drop(high, tokens) <= tokens


# The journal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"key": st.text(), "status": st.sampled_from(["answered", "failed"]), "task": st.text(), "text": st.text()},
        optional={"more": VALUES},
    ),
    max_size=6,
).map(lambda records: [{**record, "doc_id": number} for number, record in enumerate(records)])


def write(path: Path, records: list[dict]) -> None:
    journal = Journal(path)
    journal.append(records)
    journal.close()


@settings(max_examples=60)
@given(RECORDS)
def test_a_journal_gives_back_what_was_written(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    write(path, records)
    assert read_journal(path) == records
    journal = Journal(path)
    answered = {}
    for record in records:
        if record["status"] == "answered":
            answered.setdefault(record["key"], record)
    assert {key: journal.find(key) for key in answered} == answered
    assert len(journal) == len(answered)
    journal.close()


def test_torn_at_every_byte_the_whole_lines_remain(tmp_path):
    texts = ["joy", "\u00e4\U0001f600\u2028\x85", '"\\\n\0']
    path = tmp_path / "j.jsonl"
    write(
        path,
        [{"key": text, "status": "answered", "task": "t", "doc_id": n, "text": text} for n, text in enumerate(texts)],
    )
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        left = whole[:cut].count(b"\n")
        assert [record["text"] for record in read_journal(path)] == texts[:left]
        Journal(path).close()
        assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]


# Statistics


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_the_share_and_shrinks_with_more_items(share):
    right, n = share
    interval, tighter = statistics.wilson(right, n), statistics.wilson(4 * right, 4 * n)
    assert -1e-12 <= interval.low <= right / n + 1e-12
    assert right / n - 1e-12 <= interval.high <= 1 + 1e-12
    assert tighter.high - tighter.low < interval.high - interval.low


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_comparison_turns_round_with_its_sides(pairs):
    first, second = zip(*pairs, strict=True)
    there, back = statistics.compare(first, second), statistics.compare(second, first)
    assert (there.gained, there.lost, there.p_value) == (back.lost, back.gained, back.p_value)
    assert there.difference == pytest.approx(-back.difference)
    assert 0 <= there.p_value <= 1
    assert -1 <= there.interval.low <= there.interval.high <= 1


@settings(max_examples=15)  # statsmodels collects garbage in every call
@given(st.lists(st.floats(0, 1), max_size=12))
def test_correction_lowers_no_p_value_and_keeps_their_order(p_values):
    adjusted = statistics.holm(p_values)
    assert all(p - 1e-12 <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.none() | st.sampled_from("xyz")), min_size=1, max_size=20))
def test_macro_f1_is_a_share_and_one_only_for_all_right(pairs):
    targets, answers = zip(*pairs, strict=True)
    value = macro_f1(targets, answers)
    assert 0 <= value <= 1
    assert (value == 1) == (targets == answers)

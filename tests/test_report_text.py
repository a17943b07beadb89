"""Texts of others in pages, Markdown and CSV: nothing of them acts, and what cannot be seen is shown."""

from __future__ import annotations

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_runs import LLAVA, read_lines, run, write_lines

from sepm_eval.report.text import harmless, inert, on_page, visible
from sepm_eval.report.write import write_report
from sepm_eval.runs.results import read_runs

FORMULAS = "=+-@\uff1d\uff0b\uff0d\uff20"
HOSTILE = "\x1b[31mred\x00\x07 fear;=1+1\t@SUM(A1)\n+2 \u202egnp\u2028\x9b"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        (" =1+1", "' =1+1"),
        ("\x00=1", r"'\x00=1"),
        ("\ufeff=1", r"'\ufeff=1"),
        ("\t@SUM(A1)", r"'\t'@SUM(A1)"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("fear;=1+1", "fear;'=1+1"),
        ("fear,-1", "fear,'-1"),
        ("fear\t+1", r"fear\t'+1"),
        ("fear\n\n =1", r"fear\n\n '=1"),
        ('fear;"=1', "fear;\"'=1"),
        ("a;=1;=2", "a;'=1;'=2"),
        ("sepm (beta=0.1)", "sepm (beta=0.1)"),
        ("a-b", "a-b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("right \u2192 wrong", "right \u2192 wrong"),
        ("", ""),
    ],
)
def test_cells(text, cell):
    assert harmless(text) == cell


@pytest.mark.parametrize("value", [None, 3, -2.5, True])
def test_numbers_stay_numbers(value):
    assert harmless(value) is value


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_no_part_of_a_cell_is_a_formula(text):
    """Split at whatever a spreadsheet may split at, no part begins with one; and all of it can be seen."""
    cell = harmless(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", cell)
    for part in re.split("[;,|]", cell):
        assert part.lstrip(" \"'")[:1] not in set(FORMULAS) or "'" in part[: len(part) - len(part.lstrip(" \"'"))]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_markdown_is_one_line_of_visible_text(text):
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", inert(text))


def test_what_is_visible_stays():
    assert visible("Joy \U0001f642 \u2192 ä") == "Joy \U0001f642 \u2192 ä"
    assert on_page("a\tb\nc\x1b") == "a\tb\nc\\x1b"


def test_a_hostile_answer_in_every_file_of_a_report(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    samples = read_lines(log)
    samples[0]["filtered_resps"], samples[0]["item_id"] = HOSTILE, "id\x1b]0;owned\x07"
    write_lines(log, samples)
    write_report(read_runs([tmp_path]), tmp_path / "report")
    for path in (tmp_path / "report").rglob("*.*"):
        if path.suffix in (".html", ".md", ".csv"):
            text = path.read_bytes().decode()
            assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text), path.name
    with (tmp_path / "report/tables/unparsed.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["output"] == r"\x1b[31mred\x00\x07 fear;'=1+1\t'@SUM(A1)\n'+2 \u202egnp\u2028\x9b"
    assert row["item"] == r"id\x1b]0;owned\x07"
    (page,) = (tmp_path / "report/pages").glob("*.html")
    assert r"\x1b[31mred\x00\x07 fear;=1+1" in page.read_text(encoding="utf-8")


def test_long_texts_take_time_in_proportion():
    """A second pass over every run of separators would take minutes here."""
    for text in ("\n" * 300_000, ";" * 300_000 + "x", "; =" * 100_000, " '" * 150_000):
        assert len(harmless(text)) >= len(text)

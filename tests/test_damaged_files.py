"""Files damaged at random are read or refused with our own errors, quickly."""

from __future__ import annotations

import random
import string
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from make_runs import LLAVA
from make_runs import run as make_run
from miniature import artphoto_release, emoset_release
from test_hostile import is_documented, limited
from test_properties import ANY_TEXT, write

from sepm_eval.datasets import find_benchmarks
from sepm_eval.runs.journal import Journal, read_journal
from sepm_eval.runs.plan import load_plan, parse_method, slug
from sepm_eval.runs.results import read_runs

TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\n",
        b"\r",
        b"\r\n",
        b"\t",
        b'"',
        b"'",
        b",",
        b":",
        b"\\",
        b"\\ud800",
        b"\x85",
    ),
    *(b"[", b"]", b"{", b"}", b"[[]]", b"null", b"true", b"NaN", b"-1", b"1e999", b"0.5", b"9" * 5000),
    *(b"..", b"../", b"&a ", b"*a", b"!!int ", b"!!python/none ", b"- ", b"? ", b"# ", b"x" * 200_000, b"\xe2\x80\xa8"),
)
DEEP = b"[" * 3000  # deeper than Python recurses


def damaged(content: bytes, draw: random.Random, tokens: Sequence[bytes]) -> bytes:
    """The content after one to three accidents: bits turned, an end, a piece gone, doubled, put in or replaced."""
    for _ in range(draw.randint(1, 3)):
        start, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
        kind = draw.randrange(6)
        if kind == 0:
            flipped = bytearray(content)
            for _ in range(draw.randint(1, 4)):
                if flipped:
                    flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
            content = bytes(flipped)
        elif kind == 1:
            content = content[:start]
        elif kind == 2:
            content = content[:start] + content[min(end, start + 40) :]
        elif kind == 3:
            content = content[:end] + content[start:]
        elif kind == 4:
            content = content[:start] + draw.choice(tokens) + content[start:]
        else:
            content = content[:start] + draw.choice(tokens) + content[min(end, start + 12) :]
    return content


def fuzz(path: Path, read: Callable[[], object], times: int, tokens: Sequence[bytes] = (*TOKENS, DEEP)) -> None:
    """Damage a file again and again. It is read or refused; anything but our own errors fails."""
    whole, found = path.read_bytes(), Counter()
    for number in range(times):
        content = damaged(whole, random.Random(f"{path.name} {number}"), tokens)
        path.write_bytes(content)
        try:
            with limited(10):
                read()
            found["read"] += 1
        except Exception as error:
            if not is_documented(error):
                raise AssertionError(f"damage {number} of {path.name}: {error!r}") from error
            found["refused"] += 1
    assert min(found["read"], found["refused"]) > times / 50, f"hardly a test: {found}"


def test_damaged_journals(tmp_path):
    path = tmp_path / "j.jsonl"
    write(path, [{"key": f"k{n}", "status": "answered", "task": "t", "doc_id": n, "text": "B"} for n in range(5)])

    def read() -> None:
        records = read_journal(path)
        journal = Journal(path)
        assert len(journal) <= len(records)
        journal.close()

    fuzz(path, read, 1500)


@pytest.mark.parametrize("pattern", ["*_samples_emoset.jsonl", "*_results.json", "journals/*.jsonl"])
def test_damaged_results(tmp_path, pattern):
    make_run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    for lines in tmp_path.rglob("*.jsonl"):
        lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:4]))
    (path,) = tmp_path.rglob(pattern)

    def read() -> None:
        for run in read_runs([tmp_path]):
            assert sum(map(run.count, ("answered", "unparsed", "failed"))) == len(run.outcomes)
            assert {outcome.target for outcome in run.outcomes} <= set(run.options.labels)

    fuzz(path, read, 500)


def test_damaged_item_lists(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    artphoto_release(tmp_path)
    benchmark = find_benchmarks()["artphoto"]
    ids = {item.id for item in benchmark.items()}
    path = tmp_path / "mine.csv"
    path.write_text("id,label\nawe_0001,awe\nsad_0000,fear\nfear_0000,\n")

    def read() -> None:
        items = benchmark.items(str(path))
        assert {item.id for item in items} <= ids
        assert {item.label for item in items} <= set(benchmark.names)

    fuzz(path, read, 1000)


def test_damaged_releases(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    path = emoset_release(tmp_path) / "test.json"
    benchmark = find_benchmarks()["emoset"]

    def read() -> None:
        for item in benchmark.items():
            assert item.path.resolve().is_relative_to(tmp_path / "EmoSet-118K")
            assert item.label in benchmark.names

    fuzz(path, read, 600)


def test_damaged_plans(tmp_path):
    path = tmp_path / "plan.yaml"
    plan = {"tasks": ["emoset", "emotion6"], "methods": ["zero_shot", "sepm,beta=0.1"], "limit": 3}
    text = yaml.safe_dump({**plan, "models": [{"model": "sepm_llava", "args": {"pretrained": "demo"}}]})
    path.write_text("# nothing to read here\n" * 10 + text + "# nor here\n" * 20)
    fuzz(path, lambda: load_plan(str(path)), 600)


@settings(max_examples=300)
@given(st.text("sepm,=0123456789.abt -e[](){}'\"\\#\n\0", max_size=30).map("sepm,".__add__) | ANY_TEXT)
def test_any_method_is_read_or_refused(text):
    refused = None
    try:
        parse_method(text)
    except ValueError as error:
        refused = error
    assert refused is None or is_documented(refused)
    assert set(slug(text)) <= set(string.ascii_letters + string.digits + "._-")

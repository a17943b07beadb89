"""The journal survives what happens to it."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepm_eval.journal import Journal, question_key, read_journal


def record(key="k", task="t", doc_id=0, status="answered", **more):
    return {"key": key, "task": task, "doc_id": doc_id, "status": status, "text": "A", **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "down" / "journal.jsonl"


def write(path, *records):
    journal = Journal(path)
    journal.append(records)
    journal.close()


def test_answers_are_found_again(path):
    write(path, record("a", text="B"), record("b", text="Ü\u2028"))
    journal = Journal(path)
    assert len(journal) == 2
    assert journal.find("b")["text"] == "Ü\u2028"
    assert journal.find("c") is None
    journal.close()


def test_a_failure_is_kept_but_not_reused(path):
    write(path, record("a", status="failed"))
    journal = Journal(path)
    assert journal.find("a") is None
    journal.append([record("a", text="B")])
    assert journal.find("a")["text"] == "B"
    journal.close()
    assert [r["status"] for r in read_journal(path)] == ["failed", "answered"]


def test_the_same_document_is_noted_once_and_another_one_again(path):
    write(path, record("a"), record("a"))
    write(path, record("a"), record("a", doc_id=1))
    assert [r["doc_id"] for r in read_journal(path)] == [0, 1]


@pytest.mark.parametrize(
    "torn", [b"{", b'{"key": "b", "task": "t", "doc_id": 1, "status": "answered"}', b"\x00" * 70000]
)
def test_a_torn_last_line_is_cut_off(path, torn):
    write(path, record("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(read_journal(path)) == 1  # a reader beside a running writer
    write(path, record("b", doc_id=1))
    assert path.read_bytes().startswith(whole)
    assert [r["key"] for r in read_journal(path)] == ["a", "b"]


def test_a_journal_that_is_only_a_torn_line(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"key"')
    write(path, record("a"))
    assert [r["key"] for r in read_journal(path)] == ["a"]


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"key": "a"}', "null"])
def test_damage_in_the_middle_is_an_error_that_names_the_line(path, line):
    write(path, record("a"))
    with path.open("a") as file:
        file.write(f"{line}\n{json.dumps(record('b'))}\n")
    with pytest.raises(ValueError, match="line 2 is not a journal record"):
        Journal(path)


def test_a_second_run_on_the_same_journal_is_told_so(path):
    first = Journal(path)
    with pytest.raises(RuntimeError, match="another run is writing"):
        Journal(path)
    first.close()
    Journal(path).close()


def test_the_key_is_of_every_part():
    keys = [
        question_key(images=["x"], text="q", method={"name": "sepm", "alpha": 0.1}),
        question_key(images=["y"], text="q", method={"name": "sepm", "alpha": 0.1}),
        question_key(images=["x"], text="r", method={"name": "sepm", "alpha": 0.1}),
        question_key(images=["x"], text="q", method={"name": "sepm", "alpha": 0.2}),
    ]
    assert len(set(keys)) == 4
    assert keys[0] == question_key(method={"alpha": 0.1, "name": "sepm"}, text="q", images=["x"])


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(), max_size=6), cut=st.integers(min_value=0, max_value=400))
def test_whatever_is_cut_off_the_whole_lines_remain(tmp_path_factory, texts, cut):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    write(path, *(record(str(i), doc_id=i, text=text) for i, text in enumerate(texts)))
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    journal = Journal(path)
    journal.close()
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]
    assert [r["text"] for r in read_journal(path)] == texts[: content.count(b"\n")]


@pytest.mark.parametrize(
    "line",
    [
        b'{"key": ["a"], "status": "answered", "task": "t", "doc_id": 0, "text": "A"}',
        b'{"key": "a", "status": ["answered"], "task": "t", "doc_id": 0, "text": "A"}',
        b'{"key": "a", "status": "done", "task": "t", "doc_id": 0, "text": "A"}',
        b'{"key": "a", "status": "answered", "task": "t", "doc_id": {}, "text": "A"}',
        b'{"key": "a", "status": "answered", "task": "t", "doc_id": 0}',
        b'{"key": "a", "status": "answered", "task": "t", "doc_id": 0, "text": 7}',
        b'{"key": ' + b"[" * 100_000,
    ],
    ids=["key", "status", "unknown status", "doc_id", "no text", "text", "deep"],
)
def test_what_was_never_written_is_refused(tmp_path, line):
    """And the file can be opened again once it was moved away or mended: nothing is left locked."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + b"\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="line 1 is not a journal record"):
            Journal(path)
    path.unlink()
    Journal(path).close()


def test_half_a_character_is_written_and_read(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([{"key": "a", "status": "answered", "task": "t", "doc_id": 0, "text": "joy \ud83d \U0001f600"}])
    journal.close()
    (record,) = read_journal(journal.path)
    assert record["text"] == "joy \ud83d \U0001f600"


def test_a_pipe_is_no_journal(tmp_path):
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(OSError, match="not a regular file"):
        Journal(tmp_path / "journal.jsonl")

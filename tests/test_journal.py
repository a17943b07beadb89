"""The journal survives what happens to it."""

import errno
import json
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepm_eval.runs.journal import Journal, question_key, read_journal, records


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


def test_whatever_a_record_begins_with_the_file_is_a_journal(path):
    write(path, {"status": "answered", "doc_id": 0, "task": "t", "text": "A", "key": "a"})
    write(path, record("b"))
    assert [r["key"] for r in read_journal(path)] == ["a", "b"]


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
@pytest.mark.parametrize("linked_first", [True, False])
def test_a_journal_is_locked_under_all_its_names(tmp_path, link, linked_first):
    if sys.platform == "win32":
        pytest.skip("hard links are not told there, and symbolic ones need a privilege")
    names = [tmp_path / "journal.jsonl", tmp_path / "elsewhere" / "link.jsonl"]
    names[1].parent.mkdir()
    write(names[0], record("a"))
    link(names[0], names[1])
    first, second = names[::-1] if linked_first else names
    journal = Journal(first)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="another run is writing to the journal"):
            Journal(second)
    journal.append([record("b")])
    journal.close()
    write(second, record("c"))
    assert [r["key"] for r in read_journal(first)] == ["a", "b", "c"]


def test_a_link_to_a_journal_that_is_not_there_yet(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "far" / "journal.jsonl")
    write(tmp_path / "link.jsonl", record("a"))
    assert (tmp_path / "link.jsonl").is_symlink()
    assert [r["key"] for r in read_journal(tmp_path / "far" / "journal.jsonl")] == ["a"]


def deleted(path):
    path.unlink()


def replaced(path):
    path.with_name("new").write_bytes(path.read_bytes())
    os.replace(path.with_name("new"), path)


def moved(path):
    path.parent.rename(path.parent.with_name("moved"))


def emptied(path):
    os.truncate(path, 0)


def written(path):
    with path.open("a") as file:
        file.write(json.dumps(record("z")) + "\n")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (deleted, "gone: start again"),
        (replaced, "replaced by another file; .* gone: start again"),
        (moved, "gone: start again"),
        (emptied, "another program writes to it"),
        (written, "another program writes to it"),
    ],
)
@pytest.mark.parametrize("new", [True, False], ids=["a new answer", "a known one"])
def test_answers_do_not_vanish_unsaid(path, event, message, new):
    """A journal that is deleted or changed in mid-run: the next answer says so, even one that need not be written."""
    journal = Journal(path)
    journal.append([record("a")])
    event(path)
    with pytest.raises(OSError, match=message):
        journal.append([record("b" if new else "a")])
    journal.close()


def test_an_answer_is_never_read_from_another_place(path):
    write(path, record("a"), record("b"))
    journal = Journal(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[1] + lines[0])
    with pytest.raises(OSError, match="was changed while a run was using it"):
        journal.find("a")
    journal.close()


@pytest.mark.parametrize("function", ["fsync", "write"])
def test_a_full_disk_leaves_whole_lines_and_no_lock(path, monkeypatch, function):
    """The same journal, still open, goes on once there is room: nothing of the failed write is taken for written."""
    journal = Journal(path)
    journal.append([record("a")])
    whole = path.read_bytes()

    class Full:
        """Half of it is written, then the disk is full."""

        def __init__(self, file):
            self._file, self._left = file, 20

        def write(self, content):
            if not self._left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done, self._left = self._file.write(content[: self._left]), 0
            return done

        def __getattr__(self, name):
            return getattr(self._file, name)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = journal._file
    with monkeypatch.context() as patch:
        if function == "write":
            patch.setattr(journal, "_file", Full(file))
        else:
            patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"journal\.jsonl cannot be written \(No space left on device\)"):
            journal.append([record("b")])
    assert path.read_bytes() == whole
    assert journal.find("b") is None
    journal.append([record("b"), record("c")])
    assert journal.find("b")["text"] == "A"
    journal.close()
    assert [r["key"] for r in read_journal(path)] == ["a", "b", "c"]


def test_close_gives_the_lock_back_whatever_happens(path):
    journal = Journal(path)
    os.close(journal._file.fileno())  # as where a disk goes away: closing it is an error
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.close()
    Journal(path).close()


def test_records_come_one_at_a_time(path):
    write(path, record("a"), record("b"))
    with path.open("a") as file:
        file.write("nonsense\n")
    found = records(path)
    assert [next(found)["key"], next(found)["key"]] == ["a", "b"]
    with pytest.raises(ValueError, match="line 3 is not a journal record"):
        next(found)
    assert list(records(path.with_name("none"))) == []


def test_a_record_that_could_not_be_read_back_is_not_written(path):
    journal = Journal(path)
    with pytest.raises(TypeError, match="doc_id is '0'"):
        journal.append([record("a"), record("b", doc_id="0")])
    journal.append([record("a")])
    journal.close()
    assert [r["key"] for r in read_journal(path)] == ["a"]


def test_other_journals_serve_while_they_are_written(tmp_path):
    """As those of other processes: their whole lines count, their torn last one is left alone."""
    mine, other, late = (tmp_path / f"{name}.jsonl" for name in ("mine", "other", "late"))
    write(other, record("a", text="B"), record("b", text="C"))
    torn = other.read_bytes() + b'{"key": "c"'
    other.write_bytes(torn)
    journal = Journal(mine, [other, late])
    assert (len(journal), journal.find("b")["text"], journal.find("c")) == (2, "C", None)
    journal.append([journal.find("b")])
    assert len(journal) == 2
    journal.close()
    assert other.read_bytes() == torn
    assert [r["key"] for r in read_journal(mine)] == ["b"]


def test_many_records_take_little_memory(tmp_path):
    """The index holds places: far less than the records of a long run."""
    import tracemalloc

    path, count = tmp_path / "journal.jsonl", 4000
    write(path, *(record(f"{number:064d}", doc_id=number, more="x" * 2000) for number in range(count)))
    tracemalloc.start()
    journal = Journal(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    assert sum(1 for _ in records(path)) == count == len(journal)
    reading = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    journal.close()
    assert path.stat().st_size > 8e6
    assert peak < 400 * count
    assert reading < 1e6

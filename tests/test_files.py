"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from sepm_eval.files import remove_leftovers, text_of, write_whole, writing_whole


@pytest.fixture
def path(tmp_path):
    return tmp_path / "20261124_results.json"


@pytest.mark.parametrize("content", ["ä\n\r\n", b"\xff\x00", ""])
def test_content_is_written_as_it_is(path, content):
    write_whole(path, "something longer that was there before")
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(path.parent) == [path.name]


def test_the_mode_is_that_of_any_new_file(path):
    """Not that of a temporary file, which nobody else may read."""
    write_whole(path, "x")
    path.with_name("other").write_text("x")
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_fault_leaves_what_was_there_and_nothing_else(path, monkeypatch, function):
    write_whole(path, "old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_fault_of_who_writes_piece_by_piece_leaves_nothing(path):
    def stopped():
        with writing_whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not os.listdir(path.parent)


def test_what_is_half_written_has_a_name_that_nobody_looks_for_or_takes(path):
    with writing_whole(path) as first, writing_whole(path) as second:
        first.write(b"first")
        second.write(b"second")
        names = os.listdir(path.parent)
        assert len(set(names)) == 2
        assert not [name for pattern in ("*.json", "*.jsonl", "*.tsv", "*.csv") for name in path.parent.glob(pattern)]
    assert path.read_bytes() == b"first"  # its block ended last
    assert os.listdir(path.parent) == [path.name]


def test_a_name_of_the_greatest_length(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(path, "x")
    assert path.read_text() == "x"


def test_a_kill_while_writing_leaves_what_was_there(path):
    write_whole(path, "old")
    code = f"""
import os, pathlib, signal
from sepm_eval.files import writing_whole
with writing_whole(pathlib.Path({str(path)!r})) as file:
    file.write(b"new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(os.listdir(path.parent)) == 2
    mine = path.parent / "deep" / ".mine.part"
    mine.parent.mkdir()
    mine.write_text("not ours")
    remove_leftovers(path.parent.parent)
    assert {one.name for one in path.parent.rglob("*")} == {path.name, "deep", ".mine.part"}


def test_what_can_be_made_again_takes_the_place_of_what_a_killed_writer_left(path):
    write_whole(path, "old", repeatable=True)
    code = f"""
import os, pathlib, signal
from sepm_eval.files import writing_whole
with writing_whole(pathlib.Path({str(path)!r}), repeatable=True) as file:
    file.write(b"new and longer")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
        assert path.read_text() == "old"
        assert len(os.listdir(path.parent)) == 2
    remains = path.parent / "remains"
    remains.mkdir()
    for left in path.parent.glob(".*"):
        left.rename(remains / left.name)
    remove_leftovers(remains)
    assert not os.listdir(remains)
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    write_whole(path, "new", repeatable=True)
    assert path.read_text() == "new"
    assert sorted(os.listdir(path.parent)) == [path.name, "remains"]


def test_what_can_be_made_again_does_not_wait_for_the_disk(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_whole(path, "x", repeatable=True)
    assert not synced
    write_whole(path, "x")
    assert len(synced) == 2  # the file and its folder


def test_a_fault_of_what_can_be_made_again_leaves_what_was_there(path, monkeypatch):
    write_whole(path, "old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new", repeatable=True)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_text_is_utf8_with_the_ends_of_lines_as_given(path):
    with writing_whole(path) as file, text_of(file) as text:
        text.write("ä\n")
        text.write("b\r\n")
    assert path.read_bytes() == "ä\nb\r\n".encode()


def test_a_fault_while_text_is_written_leaves_what_was_there(path):
    write_whole(path, "old")

    def stopped():
        with writing_whole(path) as file, text_of(file) as text:
            text.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]

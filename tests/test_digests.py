"""Digests of whole files: right after every change, and remembered when nothing has changed."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace

import pytest

from sepm_eval import digests


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """A cache of its own, and the files that were read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = []
    plain = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: (read.append(path.name), plain(path))[1])
    return read


def sha256_of_file(path):
    return digests.file_sha256s([path])[0]


def test_a_digest_is_remembered_until_the_file_changes(tmp_path, taken, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", -10.0)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"a" * 3_000_000)
    first = sha256_of_file(path)
    assert first == hashlib.sha256(b"a" * 3_000_000).hexdigest()
    assert sha256_of_file(path) == first
    assert taken == ["weights.bin"]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with path.open("r+b") as file:  # one byte in the middle, size and mtime as they were
        file.seek(1_500_000)
        file.write(b"b")
    os.utime(path, ns=times)
    assert sha256_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest() != first
    assert taken == ["weights.bin"] * 2


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path, taken):
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"one")
    sha256_of_file(path)
    sha256_of_file(path)
    assert taken == ["picture.jpg"] * 2


def test_many_files_in_order(tmp_path, taken):
    paths = []
    for number in range(20):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(str(number).encode())
    assert digests.file_sha256s(paths) == [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20)]


@pytest.mark.parametrize("damage", ["unwritable", "garbage"])
def test_without_a_cache_every_digest_is_taken_anew(tmp_path, taken, damage):
    cache = tmp_path / "cache" / "sepm_eval"
    if damage == "unwritable":
        (tmp_path / "cache").write_text("a file where the folder should be")
    else:
        cache.mkdir(parents=True)
        (cache / "digests.sqlite").write_bytes(b"no database" * 1000)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a")
    assert sha256_of_file(path) == hashlib.sha256(b"a").hexdigest()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, taken):
    with pytest.raises(OSError, match=r"gone\.jpg"):
        sha256_of_file(tmp_path / "gone.jpg")


def test_everything_that_changes_with_a_file_is_part_of_its_state():
    plain = {"st_size": 1, "st_ino": 2, "st_mtime_ns": 3, "st_ctime_ns": 4}
    states = [
        digests._state(SimpleNamespace(stat=lambda found=found: SimpleNamespace(**found)))
        for found in (plain, *({**plain, name: 9} for name in plain))
    ]
    assert len(set(states)) == 5


def test_a_new_file_with_an_old_time_is_not_remembered(tmp_path, taken):
    """As one that was copied with its times: its content may still be changing."""
    path = tmp_path / "copied.jpg"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    sha256_of_file(path)
    sha256_of_file(path)
    assert taken == ["copied.jpg"] * 2


def test_one_unreadable_file_leaves_the_others_their_digests(tmp_path, taken):
    paths = [tmp_path / f"{number}.jpg" for number in range(7)]
    for path in paths:
        path.write_bytes(path.name.encode())
    paths[4].unlink()
    expected = ["" if n == 4 else hashlib.sha256(f"{n}.jpg".encode()).hexdigest() for n in range(7)]
    assert digests.readable_sha256s(paths) == expected

"""Checking a release and writing it as Parquet: whole, interrupted, on a full disk, and from bad archives."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from miniature import artphoto_release, emoset_release, picture
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases import prepare as preparing
from sepm_eval.datasets.releases.archives import BrokenArchive, unpack
from sepm_eval.datasets.releases.prepare import prepare, verify

EMOSET = find_benchmarks()["emoset"]


@pytest.fixture
def release(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return emoset_release(tmp_path, per_class=4)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(preparing, "SHARD", 5)
    monkeypatch.setattr(preparing, "ROW_GROUP", 2)


def test_parquet_is_what_datasets_loads(release, tmp_path, small_shards):
    from datasets import load_dataset

    out = tmp_path / "out"
    manifest = prepare(EMOSET, out)
    assert len(manifest["files"]) == 8  # seven shards and the TSV
    loaded = load_dataset("parquet", data_files=str(out / "*.parquet"), split="train", cache_dir=str(tmp_path / "hf"))
    items = EMOSET.items()
    assert [row["id"] for row in loaded] == [item.id for item in items]
    assert [row["label"] for row in loaded] == [item.label for item in items]
    assert [row["image"].size for row in loaded] == [(40, 30 + int(item.id[-5:])) for item in items]
    assert manifest["n"] == 32
    assert set(manifest["per_class"].values()) == {4}
    assert (manifest["item_list"], manifest["unreadable"]) == ("test", {})
    assert verify(out) == []


def test_the_list_written_is_a_list_that_can_be_given(release, tmp_path):
    (release / "image/awe/awe_00001.jpg").write_bytes(b"broken")
    prepare(EMOSET, tmp_path / "out")
    items = EMOSET.items(str(tmp_path / "out" / "items.csv"))
    assert [(i.id, i.label) for i in items] == [(i.id, i.label) for i in EMOSET.items() if i.id != "awe_00001"]
    header, first, *_ = (tmp_path / "out" / "items.csv").read_text().splitlines()
    assert header == "id,path,label,sha256"
    digest = hashlib.sha256((release / "image/amusement/amusement_00000.jpg").read_bytes()).hexdigest()
    assert first == f"amusement_00000,image/amusement/amusement_00000.jpg,amusement,{digest}"


def test_unreadable_and_equal_pictures_are_named(release, tmp_path):
    (release / "image/awe/awe_00001.jpg").write_bytes(b"\xff\xd8\xff nothing")
    first, second = release / "image/fear/fear_00000.jpg", release / "image/anger/anger_00002.jpg"
    second.write_bytes(first.read_bytes())
    manifest = prepare(EMOSET, tmp_path / "out")
    assert list(manifest["unreadable"]) == ["awe_00001"]
    assert "cannot be read as a picture" in manifest["unreadable"]["awe_00001"]
    assert sorted(manifest["duplicates"][0]) == ["anger_00002", "fear_00000"]
    assert manifest["n"] == 31
    assert manifest["per_class"]["awe"] == 3


def test_a_second_call_reads_nothing_again(release, tmp_path, small_shards, monkeypatch):
    out = tmp_path / "out"
    first = prepare(EMOSET, out)
    monkeypatch.setattr(preparing, "_check", None)  # would raise
    assert prepare(EMOSET, out) == first


def test_changed_pictures_are_read_again(release, tmp_path, small_shards):
    out = tmp_path / "out"
    first = prepare(EMOSET, out)
    (release / "image/awe/awe_00000.jpg").write_bytes(b"\xff\xd8 broken")
    assert prepare(EMOSET, out)["n"] == first["n"] - 1


def test_a_smaller_list_leaves_no_stale_files(release, tmp_path, small_shards):
    out = tmp_path / "out"
    prepare(EMOSET, out)
    (tmp_path / "mine.csv").write_text("id\nawe_00000\n")
    manifest = prepare(EMOSET, out, str(tmp_path / "mine.csv"))
    assert manifest["n"] == 1
    assert [path.name for path in out.glob("*.parquet")] == ["test-00000.parquet"]


def test_verify_sees_every_change(release, tmp_path, small_shards):
    out = tmp_path / "out"
    prepare(EMOSET, out)
    with (out / "test-00001.parquet").open("r+b") as file:
        file.write(b"X")
    (out / "test-00002.parquet").unlink()
    assert verify(out) == ["test-00001.parquet has changed since it was written", "test-00002.parquet is missing"]


def test_prepare_makes_whole_what_verify_finds(release, tmp_path, small_shards):
    out = tmp_path / "out"
    first = prepare(EMOSET, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for name, change in {
        "test-00001.parquet": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"X"),
        "test-00002.parquet": lambda path: path.unlink(),
        "test-00003.parquet": lambda path: path.write_bytes(b""),
        "test-00004.parquet.json": lambda path: path.unlink(),
        "EmoSet.tsv": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    }.items():
        change(out / name)
    assert len(verify(out)) == 4
    kept = (out / "test-00000.parquet").stat().st_mtime_ns
    assert prepare(EMOSET, out) == first
    assert verify(out) == []
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert (out / "test-00000.parquet").stat().st_mtime_ns == kept
    (out / "EmoSet.tsv").unlink()
    assert prepare(EMOSET, out) == first
    assert verify(out) == []


def test_a_picture_changed_in_place_is_written_anew(release, tmp_path, small_shards):
    """Of the same size, which was all that an earlier version looked at."""
    from pyarrow import parquet

    out = tmp_path / "out"
    before = prepare(EMOSET, out)
    path = release / "image/awe/awe_00002.jpg"
    content = path.read_bytes()
    at = content.index(b"\xff\xd9")
    path.write_bytes(content[: at - 1] + bytes([content[at - 1] ^ 1]) + content[at:])
    after = prepare(EMOSET, out)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = [row for file in sorted(out.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]
    (row,) = [row for row in rows if row["id"] == "awe_00002"]
    assert (row["sha256"], row["image"]["bytes"]) == (digest, path.read_bytes())
    assert f"awe_00002,image/awe/awe_00002.jpg,awe,{digest}" in (out / "items.csv").read_text()
    changed = {name for name, sha256 in after["files"].items() if before["files"][name] != sha256}
    assert len(changed) == 2  # one shard and the TSV
    assert before["items_sha256"] != after["items_sha256"]
    assert verify(out) == []


def test_files_of_ones_own_stay(release, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "test-notes.txt").write_text("mine")
    prepare(EMOSET, tmp_path / "out")
    assert (tmp_path / "out" / "test-notes.txt").read_text() == "mine"


def stopped(*arguments):
    """What a command says that ends with status 1 and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    return " ".join(result.output.split())


@pytest.mark.parametrize("name", ["nope.zip", "nope", "a/b/nope.zip"])
def test_a_source_that_is_not_there(tmp_path, name):
    told = stopped("prepare", "artphoto", "--source", tmp_path / name)
    assert f"--source {tmp_path / name} does not exist" in told


def test_what_stands_in_the_way_of_prepare(release, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "File exists" in stopped("prepare", "emoset", "--out", tmp_path / "file")
    assert "Not a directory" in stopped("prepare", "emoset", "--out", tmp_path / "file" / "below")
    for name in ("test-00000.parquet", "EmoSet.tsv", "manifest.json", "items.csv"):
        (tmp_path / name / name).mkdir(parents=True)
        assert "Is a directory" in stopped("prepare", "emoset", "--out", tmp_path / name)


def test_commands_tell_of_folders_that_cannot_be_read(release, tmp_path, monkeypatch):
    prepare(EMOSET, tmp_path / "out")

    def denied(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(preparing, "sha256_of", denied)
    assert "Permission denied" in stopped("verify", "emoset", "--folder", tmp_path / "out")
    monkeypatch.setattr("sepm_eval.datasets.benchmark._has_content", denied)
    assert "Permission denied" in stopped("prepare", "emoset")
    monkeypatch.setenv("COLUMNS", "300")
    listed = CliRunner().invoke(app, ["datasets"])
    assert listed.exit_code == 0
    assert "broken" in listed.output


def test_a_full_disk_keeps_what_is_done(release, tmp_path, small_shards, monkeypatch):
    from pyarrow import parquet

    write, room = parquet.ParquetWriter.write_table, [6]

    def full(self, table, *args, **kwargs):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, table, *args, **kwargs)

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["prepare", "emoset", "--out", str(out)])
    assert result.exit_code == 1
    assert "No space left on device. What is done is kept" in result.output
    done = [f"test-0000{n}.parquet{end}" for n in (0, 1) for end in ("", ".json")]
    assert sorted(path.name for path in out.iterdir()) == done
    monkeypatch.undo()
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    assert prepare(EMOSET, out)["n"] == 32


def test_killed_half_way_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    emoset_release(tmp_path, per_class=400)
    out = tmp_path / "out"
    code = f"""
import sepm_eval.datasets.releases.prepare as p, pathlib
from sepm_eval.datasets import find_benchmarks
p.SHARD, p.ROW_GROUP = 100, 10
p.prepare(find_benchmarks()["emoset"], pathlib.Path({str(out)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env={**os.environ})
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.parquet.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {
        path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet") if (out / f"{path.name}.json").exists()
    }
    assert 3 <= len(done) < 32
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    assert json.loads((out / "manifest.json").read_text())["n"] == 3200
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
    assert verify(out) == []
    assert not list(out.glob("*.part"))


def _zip(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))


def test_a_zip_is_unpacked_once(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    _zip(tmp_path / "release.zip", artphoto_release(made))
    into = tmp_path / "data"
    unpack(tmp_path / "release.zip", into)
    files = sorted((into / "testImages_artphoto").iterdir())
    assert len(files) == 16
    before = [file.stat().st_mtime_ns for file in files]
    files[0].unlink()
    unpack(tmp_path / "release.zip", into)
    assert files[0].exists()
    assert [file.stat().st_mtime_ns for file in files[1:]] == before[1:]


def test_a_cut_off_zip(tmp_path):
    _zip(tmp_path / "release.zip", artphoto_release(tmp_path))
    content = (tmp_path / "release.zip").read_bytes()
    (tmp_path / "release.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(BrokenArchive, match=r"not a whole zip file.*download it again"):
        unpack(tmp_path / "release.zip", tmp_path / "data")


def test_a_zip_that_leads_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../outside.txt", "x")
    with pytest.raises(BrokenArchive, match="leads out"):
        unpack(tmp_path / "evil.zip", tmp_path / "data")
    assert not (tmp_path / "outside.txt").exists()


def test_a_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 10_000_000)
    with pytest.raises(BrokenArchive, match="not a picture archive"):
        unpack(tmp_path / "bomb.zip", tmp_path / "data")


@pytest.mark.parametrize("form", ["folder", "parent", "zip"])
def test_the_command_takes_every_form_of_a_release(tmp_path, monkeypatch, form):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path / "data"))
    made = tmp_path / "made"
    made.mkdir()
    folder = artphoto_release(made)
    _zip(tmp_path / "release.zip", folder)
    source = {"folder": folder, "parent": made, "zip": tmp_path / "release.zip"}[form]
    result = CliRunner().invoke(app, ["prepare", "artphoto", "--source", str(source)])
    assert result.exit_code == 0, result.output
    assert "N = 16" in result.output
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path / "data"))
    checked = CliRunner().invoke(app, ["verify", "artphoto"])
    assert (checked.exit_code, "as it was written" in checked.output) == (0, True)


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for arguments, message in (
        (["prepare", "emoset"], "no folder"),
        (["prepare", "emoticons"], "unknown benchmark 'emoticons'"),
        (["verify", "emoset"], "run sepm-eval prepare emoset"),
        (["download", "emoset"], "only webemo25, webemo, webemo7 are lists of links"),
        (["download", "webemo"], "webemo25: no folder"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert message in result.output


def test_an_unreadable_picture_makes_prepare_fail(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    (artphoto_release(tmp_path) / "awe_0000.jpg").write_bytes(b"[red]x")
    result = CliRunner().invoke(app, ["prepare", "artphoto"])
    assert result.exit_code == 1
    assert "unreadable: awe_0000" in result.output
    assert "1 pictures cannot be read" in result.output


def test_the_list_of_benchmarks(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    artphoto_release(tmp_path)
    emoset_release(tmp_path)
    (tmp_path / "EmoSet-118K/image/awe/awe_00000.jpg").unlink()
    picture(tmp_path / "Emotion6" / "images" / "love" / "1.jpg", 1)
    result = CliRunner().invoke(app, ["datasets"])
    assert result.exit_code == 0
    table = [line for line in result.output.splitlines() if not line.startswith("Data folder: ")]  # however long it is
    assert max(map(len, table)) <= 80
    lines = {words[0]: line for line in result.output.splitlines() if (words := line.split())}
    assert "yes" in lines["artphoto"]
    assert "16" in lines["artphoto"]
    assert "in part" in lines["emoset"]
    assert "broken" in lines["emotion6"]
    assert "no" in lines["abstract"]

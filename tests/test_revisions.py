"""Another revision of a set: labels of one never stand on pictures of the other, interrupted or not."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile

import pytest
from miniature import emotion6_release
from miniature_hub import COMMIT, cache, snapshot, table  # noqa: F401
from PIL import Image

from sepm_eval.datasets import MissingData, data_folder, find_benchmarks
from sepm_eval.datasets.releases import archives, hub_copies
from sepm_eval.emotions import MIKELS

BENCHMARKS = find_benchmarks()
NEW = "e" * 40
SHADES = {label: 20 * at for at, label in enumerate(MIKELS)}


class Killed(BaseException):
    """What ends a call at once: nothing in it may catch this."""


def png(label):
    """A picture of a label: its grey tells which; all have the same size."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (SHADES[label],) * 3).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def fetch(name, repository, commit=COMMIT):
    data_folder().mkdir(exist_ok=True)
    hub_copies.fetch(BENCHMARKS[name], f"hf:{repository}@{commit}", data_folder())


def emoverse(folder, labels, broken=None):
    """No ids and no names, so that a picture is named by its row's number."""
    table(
        folder / "data" / "test-0.parquet",
        [
            {
                "image": {"bytes": None if at == broken else png(label), "path": None},
                "emotion_category": label.capitalize(),
            }
            for at, label in enumerate(labels)
        ],
    )


def mismatched():
    """The items of EmoVerse whose picture shows another label than their own."""
    found = BENCHMARKS["emoverse"].items()
    return [item.id for item in found if Image.open(item.path).getpixel((0, 0))[0] != SHADES[item.label]]


def test_a_failed_preparation_of_another_revision_leaves_no_list(cache):  # noqa: F811
    emoverse(cache("PiLabUSTC/EmoVerse-Dataset"), MIKELS)
    emoverse(cache("PiLabUSTC/EmoVerse-Dataset", NEW), reversed(MIKELS), broken=5)
    fetch("emoverse", "PiLabUSTC/EmoVerse-Dataset")
    assert not mismatched()
    with pytest.raises(ValueError, match="row 5 has no picture's bytes"):
        fetch("emoverse", "PiLabUSTC/EmoVerse-Dataset", NEW)
    with pytest.raises(MissingData, match=r"has no items\.jsonl.*prepare the set again"):
        BENCHMARKS["emoverse"].items()
    fetch("emoverse", "PiLabUSTC/EmoVerse-Dataset")
    assert not mismatched()


def test_a_converted_picture_that_was_changed_is_written_again(cache):  # noqa: F811
    """By another program, and to the same size: the record of its row tells its content."""
    emoverse(cache("PiLabUSTC/EmoVerse-Dataset"), MIKELS)
    fetch("emoverse", "PiLabUSTC/EmoVerse-Dataset")
    first, second = (item.path for item in BENCHMARKS["emoverse"].items()[:2])
    assert first.stat().st_size == second.stat().st_size
    shutil.copyfile(second, first)
    assert mismatched()
    fetch("emoverse", "PiLabUSTC/EmoVerse-Dataset")
    assert not mismatched()


def mvei(folder, labels):
    """Two statements, labelled so, in a list; and the pictures, whose labels these are, in a zip file."""
    entries = [
        {
            "image_id": f"{name}/{name}_1.png",
            "statement_list": [{"statement": "It is awe.", "label": label, "class": "scene context"}],
        }
        for name, label in zip(("awe", "fear"), labels, strict=True)
    ]
    (folder / "MVEI").mkdir()
    (folder / "MVEI" / "MVEI_metadata.json").write_text(json.dumps(entries))
    with zipfile.ZipFile(folder / "MVEI" / "images.zip", "w") as archive:
        for entry in entries:
            right = entry["statement_list"][0]["label"] == "correct"
            archive.writestr(f"images/{entry['image_id']}", png("awe" if right else "fear"))


def shown():
    """Each statement's label, and whether its picture shows awe."""
    return [
        (item.label, Image.open(item.path).getpixel((0, 0))[0] == SHADES["awe"]) for item in BENCHMARKS["mvei"].items()
    ]


@pytest.fixture
def two_mveis(cache):  # noqa: F811
    """MVEI in two revisions whose labels and pictures are exchanged; the first is prepared."""
    mvei(cache("wudq/MVEI"), ("correct", "incorrect"))
    mvei(cache("wudq/MVEI", NEW), ("incorrect", "correct"))
    fetch("mvei", "wudq/MVEI")
    assert shown() == [("correct", True), ("incorrect", False)]


def test_a_zip_replaces_pictures_of_the_same_size(two_mveis):
    fetch("mvei", "wudq/MVEI", NEW)
    assert sorted(shown()) == [("correct", True), ("incorrect", False)]


def killed_after(monkeypatch, files):
    """Ends the unpacking when so many files are written."""
    written = []
    write = archives.writing_whole

    def counting(path, **more):
        if len(written) == files:
            raise Killed
        written.append(path)
        return write(path, **more)

    monkeypatch.setattr(archives, "writing_whole", counting)


def test_a_killed_preparation_of_copied_files_leaves_no_list(two_mveis, monkeypatch):
    with monkeypatch.context() as patch:
        killed_after(patch, 1)
        with pytest.raises(Killed):
            fetch("mvei", "wudq/MVEI", NEW)
    with pytest.raises(MissingData, match=r"has no MVEI_metadata\.json.*prepare the set again"):
        BENCHMARKS["mvei"].items()
    fetch("mvei", "wudq/MVEI", NEW)
    assert sorted(shown()) == [("correct", True), ("incorrect", False)]


def test_a_repeated_preparation_keeps_the_list(two_mveis, monkeypatch):
    """Nothing is written, so nothing is removed, whenever it ends."""
    killed_after(monkeypatch, 0)
    before = (data_folder() / "MVEI" / "MVEI" / "MVEI_metadata.json").stat().st_mtime_ns
    fetch("mvei", "wudq/MVEI")
    assert (data_folder() / "MVEI" / "MVEI" / "MVEI_metadata.json").stat().st_mtime_ns == before


def test_a_list_of_another_name_goes_with_its_pictures(cache):  # noqa: F811
    """EEmo-Bench's list has no fixed name; two lists would be refused."""
    for commit, name in ((COMMIT, "first.json"), (NEW, "second.json")):
        folder = cache("Workerred/EEmo-Bench_single", commit)
        (folder / "images").mkdir()
        (folder / name).write_text("[]")
        (folder / "images" / "1.png").write_bytes(png("awe" if commit == NEW else "fear"))
        fetch("eemo_single", "Workerred/EEmo-Bench_single", commit)
        there = sorted(path.name for path in (data_folder() / "EEmo-Bench_single").glob("*.json"))
        assert there == [name]
    (data_folder() / "EEmo-Bench_single" / name).unlink()
    with pytest.raises(MissingData, match=r"has no \.json file.*prepare the set again"):
        BENCHMARKS["eemo_single"].items()


def test_a_killed_copy_leaves_no_half_list(cache, monkeypatch):  # noqa: F811
    """Where the cache is on another disk, files are copied."""
    mvei(cache("wudq/MVEI"), ("correct", "incorrect"))
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))

    def half(source, target):
        target.write(source.read(20))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(hub_copies.shutil, "copyfileobj", half)
        with pytest.raises(Killed):
            fetch("mvei", "wudq/MVEI")
    assert not list(data_folder().rglob("MVEI_metadata.json"))


def test_a_list_inside_a_zip_is_written_last(tmp_path, monkeypatch):
    """Emotion6's archive has the list beside the pictures."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path / "data"))
    (tmp_path / "made").mkdir()
    release = emotion6_release(tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "Emotion6.zip", "w") as archive:
        for file in sorted(release.rglob("*.*")):
            archive.write(file, file.relative_to(release.parent))
    archives.unpack(tmp_path / "Emotion6.zip", data_folder())
    changed = next((data_folder() / "Emotion6" / "images").rglob("*.jpg"))
    changed.write_bytes(bytes(changed.stat().st_size))
    with monkeypatch.context() as patch:
        killed_after(patch, 1)
        with pytest.raises(Killed):
            archives.unpack(tmp_path / "Emotion6.zip", data_folder())
    with pytest.raises(MissingData, match=r"has no ground_truth\.txt"):
        BENCHMARKS["emotion6"].items()
    archives.unpack(tmp_path / "Emotion6.zip", data_folder())
    assert len(BENCHMARKS["emotion6"].items()) == 24

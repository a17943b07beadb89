"""A first `prepare` of a hub set: it shows progress, and a kill between two rows loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
from miniature_hub import cache, lai_gai, lai_gai_rows, mvei, table  # noqa: F401

from sepm_eval.datasets import data_folder, find_benchmarks
from sepm_eval.datasets.releases import hub_copies

LAI_GAI = find_benchmarks()["lai_gai"]


class Killed(BaseException):
    """What ends a call at once: nothing in it may catch this."""


@pytest.fixture
def written(monkeypatch):
    """Names of the pictures written, one a writing; a test may set after how many the call is killed."""
    names: list[str] = []
    write = hub_copies.write_whole

    def counting(path, content, **more):
        if path.parent.name == "images":
            if len(names) == counting.most:
                path.with_name(f".{path.stem}.part").write_bytes(content[: len(content) // 2])
                counting.end()
            names.append(path.name)
        write(path, content, **more)

    def end():
        raise Killed

    counting.most, counting.end = None, end
    monkeypatch.setattr(hub_copies, "write_whole", counting)
    return names, counting


def fetch():
    data_folder().mkdir(exist_ok=True)
    hub_copies.fetch(LAI_GAI, "hf:ACG-AMU/LAI-GAI", data_folder())


@pytest.mark.parametrize("killed_after", [0, 3, 7, 11])
def test_killed_between_two_rows(cache, written, killed_after):  # noqa: F811
    """In the first file, at its end, and in the second: every picture is written once, and the list is the same."""
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    names, counting = written
    counting.most = killed_after
    with pytest.raises(Killed):
        fetch()
    assert len(names) == killed_after
    folder = data_folder() / "LAI-GAI"
    assert not (folder / "items.jsonl").exists()  # what is there is whole: an unfinished set has no list
    assert len(list((folder / "rows").glob("*.jsonl"))) == killed_after // 7
    counting.most = None
    fetch()
    assert sorted(names) == sorted(set(names))
    assert len(names) == len(LAI_GAI.items()) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_killed_by_the_system(cache, written):  # noqa: F811
    """SIGKILL in the middle of a picture: what was written is kept, and nothing half-written counts."""
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    names, counting = written
    child = os.fork()
    if child == 0:
        counting.most = 5
        counting.end = lambda: os.kill(os.getpid(), signal.SIGKILL)
        fetch()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(list((data_folder() / "LAI-GAI" / "images").glob("[!.]*"))) == 5
    fetch()
    assert len(names) == 7
    assert len(LAI_GAI.items()) == 12
    assert all(item.path.stat().st_size for item in LAI_GAI.items())


def test_a_second_call_reads_no_row_again(cache, written, monkeypatch):  # noqa: F811
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    fetch()
    before = (data_folder() / "LAI-GAI" / "items.jsonl").read_bytes()
    monkeypatch.setattr(hub_copies, "_lines", lambda *_: pytest.fail("read again"))
    fetch()
    assert (data_folder() / "LAI-GAI" / "items.jsonl").read_bytes() == before


def test_a_picture_that_has_gone_is_written_again(cache, written):  # noqa: F811
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    fetch()
    (data_folder() / "LAI-GAI" / "images" / "joy_0.png").unlink()
    names, _ = written
    names.clear()
    fetch()
    assert names == ["joy_0.png"]


def test_progress_is_shown(cache, capsys):  # noqa: F811
    """Rows of Parquet files, and files that are filed as they lie."""
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    fetch()
    shown = capsys.readouterr().err
    assert "train-00000-of-00002.parquet: 100%" in shown
    assert "7/7" in shown
    mvei(cache("wudq/MVEI"))
    hub_copies.fetch(find_benchmarks()["mvei"], "hf:wudq/MVEI", data_folder())
    assert "filing wudq/MVEI: 100%" in capsys.readouterr().err


def test_another_revision_replaces_pictures_of_the_same_size(cache):  # noqa: F811
    """A picture or a list that has changed and kept its length must not stay as it was."""
    rows = lai_gai_rows()
    table(cache("ACG-AMU/LAI-GAI") / "a.parquet", rows)
    fetch()
    other = [{**row, "image": {"bytes": row["image"]["bytes"][:-1] + b"x", "path": None}} for row in rows]
    table(cache("ACG-AMU/LAI-GAI", "e" * 40) / "a.parquet", other)
    for source, last in ((f"@{'e' * 40}", b"x"), ("", rows[0]["image"]["bytes"][-1:])):
        hub_copies.fetch(LAI_GAI, f"hf:ACG-AMU/LAI-GAI{source}", data_folder())
        assert (data_folder() / "LAI-GAI" / "images" / "amusement_0.png").read_bytes()[-1:] == last
    mvei(cache("wudq/MVEI"))
    listed = mvei_list(cache("wudq/MVEI", "e" * 40))
    benchmark = find_benchmarks()["mvei"]
    hub_copies.fetch(benchmark, "hf:wudq/MVEI", data_folder())
    before = {item.id: item.question.text for item in benchmark.items()}
    listed.write_text(listed.read_text().replace("Often", "Rarer"))
    hub_copies.fetch(benchmark, f"hf:wudq/MVEI@{'e' * 40}", data_folder())
    after = {item.id: item.question.text for item in benchmark.items()}
    assert before.keys() == after.keys()
    assert all("Rarer" in text for text in after.values())


def mvei_list(folder):
    mvei(folder)
    return folder / "MVEI" / "MVEI_metadata.json"


@pytest.mark.parametrize("linked", [True, False])
def test_files_are_filed_with_links_or_without(cache, monkeypatch, linked):  # noqa: F811
    folder = cache("wudq/MVEI")
    mvei(folder)
    (data_folder() / "MVEI" / "MVEI").mkdir(parents=True)
    (data_folder() / "MVEI" / "MVEI" / "MVEI_metadata.json").write_text("half")
    if not linked:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    benchmark = find_benchmarks()["mvei"]
    hub_copies.fetch(benchmark, "hf:wudq/MVEI", data_folder())
    hub_copies.fetch(benchmark, "hf:wudq/MVEI", data_folder())
    shutil.rmtree(folder)  # the hub's cache may be emptied
    assert len(benchmark.items()) == 6
    assert json.loads((data_folder() / "MVEI" / "MVEI" / "MVEI_metadata.json").read_text())

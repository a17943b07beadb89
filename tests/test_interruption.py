"""A run that is killed, stopped or starved, and the same command again. ``make soak`` does this many more times."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from worker import same

from sepm_eval.runs.journal import Journal, read_journal

WORKER = Path(__file__).parent / "worker.py"
KILLING = Path(__file__).parent / "killing.py"
ITEMS = 32


def start(journal, outputs, **more):
    command = [sys.executable, str(WORKER), str(journal), str(outputs), str(ITEMS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **more)


def known(process):
    """Wait until it begins to ask; how many answers it had."""
    line = process.stdout.readline()
    assert line.endswith("known\n"), line + process.stderr.read()
    return int(line.split()[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder / "journal.jsonl", folder / "outputs.json")
    assert process.wait(120) == 0, process.stderr.read()
    return folder


def finish(journal, outputs, undisturbed):
    """The same command again: the results are those of an undisturbed run, and nothing was asked twice."""
    before = {record["doc_id"] for record in read_journal(journal)} if journal.exists() else set()
    process = start(journal, outputs)
    found = known(process)
    assert process.wait(120) == 0, process.stderr.read()
    assert json.loads(outputs.read_text()) == json.loads((undisturbed / "outputs.json").read_text())
    records = read_journal(journal)
    assert found == len(before)
    assert sorted(record["doc_id"] for record in records) == list(range(ITEMS))
    reference = {record["doc_id"]: record for record in read_journal(undisturbed / "journal.jsonl")}
    assert all(same(record, reference[record["doc_id"]]) for record in records)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on(tmp_path, undisturbed, number):
    journal, outputs = tmp_path / "journal.jsonl", tmp_path / "outputs.json"
    process = start(journal, outputs)
    known(process)
    while not journal.exists() or journal.stat().st_size < 10000:  # in the middle of it
        time.sleep(0.002)
    process.send_signal(number)
    assert process.wait(30) != 0
    assert not outputs.exists()
    finish(journal, outputs, undisturbed)


def test_a_torn_last_line_is_repaired(tmp_path, undisturbed):
    journal, outputs = tmp_path / "journal.jsonl", tmp_path / "outputs.json"
    whole = (undisturbed / "journal.jsonl").read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    finish(journal, outputs, undisturbed)


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path, undisturbed):
    """The file may not grow past a limit: the run ends with an error, and goes on once there is room."""
    journal, outputs = tmp_path / "journal.jsonl", tmp_path / "outputs.json"

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    process = start(journal, outputs, preexec_fn=little_room)
    assert process.wait(120) != 0
    assert os.strerror(errno.EFBIG) in process.stderr.read()
    assert not outputs.exists()
    finish(journal, outputs, undisturbed)


def test_a_second_run_on_the_same_journal_says_so_and_stops(tmp_path):
    journal = tmp_path / "journal.jsonl"
    first = Journal(journal)
    second = start(journal, tmp_path / "outputs.json")
    assert second.wait(60) != 0
    assert "another run is writing to the journal" in second.stderr.read()
    first.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written .*; name another with journal=FILE"):
        Journal(tmp_path / "file" / "journal.jsonl")


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    """As NFS without a lock daemon."""

    def no_locks(self):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append([{"key": "a", "status": "answered", "task": "t", "doc_id": 0, "text": "A"}])
    journal.close()
    assert "no file locks there" in caplog.text
    assert len(read_journal(tmp_path / "journal.jsonl")) == 1


def test_a_plan_stopped_at_any_file_event_goes_on(tmp_path):
    """Killed, out of room, and with torn results, at events spread over the run; `make soak` takes every one."""
    injected = {"kill": 8, "full": 4, "torn": 3}
    command = [sys.executable, str(KILLING), str(tmp_path)]
    for fault, count in injected.items():
        command += [f"--{fault}", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["wrong"] == []
    assert report["injected"] == injected
    assert report["events"].keys() >= {"open", "write", "sync", "close", "os.rename", "os.mkdir"}

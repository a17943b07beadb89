"""What lmms-eval found gets to the disk whole, or not at all."""

from __future__ import annotations

import errno
import json
import os

import pytest
from lmms_eval.loggers import EvaluationTracker, evaluation_tracker
from make_runs import LLAVA, run

from sepm_eval.hosts.lmms_eval.results import write_results
from sepm_eval.runs.results import read_runs

STAMP = "20261124_120000"


def found():
    """A tracker and results as after an evaluation of two questions."""
    tracker = EvaluationTracker(output_path="elsewhere")
    tracker.general_config_tracker.log_experiment_args("sepm_llava", "pretrained=demo", "", "", False)
    samples = [
        {
            "doc_id": n,
            "doc": {},
            "doc_hash": "x",
            "arguments": ["q"],
            "resps": [["A"]],
            "filtered_resps": ["A"],
            "target": 0,
        }
        for n in range(2)
    ]
    return tracker, {"results": {"t": {}}, "configs": {"t": {}}, "config": {}, "samples": {"t": samples}}


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


RESULTS, SAMPLES = f"demo/{STAMP}_results.json", f"demo/{STAMP}_samples_t.jsonl"


def test_the_usual_files_are_written_and_the_results_come_last(tmp_path, monkeypatch):
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append(new.name), replace(old, new)))
    write_results(*found(), tmp_path / "part", STAMP)
    assert names(tmp_path / "part") == [RESULTS, SAMPLES]
    assert order == [os.path.basename(SAMPLES), os.path.basename(RESULTS)]
    lines = (tmp_path / "part" / SAMPLES).read_text().splitlines()
    assert [json.loads(line)["doc_id"] for line in lines] == [0, 1]
    assert json.loads((tmp_path / "part" / RESULTS).read_text())["model_name"] == "demo"
    assert names(tmp_path) == [f"part/{RESULTS}", f"part/{SAMPLES}"]


@pytest.mark.parametrize("writes", [0, 1])
def test_samples_that_lmms_eval_did_not_write_are_an_error(tmp_path, monkeypatch, writes):
    """It only logs that it could not, and goes on."""
    left = [None] * writes

    def full(*arguments, **more):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        return open(*arguments, **more)

    monkeypatch.setattr(evaluation_tracker, "open", full, raising=False)
    with pytest.raises(OSError, match=rf"not write its results whole \({writes} of 2 samples of t\): is there room in"):
        write_results(*found(), tmp_path / "part", STAMP)
    assert not (tmp_path / "part").exists()


def test_results_that_lmms_eval_did_not_write_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_tracker, "asdict", lambda _: 1 / 0)
    with pytest.raises(OSError, match=r"whole \(0 results files\)"):
        write_results(*found(), tmp_path / "part", STAMP)


def test_torn_results_of_lmms_eval_are_an_error(tmp_path, monkeypatch):
    dumps = json.dumps
    monkeypatch.setattr(evaluation_tracker.json, "dumps", lambda *given, **more: dumps(*given, **more)[:-9])
    with pytest.raises(OSError, match=rf"whole \({STAMP}_results.json: "):
        write_results(*found(), tmp_path / "part", STAMP)


def test_samples_without_results_are_removed_and_finished_ones_kept(tmp_path):
    write_results(*found(), tmp_path, STAMP)
    (tmp_path / "demo" / "20261123_000000_samples_t.jsonl").write_text("{}\n")  # a run that was killed in between
    write_results(*found(), tmp_path, "20261125_000000")
    later = [name.replace(STAMP, "20261125_000000") for name in (RESULTS, SAMPLES)]
    assert names(tmp_path) == sorted([RESULTS, SAMPLES, *later])


def test_a_commit_of_the_users_own_folder_is_no_version_of_lmms_eval(tmp_path):
    """lmms-eval writes branch and commit of the git folder it was started in."""
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (path,) = tmp_path.rglob("*_results.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "lmms_eval_version": "main@64d708c"}))
    (found,) = read_runs([str(tmp_path)])
    assert "lmms-eval" not in found.versions

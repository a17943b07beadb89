"""``sepm-eval run``: plans, the real command in a subprocess, resuming, several processes, and exit statuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from miniature import emoset_release
from typer.testing import CliRunner

from sepm_eval import demo
from sepm_eval.cli import app
from sepm_eval.runs.journal import answers_below, read_journal
from sepm_eval.runs.results import read_runs

PLAN = {
    "tasks": ["emoset", "emotion_demo"],
    "methods": ["zero_shot", "sepm,beta=0.1"],
    "models": [{"model": "sepm_llava", "args": {"pretrained": "demo", "device": "cpu"}, "batch_size": 4}],
    "limit": 9,
}


def sepm_eval(tmp_path, *arguments, launcher=(sys.executable, "-m"), plan=PLAN):
    """Run the command in a process of its own, on a miniature EmoSet."""
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    environment = {
        **os.environ,
        **{"HF_HOME": str(tmp_path / "hf"), "SEPM_EVAL_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"},
        **{"XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "200"},
    }
    command = [*launcher, "sepm_eval", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=600)
    return run.returncode, run.stdout + run.stderr


def answers(folder: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    return {(r.task, r.variant): [(o.item, o.output) for o in r.outcomes] for r in read_runs([folder])}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run of the plan."""
    folder = tmp_path_factory.mktemp("finished")
    emoset_release(folder)
    code, output = sepm_eval(folder, "run", "plan.yaml", "--out", "out")
    assert code == 0, output
    return folder, output


def test_a_plan_is_run_through_lmms_eval(finished):
    folder, output = finished
    assert "complete. Now: sepm-eval report out" in output
    assert re.search(r"best emoset acc \d", output), "no running accuracy"
    assert re.search(r"sepm_llava, emotion_demo: 100%.*18/18 questions", output), "no bar over the whole plan"
    runs = {(run.task, run.variant): run for run in read_runs([folder / "out"])}
    assert set(runs) == {(t, v) for t in PLAN["tasks"] for v in ("zero_shot", "sepm (beta=0.1)")}
    for run in runs.values():
        assert len(run.outcomes) == 9
        results = json.loads(run.source.read_text())
        assert results["results"][run.task]["acc,none"] == pytest.approx(run.right / 9)
        assert results["config"]["model"] == "sepm_llava"
        assert all(outcome.record is not None for outcome in run.outcomes)


def test_what_it_ran_on_is_written_first(finished):
    folder, _ = finished
    environment = json.loads((folder / "out" / "environment.json").read_text())
    assert {"torch", "transformers", "lmms-eval", "sepm-eval", "python"} <= set(environment["versions"])
    assert len(environment["starts"]) == 1
    assert yaml.safe_load((folder / "out" / "plan.yaml").read_text())["methods"] == PLAN["methods"]
    first_answer = min(path.stat().st_mtime for path in (folder / "out" / "journals").glob("*.jsonl"))
    assert (folder / "out" / "environment.json").stat().st_mtime <= first_answer


def test_each_method_equals_a_run_of_its_own(finished, tmp_path):
    """Picture by picture or one method at a time: the same answers and the same journal."""
    folder, _ = finished
    emoset_release(tmp_path)
    code, output = sepm_eval(tmp_path, "run", "plan.yaml", "--out", "out", plan={**PLAN, "methods": ["sepm,beta=0.1"]})
    assert code == 0, output
    together = answers(folder / "out")
    assert answers(tmp_path / "out") == {key: value for key, value in together.items() if "sepm" in key[1]}
    (one,) = (tmp_path / "out" / "journals").glob("*.jsonl")
    alone, shared = read_journal(one), read_journal(folder / "out" / "journals" / one.name)
    for own, other in zip(alone, shared, strict=True):
        assert (own["key"], own["text"], own["dropped"]) == (other["key"], other["text"], other["dropped"])


def test_a_run_goes_on_with_what_is_missing(finished, tmp_path):
    """Results of one method and half a journal are lost; only they are made again, and all is as before."""
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    before = answers(folder / "out")
    (lost,) = (folder / "out" / "results").glob("*/sepm_beta-0.1")
    shutil.rmtree(lost / "emoset")
    (journal,) = (folder / "out" / "journals").glob("*sepm_beta-0.1.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:40])
    code, output = sepm_eval(folder, "run", "plan.yaml", "--out", "out")
    assert code == 0, output
    assert answers(folder / "out") == before
    assert [record["doc_id"] for record in read_journal(journal)] == list(range(9))  # emoset's alone was asked
    assert len(json.loads((folder / "out" / "environment.json").read_text())["starts"]) == 2


def test_two_processes_give_what_one_gives(finished, tmp_path):
    emoset_release(tmp_path)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m")
    code, output = sepm_eval(tmp_path, "run", "plan.yaml", "--out", "out", launcher=launcher)
    assert code == 0, output
    assert answers(tmp_path / "out") == answers(finished[0] / "out")
    counts = [
        len(read_journal(path)) for path in sorted((tmp_path / "out" / "journals").glob("*zero_shot.rank*.jsonl"))
    ]
    assert counts == [10, 8]


def test_what_cannot_be_run_is_said_and_the_rest_is_run(tmp_path):
    """A missing data set and an unreadable picture: the other parts are there, and the status is 1."""
    release = emoset_release(tmp_path)
    (release / "image/awe/awe_00000.jpg").write_bytes(b"\xff\xd8\xff not a jpeg")
    plan = {**PLAN, "tasks": ["emotion6", "emoset"], "methods": ["zero_shot"], "limit": None}
    code, output = sepm_eval(tmp_path, "run", "plan.yaml", "--out", "out", plan=plan)
    assert code == 1
    assert "missing: 2 parts of the plan; call it again to continue" in output
    assert "emotion6: MissingData: emotion6: no folder" in output
    assert "emoset: 1 question failed, 0 without an answer" in output
    (run,) = read_runs([tmp_path / "out"])
    assert (run.task, run.count("failed"), len(run.scored)) == ("emoset", 1, 15)
    assert re.search(rf"emoset +│ demo +│ zero_shot +│ {run.right} / 15 +│.*│ 1 +│", output), output  # its row is shown


def test_a_stock_model_is_run_beside_ours(tmp_path):
    pytest.importorskip("decord", reason="lmms-eval's llava_hf imports decord")
    arguments = {"pretrained": str(demo.MODEL), "device_map": "cpu", "device": "cpu", "dtype": "float32"}
    ours = {"model": "sepm_llava", "args": {"pretrained": "demo", "image_aspect_ratio": "crop", "device": "cpu"}}
    plan = {
        **{"tasks": ["emotion_demo"], "methods": ["zero_shot"], "limit": 6},
        "models": [ours, {"model": "llava_hf", "args": arguments}],
    }
    code, output = sepm_eval(tmp_path, "run", "plan.yaml", "--out", "out", plan=plan)
    assert code == 0, output
    runs = {run.entry: run for run in read_runs([tmp_path / "out"])}
    assert set(runs) == {"sepm_llava", "llava_hf"}
    said = {entry: [outcome.output.strip() for outcome in run.outcomes] for entry, run in runs.items()}
    assert said["sepm_llava"] == said["llava_hf"]


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


def test_another_plan_or_other_versions_need_another_folder(finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0] / "out", out)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "methods": ["zero_shot"]}))
    told = call("run", tmp_path / "plan.yaml", "--out", out, code=1)
    assert "was begun with another plan" in told
    assert "methods of sepm_llava {pretrained: demo}: [zero_shot, 'sepm,beta=0.1'], now [zero_shot]" in told
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "limit": None}))
    assert "(limit: 9, now none)" in call("run", tmp_path / "plan.yaml", "--out", out, code=1)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    told = json.loads((out / "environment.json").read_text())
    told["versions"]["torch"] = "1.0"
    (out / "environment.json").write_text(json.dumps(told))
    told = call("run", tmp_path / "plan.yaml", "--out", out, code=1)
    assert "was begun with another environment (versions: torch 1.0, now " in told


@pytest.mark.parametrize("name", ["plan.yaml", "environment.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 3000])
def test_a_folder_with_damaged_files_is_named(finished, tmp_path, name, damage):
    out = tmp_path / "out"
    out.mkdir()
    for file in ("plan.yaml", "environment.json"):
        (out / file).write_bytes((finished[0] / "out" / file).read_bytes())
    (out / name).write_bytes(damage)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    assert "was begun, but its plan.yaml" in call("run", tmp_path / "plan.yaml", "--out", out, code=1)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_says_what_is_kept(tmp_path):
    """It said nothing."""
    plan = {**PLAN, "tasks": ["emotion_demo"], "methods": ["zero_shot", "sepm"], "limit": None}
    plan["models"] = [{**PLAN["models"][0], "batch_size": 1}]
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    command = [sys.executable, "-m", "sepm_eval", "run", "plan.yaml", "--out", "out"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    end = time.monotonic() + 120
    while not answers_below(tmp_path / "out") and time.monotonic() < end:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 130, told
    number = answers_below(tmp_path / "out")
    kept = "1 answer is kept" if number == 1 else f"{number} answers are kept"
    assert told.endswith(f"\nstopped: {kept}; the same command continues\n"), told
    assert "Traceback" not in told

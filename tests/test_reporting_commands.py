"""The commands over finished runs, as a user types them."""

from __future__ import annotations

import csv
import json
import re

import jsonschema
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from make_runs import LLAVA, RUNS, run
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.submit import every_eval_ever, formats

ZERO_SHOT, SEPM = RUNS / "sepm_llava_zero_shot", RUNS / "sepm_llava_sepm"


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


def test_report(tmp_path):
    assert "written to" in call("report", RUNS, "--out", tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "report.md", "tables", "figures"}
    assert "no results of image-emotion tasks" in call("report", tmp_path / "report", "--out", tmp_path / "x", code=1)


def test_compare():
    output = call("compare", ZERO_SHOT, SEPM)
    for part in ("N = 32", "46.88%", "68.75%", "B - A: +21.88 points", "exact McNemar p = 0.1892", "same answer: "):
        assert part in output
    assert "too few: 106 needed" in output


def test_compare_refuses_what_is_not_comparable(tmp_path):
    run(tmp_path / "a", "llava_hf", LLAVA, "", "emotion6", 0.5, "20261101_120000")
    assert "runs of emoset (" in call("compare", RUNS, SEPM, code=1)
    (log,) = (tmp_path / "a").rglob("*_samples_*.jsonl")
    samples = [json.loads(line) | {"item_list": "mine"} for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    assert "differ in their item_list: 'mine' and 'mini'" in call("compare", tmp_path / "a", SEPM, code=1)
    run(tmp_path / "b", "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    assert "no task in common" in call("compare", tmp_path / "a", tmp_path / "b", code=1)


def test_leaderboard(tmp_path):
    call("leaderboard", ZERO_SHOT, SEPM, RUNS / "llava_hf_", "--out", tmp_path)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert re.search(r"\| 1 +\| llava-hf/llava-1.5-7b-hf; sepm\\_llava \| sepm ", text)
    assert (tmp_path / "leaderboard.html").exists()


def test_rescore_agrees_with_the_log_or_says_where_not(tmp_path):
    assert "emoset" in call("rescore", RUNS)
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples[4]["acc"] = 1 - samples[4]["acc"]
    log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    output = call("rescore", tmp_path, code=1)
    assert "1 verdicts differ" in output
    assert "emoset/004" in output


def test_submit_refuses_an_incomplete_run(tmp_path):
    output = call("submit", RUNS / "sepm_llava_sparsevlm", "--format", "csv", "--out", tmp_path, code=1)
    assert "sparsevlm is incomplete: asked 32 of 32 items, 1 failed" in output
    assert not list(tmp_path.iterdir())


def test_submit_csv(tmp_path):
    assert "nothing was uploaded" in call("submit", ZERO_SHOT, "--format", "csv", "--out", tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == ["emoset", "emotion6"]
    assert float(rows[0]["accuracy"]) == pytest.approx(100 * 15 / 32)


def test_submit_lmms_eval(tmp_path):
    """lmms-eval's own loader takes the samples, and nothing tells whose machine it was."""
    from lmms_eval.baselines.loader import load_baseline

    call("submit", SEPM, RUNS / "journals", "--format", "lmms-eval", "--out", tmp_path)
    (samples,) = tmp_path.rglob("*_samples_emoset.jsonl")
    scores, _ = load_baseline(str(samples), "emoset")
    assert sum(scores.values()) == 22
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not re.search("/home/|/data/|somebody", path.read_text(encoding="utf-8")), path
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for config in yaml.safe_load(card.split("---")[1])["configs"]:
        assert (tmp_path / config["data_files"]).is_file()


def test_submit_openvlm(tmp_path):
    assert "give --organization" in call("submit", SEPM, "--format", "openvlm", "--out", tmp_path, code=1)
    call("submit", SEPM, "--format", "openvlm", "--out", tmp_path, "--organization", "A group")
    (entry,) = json.loads((tmp_path / "OpenVLM.json").read_text()).values()
    assert entry["META"]["Method"] == ["llava-1.5-7b-hf sepm", f"https://huggingface.co/{LLAVA}"]
    assert entry["META"]["Language Model"] == "Vicuna-v1.5-7B"
    assert entry["META"]["Time"] == "2026/11/01"
    assert entry["emoset"]["Overall"] == 68.75
    labels = {"amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sadness"}
    assert set(entry["emoset"]) == {"Overall", *labels}


def test_submit_hf_eval_results(tmp_path):
    assert "--dataset-id TASK=owner/name for emoset" in call(
        "submit", SEPM, "--format", "hf-eval-results", "--out", tmp_path, code=1
    )
    ids = ("--dataset-id", "emoset=a/emoset", "--dataset-id", "emotion6=a/emotion6")
    call("submit", SEPM, "--format", "hf-eval-results", "--out", tmp_path, *ids)
    (path,) = tmp_path.rglob(".eval_results/emoset.yaml")
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value, entry.date) == ("a/emoset", "emoset", 68.75, "2026-11-01")


def test_submit_every_eval_ever(tmp_path):
    call("submit", SEPM, "--format", "every-eval-ever", "--out", tmp_path, "--organization", "A group")
    records = list(tmp_path.rglob("*.json"))
    assert len(records) == 2
    for path in records:
        record = json.loads(path.read_text())
        jsonschema.validate(record, every_eval_ever._schema("eval.schema.json"))
        lines = tmp_path / record["detailed_evaluation_results"]["file_path"]
        assert lines.with_name(lines.name.replace("_samples.jsonl", ".json")) == path
        instances = [json.loads(line) for line in lines.read_text().splitlines()]
        assert len(instances) == record["detailed_evaluation_results"]["total_rows"]
        for instance in instances:
            jsonschema.validate(instance, every_eval_ever._schema("instance_level_eval.schema.json"))
        (result,) = record["evaluation_results"]
        share = sum(instance["evaluation"]["is_correct"] for instance in instances) / len(instances)
        assert result["score_details"]["score"] == pytest.approx(share)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    call("submit", SEPM, "--format", "every-eval-ever", "--out", tmp_path, "--organization", "A group")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


def test_submit_unknown_format(tmp_path):
    output = call("submit", SEPM, "--format", "fax", "--out", tmp_path, code=1)
    assert all(name in output for name in formats())


def test_doctor(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    output = call("doctor")
    for part in ("lmms-eval", "torch", "task emotion_demo", "512 pictures", "task emoset", "EmoSet-118K.zip", "device"):
        assert part in output
    assert "hf_secret" not in output


def test_doctor_exits_1_when_something_needed_is_broken(tmp_path, monkeypatch):
    from sepm_eval.cli import doctor

    monkeypatch.setattr(doctor, "entry_points", lambda group: [])
    assert "the entry point is missing" in call("doctor", code=1)

"""The command `sepm-eval submit`: formats, and what it refuses to hand in."""

from __future__ import annotations

import csv
import json
import re

import jsonschema
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from make_runs import LLAVA, MODEL, OWN, RUNS, give_own_questions, run
from test_reporting_commands import DAY, SEPM, ZERO_SHOT, call

from sepm_eval.runs.results import read_runs
from sepm_eval.submit import About, every_eval_ever, formats, submit


def test_submit_refuses_an_incomplete_run(tmp_path):
    output = call("submit", RUNS / "sepm_llava_sparsevlm", "--format", "csv", "--out", tmp_path, code=1)
    assert "sparsevlm is incomplete: asked all 32 items, 1 failed" in output
    assert not list(tmp_path.iterdir())
    run(tmp_path / "a", "llava_hf", LLAVA, "", "emoset", 0.5, DAY, items=slice(8, 16), available=594)
    output = call("submit", tmp_path / "a", "--format", "csv", "--out", tmp_path / "out", code=1)
    assert "llava_hf is incomplete: asked items 9 to 16 of 594 items, 0 failed" in output


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
    assert entry["META"]["Method"] == [f"{LLAVA} sepm", f"https://huggingface.co/{LLAVA}"]
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
            assert instance["input"]["reference"][0] in instance["input"]["choices"]
        (result,) = record["evaluation_results"]
        share = sum(instance["evaluation"]["is_correct"] for instance in instances) / len(instances)
        assert result["score_details"]["score"] == pytest.approx(share)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    call("submit", SEPM, "--format", "every-eval-ever", "--out", tmp_path, "--organization", "A group")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


def test_every_eval_ever_of_own_questions(tmp_path):
    """Choices, reference and answer are what the item's own question shows, in the order of its letters."""
    run(tmp_path / "runs", "llava_hf", LLAVA, "", "emoset", 0.5, DAY)
    give_own_questions(tmp_path / "runs")
    call(
        "submit",
        tmp_path / "runs",
        "--format",
        "every-eval-ever",
        "--out",
        tmp_path / "out",
        "--organization",
        "A group",
    )
    (lines,) = (tmp_path / "out").rglob("*_samples.jsonl")
    for number, line in enumerate(map(json.loads, lines.read_text().splitlines())):
        names = list(OWN[number % 2])
        assert line["input"]["choices"] == names
        assert line["input"]["reference"] == [names[1 if number % 3 else 0]]
        assert line["answer_attribution"][0]["extracted_value"] == names[0]
        assert line["evaluation"]["is_correct"] == (not number % 3)
    (record,) = (tmp_path / "out").rglob("*.json")
    (result,) = json.loads(record.read_text())["evaluation_results"]
    told = "multiple-choice questions about images, one for each item, with 2 to 4 options"
    assert result["metric_config"]["evaluation_description"] == told


def two_checkpoints(folder):
    """Two checkpoints of one last name, a local folder that looks like a hub id, two lists, two dtypes."""
    run(folder, "sepm_llava", "a/final", "sepm", "emoset", 0.5, DAY, place="a")
    run(folder, "sepm_llava", "b/final", "sepm", "emoset", 0.6, DAY, place="b")
    run(
        folder,
        "sepm_llava",
        "ckpts/final",
        "sepm",
        "emoset",
        0.6,
        DAY,
        place="local",
        revision="files-0123456789abcdef",
    )
    run(folder, "llava_hf", "c/final", "", "emoset", 0.6, DAY, place="stock")
    run(folder, "sepm_llava", "a/final", "sepm", "emoset", 0.7, DAY, place="list", item_list="mine", items=slice(20))
    more = {"place": "dtype", "model": {**MODEL, "dtype": "float32"}}
    run(folder, "sepm_llava", "a/final", "sepm", "emoset", 0.5, DAY, **more)


def test_no_submission_makes_one_of_two_runs(tmp_path):
    two_checkpoints(tmp_path / "runs")
    options = ("--organization", "A group", "--dataset-id", "emoset=x/emoset")
    for name in (name for name, write in formats().items() if not getattr(write, "without_runs", False)):
        call("submit", tmp_path / "runs", "--format", name, "--out", tmp_path / name, *options)
    entries = json.loads((tmp_path / "openvlm/OpenVLM.json").read_text())
    assert len(entries) == 6
    assert all(entry["META"]["Method"][0] == name for name, entry in entries.items())
    with (tmp_path / "csv/results.csv").open(newline="") as file:
        assert len({(row["identity"], row["exam"]) for row in csv.DictReader(file)}) == 6
    entries = [
        entry
        for path in (tmp_path / "hf-eval-results").rglob("*.yaml")
        for entry in parse_eval_result_entries(yaml.safe_load(path.read_text()))
    ]
    assert len(entries) == len({entry.notes for entry in entries}) == 6
    assert {
        "dtype=float16" in one.notes or "dtype=float32" in one.notes for one in entries if "sepm_llava" in one.notes
    }
    names = [path.name for path in (tmp_path / "every-eval-ever").rglob("*.json")]
    assert len(names) == len(set(names)) == 6
    card = yaml.safe_load((tmp_path / "lmms-eval/README.md").read_text(encoding="utf-8").split("---")[1])
    assert len({one["config_name"] for one in card["configs"]}) == 6
    assert len({(tmp_path / "lmms-eval" / one["data_files"]).read_bytes() for one in card["configs"]}) == 6


def test_only_a_known_commit_is_called_a_hub_model(tmp_path):
    two_checkpoints(tmp_path / "runs")
    options = ("--organization", "A group", "--dataset-id", "emoset=x/emoset")
    call("submit", tmp_path / "runs", "--format", "openvlm", "--out", tmp_path, *options)
    links = {
        entry["META"]["Method"][0].split()[0]: (entry["META"]["Method"][1], entry["META"]["OpenSource"])
        for entry in json.loads((tmp_path / "OpenVLM.json").read_text()).values()
    }
    assert links == {
        "a/final": ("https://huggingface.co/a/final", "Yes"),
        "b/final": ("https://huggingface.co/b/final", "Yes"),
        "ckpts/final": ("", "No"),
        "c/final": ("", "No"),
    }
    call("submit", tmp_path / "runs", "--format", "every-eval-ever", "--out", tmp_path / "eee", *options)
    said = {}
    for path in (tmp_path / "eee").rglob("*.json"):
        about = json.loads(path.read_text())["model_info"]
        details = about["additional_details"]
        said[about["name"].split()[0]] = (details["model_availability"], details["deployment_type"], about["id"][:8])
    assert said == {
        "a/final": ("open_weights", "self_deployed", "a/final"),
        "b/final": ("open_weights", "self_deployed", "b/final"),
        "ckpts/final": ("unknown", "self_deployed", "unknown/"),
        "c/final": ("unknown", "unknown", "unknown/"),
    }
    call("submit", tmp_path / "runs", "--format", "hf-eval-results", "--out", tmp_path / "hf", *options)
    folders = {path.name for path in (tmp_path / "hf").iterdir()}
    assert {"a__final", "b__final"} < folders
    assert {name for name in folders if name.startswith(("ckpts-final-", "c-final-"))} == folders - {
        "a__final",
        "b__final",
    }


def test_the_same_run_twice_is_refused(tmp_path):
    runs = [*read_runs([SEPM]), *read_runs([SEPM])]
    about = About("A group", {"emoset": "x/emoset", "emotion6": "x/emotion6"})
    for name, message in (
        ("openvlm", "two runs would be the entry"),
        ("hf-eval-results", "two entries of .* would be the same"),
        ("every-eval-ever", "is given twice"),
        ("lmms-eval", "is given twice"),
    ):
        with pytest.raises(ValueError, match=message):
            submit(runs, name, tmp_path / name, about)


def test_a_submitted_log_tells_no_path_and_can_still_be_read(tmp_path):
    more = {"revision": "files-0123456789abcdef", "model": {**MODEL, "peft": "/home/somebody/adapter"}}
    run(tmp_path / "runs", "sepm_llava", "/home/somebody/ckpts/x", "sepm", "emoset", 0.5, DAY, **more)
    call("submit", tmp_path / "runs", "--format", "lmms-eval", "--out", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.*"):
        if path.is_file():
            assert "somebody" not in path.read_text(encoding="utf-8"), path
    (before,), (after,) = read_runs([tmp_path / "runs"]), read_runs([tmp_path / "out"])
    assert (after.identity.checkpoint, after.identity.model["peft"]) == ("x", "adapter")
    assert [one.output for one in after.outcomes] == [one.output for one in before.outcomes]
    call("submit", SEPM, "--format", "lmms-eval", "--out", tmp_path / "hub")
    assert read_runs([tmp_path / "hub"])[0].identity == read_runs([SEPM])[0].identity
    (results,) = (tmp_path / "hub").rglob("*_emoset_results.json")
    assert json.loads(results.read_text())["model_name"] == LLAVA


def test_a_spreadsheet_takes_nothing_of_a_submission_for_a_formula(tmp_path):
    run(tmp_path / "runs", "sepm_llava", "=cmd()", "sepm", "emoset", 0.5, DAY)
    call("submit", tmp_path / "runs", "--format", "csv", "--out", tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["model"] == "'=cmd()"
    assert row["date"] == "2026-11-01T12:00:00+00:00"


def test_submit_unknown_format(tmp_path):
    output = call("submit", SEPM, "--format", "fax", "--out", tmp_path, code=1)
    assert all(name in output for name in formats())

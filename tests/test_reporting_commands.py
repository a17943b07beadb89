"""The commands over finished runs, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import jsonschema
import pytest
import yaml
from conftest import ORACLES
from huggingface_hub import parse_eval_result_entries
from make_runs import LLAVA, MODEL, RUNS, read_lines, run, write_lines
from rich.console import Console
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.cli._app import new_table
from sepm_eval.runs.results import read_runs
from sepm_eval.submit import About, every_eval_ever, formats, submit

DAY = "20261101_120000"
ZERO_SHOT, SEPM = RUNS / "sepm_llava_zero_shot", RUNS / "sepm_llava_sepm"


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


def test_report(tmp_path):
    assert "written to" in call("report", RUNS, "--out", tmp_path / "report")
    there = {path.name for path in (tmp_path / "report").iterdir()}
    assert there == {"report.html", "report.md", "pages", "tables", "figures", "items.html", "items"}
    assert "no results of image-emotion tasks" in call("report", tmp_path / "report", "--out", tmp_path / "x", code=1)


def test_compare():
    output = call("compare", ZERO_SHOT, SEPM)
    for part in ("N = 32", "46.88%", "68.75%", "B - A: +21.88 points", "exact McNemar p = 0.1892", "same answer: "):
        assert part in output
    assert "too few: 106 needed" in output


def test_compare_refuses_what_is_not_comparable(tmp_path):
    run(tmp_path / "a", "llava_hf", LLAVA, "", "emotion6", 0.5, "20261101_120000")
    assert "13 different runs are there" in call("compare", RUNS, SEPM, code=1)
    (log,) = (tmp_path / "a").rglob("*_samples_*.jsonl")
    write_lines(log, [sample | {"item_list": "mine"} for sample in read_lines(log)])
    assert "differ in their item_list: 'mine' and 'mini'" in call("compare", tmp_path / "a", SEPM, code=1)
    run(tmp_path / "b", "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    assert "no task in common" in call("compare", tmp_path / "a", tmp_path / "b", code=1)


def test_compare_two_methods_of_one_folder():
    output = call("compare", RUNS, "--a", "zero_shot", "--b", "sepm", "--model", "llava-1.5")
    assert output == call("compare", ZERO_SHOT, SEPM)  # where each run has a folder of its own
    for written in ("sepm,beta=0.1", "sepm, beta=1e-1", "sepm (beta=0.1)"):
        output = call("compare", RUNS, "--a", "zero_shot", "--b", written, "--model", LLAVA)
        assert "B - A: +15.62 points" in output
        assert "(beta=0.1)" in output
    output = call("compare", RUNS, "--a", "zero_shot", "--b", "llava_hf", "--model", LLAVA)
    assert "B - A: +6.25 points" in output


def test_compare_says_which_file_counts():
    output = call("compare", ZERO_SHOT, SEPM)
    where = "sepm_llava_zero_shot/2026110{}_120000_emotion6_results.json"
    told = f"A is read from {RUNS}/{where.format(2)}; superseded, as the same run over the same items: {RUNS}/"
    assert told + where.format(1) in output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), r"name two folders, or say which two runs"),
        (("--a", "sepm"), r"name two folders, or say which two runs"),
        (("--a", "zero_shot", "--b", "sepm"), r"--a: 2 different runs are zero_shot: .*VILA.*; llava-hf/.*Say which"),
        (
            ("--a", "zero_shot", "--b", "sepm,beta=0.3", "--model", LLAVA),
            r"--b: there is no run sepm,beta=0.3 of .*There",
        ),
        (
            ("--a", "zero_shot", "--b", "sepm", "--model", "qwen"),
            r"there is no run zero_shot of qwen\. There are .*VILA",
        ),
        (
            ("--a", "zero_shot", "--b", "magic", "--model", LLAVA),
            r"--b: unknown method 'magic'.* There are runs of .*sepm \(beta=0\.4\)",
        ),
        (
            ("--a", "zero_shot", "--b", "sepm,beta", "--model", LLAVA),
            r"'beta' is no option: write name=value\. There are runs of",
        ),
    ],
)
def test_compare_refuses_what_it_cannot_tell(options, reason):
    assert re.search(reason, call("compare", RUNS, *options, code=1))


def test_compare_refuses_other_items_and_says_why(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, DAY, pictures="vanished ")
    run(tmp_path, "sepm_llava", LLAVA, "sepm,beta=0.1", "emoset", 0.5, DAY, items=slice(4))
    output = call("compare", tmp_path, "--a", "zero_shot", "--b", "sepm", code=1)
    assert "had other pictures for 32 items of emoset" in output
    output = call("compare", tmp_path, "--a", "zero_shot", "--b", "sepm,beta=0.1", code=1)
    assert "were asked different items of emoset: 28 are only in one" in output
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emotion6", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5, DAY)
    output = call("compare", tmp_path, "--a", "zero_shot", "--b", "sepm")
    assert "emotion6, list 'mini', N = 30" in output
    assert "Not compared: " in output
    assert "had other pictures for 32 items of emoset" in output


def test_compare_does_not_choose_between_models_that_differ_in_a_setting(tmp_path):
    for kind in ("float16", "float32"):
        for method in ("zero_shot", "sepm"):
            more = {"place": f"{kind}-{method}", "model": {**MODEL, "dtype": kind}}
            run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, DAY, **more)
    asked = ("compare", tmp_path, "--a", "zero_shot", "--b", "sepm")
    assert "2 different runs are zero_shot" in call(*asked, code=1)
    assert "2 different runs are zero_shot of llava" in call(*asked, "--model", "llava", code=1)
    assert "N = 32" in call(*asked, "--model", "dtype=float32")


def test_leaderboard(tmp_path):
    call("leaderboard", ZERO_SHOT, SEPM, RUNS / "llava_hf_", "--out", tmp_path)
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert re.search(r"\| SEPM +\| llava-hf/llava-1.5-7b-hf; sepm\\_llava +\| 1 ", text)
    assert (tmp_path / "leaderboard.html").exists()


def test_rescore_agrees_with_the_log_or_says_where_not(tmp_path):
    assert "emoset" in call("rescore", RUNS)
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples[4]["acc"] = 1 - samples[4]["acc"]
    log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    output = call("rescore", tmp_path, code=1)
    assert "1 answer scored otherwise than logged" in output
    assert "emoset/004" in output


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
        (result,) = record["evaluation_results"]
        share = sum(instance["evaluation"]["is_correct"] for instance in instances) / len(instances)
        assert result["score_details"]["score"] == pytest.approx(share)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    call("submit", SEPM, "--format", "every-eval-ever", "--out", tmp_path, "--organization", "A group")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


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


def test_doctor(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    output = call("doctor")
    for part in ("lmms-eval", "torch", "emotion_demo", "512 pictures", "emoset", "device"):
        assert part in output
    assert "sepm-eval datasets NAME" in " ".join(output.replace("│", " ").split())
    assert "hf_secret" not in output


def lines_of(told):
    """What a table says, however wide the screen is."""
    return " ".join(re.sub("│|what:|state:", " ", told).split())


def test_doctor_names_the_checkpoints(tmp_path, monkeypatch):
    """Those usual for a backbone, and those known ones that the hub's cache holds, whole or not."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = lines_of(call("doctor"))
    assert "checkpoint ok demo: in the package" in said
    assert "checkpoint note llava-hf/llava-1.5-7b-hf: usual for sepm_llava, not downloaded yet" in said
    assert "llava-1.5-13b-hf" not in said
    for name, weights in (("llava-1.5-13b-hf", True), ("llava-1.5-7b-hf", False)):
        repository = tmp_path / f"models--llava-hf--{name}"
        shutil.copytree(ORACLES / "llava15_tiny" / "hf", repository / "snapshots" / ("c" * 40))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("c" * 40)
        if not weights:
            (repository / "snapshots" / ("c" * 40) / "model.safetensors").unlink()
    said = lines_of(call("doctor"))
    assert "checkpoint ok llava-hf/llava-1.5-13b-hf: 0.0 GiB in the cache, commit cccccccccccc" in said
    assert "checkpoint note llava-hf/llava-1.5-7b-hf: in the cache, but not whole" in said


def test_doctor_exits_1_when_something_needed_is_broken(tmp_path, monkeypatch):
    from sepm_eval.cli import doctor

    monkeypatch.setattr(doctor, "entry_points", lambda group: [])
    assert "the entry point is missing" in call("doctor", code=1)


@pytest.mark.parametrize("width", [200, 100, 60, 40, 30])
def test_no_terminal_breaks_a_word(width):
    """What is the same in all rows stands above, then each row is a few lines; all of it is there at any width."""
    screen = Console(width=width, file=io.StringIO())
    table = new_table("task", "model", "method", "right / N", title="results")
    rows = [("emotion_demo", LLAVA, method, "12 / 32") for method in ("zero_shot", "[green]sepm[/] (beta=0.1)", "sepm")]
    for row in rows:
        table.add_row(*row)
    screen.print(table)
    text = screen.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for word in ("emotion_demo", LLAVA, "zero_shot", "sepm", "(beta=0.1)", "results"):
        assert word in text
    assert text.count(LLAVA) == (3 if width >= 100 else 1)
    assert "[green]" not in text


def test_a_row_that_does_not_fit_is_shown_as_lines():
    screen = Console(width=22, file=io.StringIO())
    table = new_table("task", "method")
    table.add_row("emotion_demo", "sepm (beta=0.1)")
    table.add_row("emotion6", "sepm")
    screen.print(table)
    lines = [line.rstrip() for line in screen.file.getvalue().splitlines()]
    assert lines[1:3] == ["task: emotion_demo", "method: sepm"]
    assert lines[-2:] == ["task: emotion6", "method: sepm"]

"""The commands over finished runs, as a user types them."""

from __future__ import annotations

import io
import json
import re
import shutil

import pytest
from conftest import ORACLES
from make_runs import LLAVA, MODEL, RUNS, read_lines, run, write_lines
from rich.console import Console
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.cli._app import new_table

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
    assert "too few: 114 needed" in output


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

"""The real lmms-eval: its executable in a subprocess, and our classes through its own registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from math import isnan
from pathlib import Path
from statistics import fmean

import pytest
from miniature import emoset_release
from miniature_hub import every_data  # noqa: F401

from sepm_eval import demo
from sepm_eval.datasets import find_benchmarks
from sepm_eval.report.votes import PEOPLE, votes
from sepm_eval.report.write import write_report
from sepm_eval.runs.exams import exam_of
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.method_checks import answered_plainly
from sepm_eval.runs.results import read_runs

LMMS_EVAL = shutil.which("lmms-eval", path=str(Path(sys.executable).parent)) or "lmms-eval"


def lmms_eval(tmp_path, model, model_args, tasks, *more, data=None):
    """Run the executable; its output, and by task the results and samples it wrote."""
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "SEPM_EVAL_DATA": str(data or tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_DATA_HOME": str(tmp_path / "share"),
    }
    out = tmp_path / "out"
    command = [LMMS_EVAL, "--model", model, "--model_args", model_args, "--tasks", tasks, *more]
    command += ["--output_path", str(out), "--log_samples"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=600)
    results = {}
    for path in sorted(out.rglob("*_results.json")):
        results.update(json.loads(path.read_text())["results"])
    samples = {
        task: [json.loads(line) for path in sorted(out.rglob(f"*_samples_{task}.jsonl")) for line in path.open()]
        for task in tasks.split(",")
    }
    return run.stdout + run.stderr, results, samples


def test_sepm_on_a_miniature_emoset_and_on_the_demo(tmp_path):
    emoset_release(tmp_path)
    journal = tmp_path / "journal.jsonl"
    arguments = f"pretrained=demo,method=sepm,journal={journal}"
    output, results, samples = lmms_eval(
        tmp_path, "sepm_llava", arguments, "emoset,emotion_demo", "--batch_size", "8", "--limit", "16"
    )
    assert set(results) == {"emoset", "emotion_demo"}, output
    for task, result in results.items():
        assert {"acc,none", "macro_f1,none", "unparsed,none", "n_failed,none"} <= set(result)
        assert result["n_failed,none"] == 0
        assert len(samples[task]) == 16
        accuracy = sum(sample["score"] for sample in samples[task]) / 16
        assert result["acc,none"] == pytest.approx(accuracy)
    records = read_journal(journal)
    assert sorted((r["task"], r["doc_id"]) for r in records) == [
        (t, i) for t in ("emoset", "emotion_demo") for i in range(16)
    ]
    assert all(record["method"]["name"] == "sepm" and record["prompts"] for record in records)

    again, same, _ = lmms_eval(
        tmp_path, "sepm_llava", arguments, "emoset,emotion_demo", "--batch_size", "8", "--limit", "16"
    )
    assert "32 answers from before" in again
    assert same == results
    assert len(read_journal(journal)) == 32


def test_one_unreadable_picture_fails_alone(tmp_path):
    release = emoset_release(tmp_path)
    (release / "image/awe/awe_00000.jpg").write_bytes(b"\xff\xd8\xff not a jpeg")
    output, results, samples = lmms_eval(tmp_path, "sepm_llava", "pretrained=demo,method=zero_shot", "emoset")
    assert results["emoset"]["n_failed,none"] == 1, output
    assert "awe_00000.jpg cannot be read as a picture" in output
    assert sum("acc" in sample for sample in samples["emoset"]) == 15
    assert results["emoset"]["acc,none"] == pytest.approx(sum(s.get("acc", 0) for s in samples["emoset"]) / 15)


def test_missing_data_is_one_clear_error(tmp_path):
    output, results, _ = lmms_eval(tmp_path, "sepm_llava", "pretrained=demo", "emoset")
    assert not results
    last = output.strip().splitlines()[-1]
    assert "no folder" in last
    assert "EmoSet-118K.zip" in last
    assert "SEPM_EVAL_DATA" in last
    assert "RetryError" not in output


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ("pretrained=demo,colour=red", (), "unknown model args ['colour']: sepm_llava takes pretrained, method"),
        ("pretrained=demo,alpha=7", (), "alpha=7: use a number from 0"),
        ("pretrained=demo,polarity=joy:good", (), "polarity='joy:good': write label:positive"),
        ("pretrained=demo,method=magic", (), "unknown method 'magic'; there are"),
        ("pretrained=demo", ("--batch_size", "auto"), "batch_size=auto: give batch_size as a number"),
        ("pretrained=./nowhere", (), "no checkpoint './nowhere'"),
    ],
)
def test_bad_model_args(tmp_path, arguments, more, message):
    output, results, _ = lmms_eval(tmp_path, "sepm_llava", arguments, "emotion_demo", *more)
    assert message in output
    assert not results


def test_zero_shot_equals_the_stock_llava_hf(tmp_path):
    """Same checkpoint, same centre crop: lmms-eval's own LLaVA and ours predict the same, item by item.

    The stock entry preprocesses with torchvision, ours with Pillow. Where our two best options are equal to five
    digits, that decides, and the item is left out; among the first 64 this is one.
    """
    pytest.importorskip("decord", reason="lmms-eval's llava_hf imports decord")
    both = {}
    for model, arguments in (
        (
            "sepm_llava",
            f"pretrained=demo,method=zero_shot,image_aspect_ratio=crop,device=cpu,journal={tmp_path}/journal.jsonl",
        ),
        ("llava_hf", f"pretrained={demo.MODEL},device_map=cpu,device=cpu,dtype=float32"),
    ):
        folder = tmp_path / model
        folder.mkdir()
        output, results, samples = lmms_eval(folder, model, arguments, "emotion_demo", "--limit", "64")
        assert results, output
        both[model] = [sample["filtered_resps"][0].strip() for sample in samples["emotion_demo"]]
    assert len(both["llava_hf"]) == 64
    assert len(set(both["llava_hf"])) > 2
    best = {
        record["doc_id"]: sorted(record["option_probabilities"].values())[-2:]
        for record in read_journal(tmp_path / "journal.jsonl")
    }
    told_apart = [item for item in range(64) if best[item][1] - best[item][0] > 1e-5]
    assert len(told_apart) >= 63
    for item in told_apart:
        assert both["sepm_llava"][item] == both["llava_hf"][item], item


def test_a_simple_stock_model_can_be_scored(tmp_path):
    """A model of lmms-eval's simple type gets the picture and the question, and is scored by the same rule."""
    output, results, samples = lmms_eval(
        tmp_path,
        "llava_hf",
        f"pretrained={demo.MODEL},device_map=cpu,device=cpu",
        "emotion_demo",
        "--limit",
        "4",
        "--force_simple",
    )
    assert results, output
    assert len(samples["emotion_demo"]) == 4


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("sepm_llava", "pretrained=demo,method=sepm"),
        ("llava_hf", f"pretrained={demo.MODEL},device_map=cpu,device=cpu,dtype=float32"),
    ],
)
def test_every_benchmark(tmp_path, model, arguments, every_data, monkeypatch):  # noqa: F811
    """Ours and a stock model on three items of every benchmark, in one run; groups are averages of their tasks."""
    named = "emotion5,artphoto,vecbench,lai_gai,lai_gai6,mvei,eemo_single,eemo_emotion,eemo_ranking,eemo_vad"
    named += ",emoverse,fi,unbiasedemo,emotionroi"
    output, results, _ = lmms_eval(tmp_path, model, arguments, named, "--limit", "3", data=every_data)
    tasks = set(find_benchmarks()) - {"emotion_demo"}
    assert {*tasks, "emotion5", "vecbench"} <= set(results), output
    assert all(results[task]["n_failed,none"] == 0 for task in tasks)
    five = ["emotion6", "emoset", "webemo7", "webemo25", "abstract"]
    assert results["emotion5"]["acc,none"] == pytest.approx(sum(results[task]["acc,none"] for task in five) / 5)
    kinds = {"mvei": ("sentiment_polarity", "scene_context"), "eemo_single": ("yes_or_no", "what_how")}
    for task, mine in kinds.items():
        assert {f"acc_{kind},none" for kind in mine} <= set(results[task])
    nine = [task for task in tasks if task.startswith("vecbench_")]
    ours = model == "sepm_llava"
    for metric in ("acc", "weighted_f1", *(("ece", "brier") if ours else ())):
        told = [results[task][f"{metric},none"] for task in nine]
        assert results["vecbench"][f"{metric},none"] == pytest.approx(fmean(one for one in told if not isnan(one)))
    assert isnan(results["vecbench"]["brier,none"]) == (not ours)
    for task in tasks:
        (path,) = (tmp_path / "out").rglob(f"*_samples_{task}.jsonl")
        samples = [json.loads(line) for line in path.open()]
        assert len(samples) == (2 if task == "eemo_emotion" else 3)
        assert {"item_id", "item_list", "label", "answer_label"} <= set(samples[0])
        assert all(("votes" in sample) == find_benchmarks()[task].votes for sample in samples)
        plain = task.startswith("eemo_") or task in ("vecbench_fi2", "vecbench_webemo2", "mvei", "lai_gai")
        assert all(("plain" in sample) == (ours and plain) for sample in samples)
        assert all("confidence" not in sample for sample in samples if plain or not ours)
    check_votes(tmp_path, ours)
    if ours:
        monkeypatch.setenv("SEPM_EVAL_DATA", str(every_data))
        check_read_back(tmp_path / "out")


def check_votes(folder, ours):
    """Models stand beside what people voted; those of ours with distances, of which a stock model has none."""
    found = votes(read_runs([one for one in (folder / "out", folder / "state") if one.exists()])).records
    people = {row["task"] for row in found if row["model"] == PEOPLE}
    models = {row["task"]: row for row in found if row["model"] != PEOPLE}
    assert {task for task in models if find_benchmarks()[task].votes} == set(models)
    assert "abstract" in people
    assert "emotion6" not in people  # it publishes shares
    for task, wheel in (("abstract", "Mikels"), ("emotion6", "Plutchik")):
        assert (models[task]["n"], models[task]["n_probabilities"], models[task]["wheel"]) == (3, 3 * ours, wheel)
        assert (models[task]["emd"] is not None) == (models[task]["jensen_shannon"] is not None) == ours


def check_read_back(folder):
    """What a report makes of it: own questions are no fault, and what the method was not asked is said."""
    runs = {run.task: run for run in read_runs([folder])}
    for task, run in runs.items():
        exam = exam_of(find_benchmarks()[task], len(run.outcomes))
        assert (run.exam, run.votes) == (exam.digest, exam.votes), task
    assert {run.task for run in runs.values() if any(one.marks for one in run.outcomes)} >= {"mvei", "eemo_vad"}
    assert len({outcome.question for outcome in runs["mvei"].outcomes}) == 3
    assert runs["mvei"].options.labels == ("correct", "incorrect")
    assert set(runs["eemo_single"].options.labels) == {f"option_{letter}" for letter in "abcd"}
    assert "3 of 3 questions were answered by plain generation, as sepm needs" in answered_plainly(runs["vecbench_fi2"])
    assert answered_plainly(runs["vecbench_fi8"]) == ""
    assert (runs["vecbench_fi2"].variant, runs["vecbench_fi8"].variant) == ("sepm (plain answering)", "sepm")
    page = write_report([runs["vecbench_fi2"], runs["eemo_single"]], folder / "report")
    assert page.read_text().count("these are no answers of sepm") == 2

"""LAI-GAI as a task for lmms-eval itself: written by a command, run by a plain lmms-eval without this package."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from miniature_hub import every_data, lai_gai  # noqa: F401
from typer.testing import CliRunner

from sepm_eval import demo
from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.lai_gai import SIX
from sepm_eval.emotions import LAI_GAI

BENCHMARKS = find_benchmarks()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What the command wrote, over Parquet files in a folder."""
    folder = tmp_path_factory.mktemp("upstream")
    lai_gai(folder / "parquet")
    told = ["--format", "lmms-eval-task", "--out", str(folder / "out")]
    result = CliRunner().invoke(app, ["submit", *told, "--dataset-id", f"lai_gai={folder / 'parquet'}"])
    assert result.exit_code == 0, result.output
    assert "5 files written" in result.output
    return folder


@pytest.fixture(scope="module")
def utils(home):
    spec = importlib.util.spec_from_file_location("lai_gai_utils", home / "out" / "lai_gai" / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def docs(home, utils):
    from datasets import load_dataset

    loaded = load_dataset(str(home / "parquet"), split="train", cache_dir=str(home / "cache"))
    return {6: utils.lai_gai6_process_docs(loaded), 12: utils.lai_gai_process_docs(loaded)}


def test_a_plain_lmms_eval_runs_it(home):
    """Without our package, by --include_path, with one of lmms-eval's own models."""
    environment = {**os.environ, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1", "XDG_STATE_HOME": str(home / "s")}
    command = [sys.executable, str(Path(__file__).parent / "without_us.py"), "--model", "llava_hf"]
    command += ["--model_args", f"pretrained={demo.MODEL},device_map=cpu,device=cpu,dtype=float32"]
    command += ["--tasks", "lai_gai,lai_gai6", "--include_path", str(home / "out"), "--limit", "3"]
    command += ["--output_path", str(home / "results"), "--log_samples"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (home / "results").rglob("*_results.json")
    results = json.loads(path.read_text())["results"]
    for task in ("lai_gai", "lai_gai6"):
        metrics = {"lai_gai_acc,none", "lai_gai_macro_f1,none", "lai_gai_unparsed,none"}
        assert metrics <= set(results[task]), done.stdout + done.stderr
        (samples,) = (home / "results").rglob(f"*_samples_{task}.jsonl")
        lines = [json.loads(line) for line in samples.open()]
        assert len(lines) == 3
        assert results[task]["lai_gai_acc,none"] == pytest.approx(sum(line["score"] for line in lines) / 3)
        assert lines[0]["input"] == BENCHMARKS[task].question()


def test_labels_and_questions_are_ours(every_data, monkeypatch, utils, docs):  # noqa: F811
    monkeypatch.setenv("SEPM_EVAL_DATA", str(every_data))
    for task, count in (("lai_gai", 12), ("lai_gai6", 6)):
        ours = Counter(item.label for item in BENCHMARKS[task].items())
        assert Counter(docs[count]["label"]) == ours
        assert {utils.lai_gai_doc_to_text(doc) for doc in docs[count]} == {BENCHMARKS[task].question()}
    assert (tuple(utils.SIX), utils.LABELS) == (SIX, LAI_GAI)


def test_what_a_chat_model_is_given(utils, docs):
    (turn,) = utils.lai_gai_doc_to_messages(docs[12][0], {"pre_prompt": "Look. ", "post_prompt": " Now."})
    picture, text = turn["content"]
    assert (turn["role"], picture["type"], picture["url"].mode) == ("user", "image", "RGB")
    assert text["text"].startswith("Look. Which of the following")
    assert text["text"].endswith("option. Now.")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *(("A", "anger"), ("(b)", None), ("(B)", "awe"), ("C.", "disgust"), ("D. Fear", "fear"), ("D: Fear.", "fear")),
        *(("Joy", "joy"), ("joy.", "joy"), ("**F**", "sadness"), ("The answer is E", "joy"), ("Answer: Awe", "awe")),
        *(("B\n\nThe sky is vast.", "awe"), ("B. Fear", None), ("G", None), ("", None), ("I cannot tell", None)),
        *(("A man is sad", None), ("Anger or fear", None)),
    ],
)
def test_what_an_answer_states(utils, text, label):
    assert utils.lai_gai_parse_answer(text, list(SIX)) == label


def test_metrics(utils, docs):
    from sklearn.metrics import f1_score

    answers = ["A", "Joy", "nothing", "C", "E", "F"]
    told = [utils.lai_gai_process_results(doc, [text]) for doc, text in zip(docs[6], answers, strict=True)]
    pairs = [one["lai_gai_macro_f1"] for one in told]
    truth, given = [one["target"] for one in pairs], [str(one["answer"]) for one in pairs]
    expected = f1_score(truth, given, labels=sorted(set(truth)), average="macro", zero_division=0)
    assert utils.lai_gai_aggregate_macro_f1(pairs) == pytest.approx(expected)
    assert sum(one["lai_gai_unparsed"] for one in told) == 1
    assert sum(one["lai_gai_acc"] for one in told) == sum(a == b for a, b in zip(truth, given, strict=True))


def test_columns_that_are_others_are_named(utils, docs):
    with pytest.raises(ValueError, match=r"the columns \['Joy'\] are not among"):
        utils.lai_gai_process_docs(docs[12].remove_columns(["Joy", "label", "offered"]))


def test_the_hosts_formatting_rules(home):
    """Lines up to 240, ruff-format, sorted imports, docstrings and type hints; nothing of ours is imported."""
    path = str(home / "out" / "lai_gai" / "utils.py")
    installed = Path(pytest.importorskip("ruff").__file__).parents[4]
    ruff = shutil.which("ruff", path=f"{installed / 'bin'}{os.pathsep}{installed / 'Scripts'}")
    for command in (("format", "--check"), ("check", "--select", "I,F,E,W,ANN")):
        done = subprocess.run(
            [ruff, *command, "--isolated", "--line-length", "240", path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
    tree = ast.parse(Path(path).read_text())
    public = [one for one in tree.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")]
    assert all(ast.get_docstring(one) and one.name.startswith("lai_gai") for one in public)
    assert "sepm" not in Path(path).read_text()
    for name in ("lai_gai.yaml", "lai_gai6.yaml", "_default_template_yaml"):
        assert "sepm" not in (home / "out" / "lai_gai" / name).read_text()


def test_the_pull_requests_text_claims_no_figure(home):
    text = (home / "out" / "PULL_REQUEST.md").read_text()
    for heading in ("Summary", "In scope", "Out of scope", "Validation", "Risk", "Type"):
        assert f"\n## {heading}\n" in text
    summary = text.partition("## Summary\n")[2].partition("\n\n")[0]
    assert len(summary.splitlines()) == 3
    assert text.count("not run |") == 4
    validation = text.partition("## Validation\n")[2].partition("\n\n##")[0]
    assert "Not run on the real data yet" in validation
    assert "%" not in validation


def test_the_repository_unless_told_otherwise(tmp_path):
    result = CliRunner().invoke(app, ["submit", "--format", "lmms-eval-task", "--out", str(tmp_path)])
    assert result.exit_code == 0
    found = (tmp_path / "lai_gai" / "_default_template_yaml").read_text().replace("!function ", "")
    assert yaml.safe_load(found)["dataset_path"] == "ACG-AMU/LAI-GAI"


def test_runs_are_no_validation_of_it(tmp_path):
    runs = Path(__file__).parent / "runs" / "sepm_llava_sepm"
    result = CliRunner().invoke(app, ["submit", str(runs), "--format", "lmms-eval-task", "--out", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert "lmms-eval-task takes no runs" in result.output
    assert not (tmp_path / "x").exists()


def test_formats_of_runs_need_folders(tmp_path):
    result = CliRunner().invoke(app, ["submit", "--format", "csv", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "csv is made of finished runs: name their folders" in result.output

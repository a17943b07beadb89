"""What cannot work is one sentence before any weights are loaded, by whatever host it is asked for."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import ORACLES
from miniature import emotion6_release

from sepm_eval import get_method
from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts import loading
from sepm_eval.hosts.lmms_eval import model as lmms_eval_model
from sepm_eval.hosts.lmms_eval.plugin import check_named_tasks
from sepm_eval.runs.plan import Plan
from sepm_eval.runs.preflight import look
from sepm_eval.tasks.documents import documents

DEMO = {"pretrained": "demo", "device": "cpu"}
TOO_MANY = "emotion_demo, dan: k=9 means 10 candidates, and the question has 8 options: use k from 1 to 7"


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(loading, "load_backbone", lambda *_, **__: pytest.fail("loaded"))


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lmms-eval", *arguments])


def test_lmms_evals_own_command(monkeypatch):
    command(monkeypatch, "--model", "sepm_llava", "--tasks", "emotion_demo")
    with pytest.raises(ValueError, match=f"^{re.escape(TOO_MANY)}$"):
        lmms_eval_model.sepm_llava(**DEMO, method="dan", k=9)


def test_what_the_tasks_offer_is_enough(monkeypatch):
    """WebEmo's 25 emotions are asked with the same options."""
    benchmarks = find_benchmarks()
    settings = {"batch_size": 1, "journal": None, "resume": True, "shard": ""}
    monkeypatch.setattr(loading, "load_backbone", lambda *_, **__: (_ for _ in ()).throw(InterruptedError))
    given = {**DEMO, "k": 9}
    with pytest.raises(InterruptedError):
        loading.load_runner("entry", (), "llava", "dan", given, asked=[benchmarks["webemo25"]], **settings)
    asked = [benchmarks["webemo25"], benchmarks["webemo7"]]
    with pytest.raises(ValueError, match="webemo7, dan: k=9 means 10 candidates"):
        loading.load_runner("entry", (), "llava", "dan", given, asked=asked, **settings)


def test_vlmevalkits_command_asks_before_it_loads():
    asked = [find_benchmarks()["emotion_demo"]]
    with pytest.raises(ValueError, match=re.escape(TOO_MANY)):
        loading.expected_identity("entry", (), "llava", "dan", {**DEMO, "k": 9}, asked=asked)
    identity, _ = loading.expected_identity("entry", (), "llava", "dan", DEMO, asked=asked)
    assert identity.options["k"] == 2


@pytest.mark.parametrize("host", ["lmms-eval", "run", "documents"])
def test_a_set_that_is_not_whole_is_named_once(tmp_path, monkeypatch, caplog, host):
    """By a warning, because a set on the hub may have changed; only of the list whose number was published."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    emotion6_release(tmp_path)
    plan = Plan(
        tasks=["emotion6"], methods=["zero_shot"], models=[{"model": "sepm_llava", "args": {"pretrained": "demo"}}]
    )
    start = {
        "lmms-eval": lambda: check_named_tasks(["lmms-eval", "--tasks", "emotion6"]),
        "run": lambda: look(plan, ["emotion6"], tmp_path),
        "documents": lambda: documents(find_benchmarks()["emotion6"]),
    }[host]
    monkeypatch.setenv("SEPM_EVAL_LISTS", "emotion6=full")
    start()
    assert not caplog.messages
    monkeypatch.delenv("SEPM_EVAL_LISTS")
    start()
    start()
    (message,) = caplog.messages
    assert f"emotion6: 24 of 594 published items are in {tmp_path / 'Emotion6'}. Results are of these only" in message


@pytest.mark.parametrize("k", [0, -1, 26, 2.0, "two"])
def test_a_k_that_never_works(monkeypatch, k):
    command(monkeypatch, "--tasks", "emotion_demo")
    with pytest.raises(ValueError, match=rf"^k={k!r}: use a whole number from 1 to 25$"):
        lmms_eval_model.sepm_llava(**DEMO, method="dan", k=k)


@pytest.mark.parametrize("options", [{}, {"select": "cdpruner"}])
def test_a_paired_clip_that_is_not_there(options, tmp_path):
    name = "sepm" if options else "cdpruner"
    settings = loading.read_settings("sepm_llava", "llava", DEMO)
    with pytest.raises(FileNotFoundError, match=f"^clip={tmp_path}/absent: no checkpoint"):
        settings.load(get_method(name, clip=f"{tmp_path}/absent", **options))
    plan = Plan(
        tasks=["emotion_demo"],
        methods=["zero_shot", ",".join([name, f"clip={tmp_path}/absent", *(f"{k}={v}" for k, v in options.items())])],
        models=[{"model": "sepm_llava", "args": {"pretrained": "demo"}}],
    )
    (problem,) = look(plan, ["emotion_demo"], tmp_path).problems()
    assert "\n" not in problem
    assert f"clip={tmp_path}/absent: no checkpoint" in problem


def test_a_damaged_paired_clip(tmp_path):
    (tmp_path / "config.json").write_text("[]")
    settings = loading.read_settings("sepm_llava", "llava", DEMO)
    with pytest.raises(ValueError, match=f"^clip={tmp_path}: .*holds a JSON list"):
        settings.load(get_method("cdpruner", clip=str(tmp_path)))


@pytest.mark.parametrize(
    ("backbone", "folder", "name", "lacks"),
    [
        ("vila", "vila15_tiny/checkpoint", "fastervlm", "class_token"),
        ("hf", "hf_families/qwen3_5", "fastv", "prune"),
        ("hf", "hf_families/qwen2_5_vl", "cdpruner", "tower"),
    ],
)
def test_pairs_that_do_not_go_together(backbone, folder, name, lacks):
    settings = loading.read_settings(f"sepm_{backbone}", backbone, {"pretrained": str(ORACLES / folder)})
    with pytest.raises(ValueError, match=rf"needs a model that supports {lacks} \(.*choose another method"):
        settings.load(get_method(name))

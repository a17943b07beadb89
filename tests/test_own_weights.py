"""Weights that a method loads besides the model's are part of what tells runs apart."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from conftest import ORACLES
from make_runs import LLAVA, run
from PIL import Image

from sepm_eval import get_method, load_backbone, prompts
from sepm_eval.backbone.checkpoints import checkpoint_revision
from sepm_eval.emotions import MIKELS
from sepm_eval.hosts import loading
from sepm_eval.hosts.lmms_eval.folder import Part
from sepm_eval.hosts.lmms_eval.run import PlanResult, _ModelRun
from sepm_eval.methods.needs import other_weights
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.identity import differences, from_json
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.plan import ModelPlan, Plan
from sepm_eval.runs.preflight import Findings, look
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner

DATE = "20261101_120000"
TINY = str(ORACLES / "llava15_tiny" / "hf")
TINY_PLAN = ModelPlan(model="sepm_llava", args={"pretrained": TINY})
QUESTION = prompts.fine(zip(prompts.letters(8), MIKELS.values(), strict=True), prompts.WORDINGS["paper"])


@pytest.fixture
def clip(tmp_path):
    """A folder with the CLIP of the tiny model's tower."""
    shutil.copytree(ORACLES / "cdpruner" / "clip_n16", tmp_path / "clip")
    return tmp_path / "clip"


def change(folder):
    """Other contents of a file that loading reads, under the same name."""
    path = folder / "config.json"
    path.write_text(path.read_text() + "\n")


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("llava", TINY, device="cpu")


def test_which_methods_load_some(clip):
    assert other_weights(get_method("zero_shot")) == other_weights(get_method("sepm", select="divprune")) == {}
    known = {"clip": checkpoint_revision(str(clip))}
    assert other_weights(get_method("cdpruner", clip=str(clip))) == known
    assert other_weights(get_method("sepm", select="cdpruner", clip=str(clip))) == known
    assert set(other_weights(get_method("sepm", select="cdpruner"))) == {"clip"}


def test_an_answer_of_other_weights_is_not_reused(clip, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 1)

    def answer():
        method = get_method("cdpruner", clip=str(clip))
        runner = Runner("llava", tiny, "cdpruner", method, journal_path=tmp_path / "journal.jsonl")
        picture = Image.new("RGB", (56, 56), (9, 80, 200))
        runner.answer([Asked("task", 0, lambda: (QUESTION, [picture]), 8)], quiet=True)
        runner.journal.close()
        return runner.identity

    first = answer()
    assert answer().digest == first.digest
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record["method"]["weights"] == first.weights == {"clip": checkpoint_revision(str(clip))}
    change(clip)
    other = answer()
    assert differences([first, other]) == ["weights.clip"]
    assert first.of_model.digest == other.of_model.digest
    assert len({record["key"] for record in read_journal(tmp_path / "journal.jsonl")}) == 2
    told = json.loads(json.dumps(other.as_json()))
    assert from_json(told).digest == other.digest
    with pytest.raises(ValueError, match="was changed by hand"):
        from_json({**told, "weights": dict(first.weights)})
    with pytest.raises(ValueError, match="was changed by hand"):
        from_json({key: value for key, value in told.items() if key != "weights"})


def test_what_vlmevalkit_compares_before_it_loads(clip):
    given = {"pretrained": TINY, "device": "cpu", "clip": str(clip)}
    found = [loading.expected_identity("entry", (), "llava", "cdpruner", given)[0]]
    change(clip)
    found.append(loading.expected_identity("entry", (), "llava", "cdpruner", given)[0])
    assert differences(found) == ["weights.clip"]


def test_a_method_without_weights_of_its_own_says_nothing_of_them(tiny, tmp_path):
    runner = Runner("llava", tiny, "zero_shot", get_method("zero_shot"), journal_path=tmp_path / "journal.jsonl")
    runner.journal.close()
    assert "weights" not in runner.identity.as_json()
    assert dataclasses.replace(runner.identity, weights={"clip": "a"}).digest != runner.identity.digest


def test_a_report_tells_them_apart(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "cdpruner", "emoset", 0.5, DATE, weights={"clip": "files-one"})
    (alone,) = read_runs([tmp_path])
    assert alone.variant == "cdpruner"
    run(tmp_path, "sepm_llava", LLAVA, "cdpruner", "emoset", 0.9, DATE, place="two", weights={"clip": "files-two"})
    run(tmp_path, "sepm_llava", LLAVA, "cdpruner,budget=64", "emoset", 0.9, DATE, weights={"clip": "files-two"})
    variants = {run.variant for run in read_runs([tmp_path])}
    assert variants == {"cdpruner (clip at files-one)", "cdpruner (clip at files-two)", "cdpruner (budget=64)"}


def test_a_plan_answers_again_with_other_weights(clip, tmp_path):
    plan = Plan(
        tasks=["emoset"],
        methods=["zero_shot", f"cdpruner,clip={clip}"],
        models=[{"model": "sepm_llava", "args": {"pretrained": LLAVA}}],
    )
    now = other_weights(get_method("cdpruner", clip=str(clip)))
    found = look(plan.model_copy(update={"models": [TINY_PLAN]}), ["emoset"], tmp_path)
    assert found.weights == {"zero_shot": {}, f"cdpruner,clip={clip}": now}
    for place, weights in (("former", {"clip": "files-0"}), ("same", now)):
        run(tmp_path, "sepm_llava", LLAVA, f"cdpruner,clip={clip}", "emoset", 0.5, DATE, place=place, weights=weights)
        part = Part(plan.models[0], f"cdpruner,clip={clip}", "emoset", tmp_path / place, None)
        findings = Findings(weights=found.weights)
        _, flaw = _ModelRun(plan, plan.models[0], {}, findings, None, PlanResult(), None)._look_at(part)
        told = f"it was answered with {{'clip': 'files-0'}}, which is now {now}"
        assert (flaw == told) == (place == "former")

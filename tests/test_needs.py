"""What a model supports and what a method needs are held against each other before weights are loaded."""

from __future__ import annotations

import dataclasses

import pytest

from sepm_eval import Question, get_method
from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.model_wrappers.vila import SUPPORTS


@pytest.mark.parametrize(
    ("name", "options", "needs"),
    [
        ("zero_shot", {}, set()),
        ("zero_shot_cot", {}, set()),
        ("sparsevlm", {}, {"prune"}),
        ("sepm", {}, {"probe", "keep"}),
        ("sepm", {"reuse": True}, {"probe", "keep", "reuse"}),
        ("sepm", {"vta": False}, set()),
        ("sepm", {"vta": False, "reuse": True}, {"reuse"}),
        ("query_drop", {}, {"probe", "keep"}),
        ("random_drop", {}, {"keep"}),
        ("random_drop", {"reuse": True}, {"keep", "reuse"}),
        ("downsample", {}, {"resize"}),
        ("downsample", {"beta": 0.0}, set()),
        ("divprune", {}, {"keep"}),
        ("uniform", {}, {"keep"}),
        ("random", {}, {"keep"}),
        ("fastervlm", {}, {"keep", "class_token"}),
        ("vispruner", {}, {"keep", "class_token", "tower"}),
        ("cdpruner", {}, {"keep", "tower"}),
        ("zero_shot_downsample", {}, {"resize"}),
        ("sepm", {"select": "divprune"}, {"keep"}),
        ("sepm", {"select": "vispruner", "reuse": True}, {"keep", "class_token", "tower", "reuse"}),
    ],
)
def test_a_method_needs_no_more_than_it_says(scripted, picture, name, options, needs):
    """A model that supports just that answers; one that lacks any of it is refused before it is asked anything."""
    method = get_method(name, **options)
    assert method.needs == needs
    backbone = scripted(lambda prompt: {"A": 1.0})
    backbone.supports = frozenset(needs)
    calls = []
    read, see = backbone.read, backbone.see
    backbone.read = lambda *args, **more: (
        calls.append({key for key, one in more.items() if one is not None}) or read(*args, **more)
    )
    shown = needs & {"class_token", "tower"}  # both are asked for by one word
    backbone.see = lambda images, side=1.0, tower=False: (
        calls.append(({"resize"} if side != 1 else set()) | (shown if tower else set())) or see(images, side, tower)
    )
    question = Question(picture, ("joy", "fear"))
    method.answer([question], backbone)
    assert {"reuse" if what in ("prefix", "shares") else what for what in set().union(*calls)} == needs
    for lacking in needs:
        backbone.supports = ABILITIES - {lacking}
        calls.clear()
        with pytest.raises(ValueError, match=rf"needs a model that supports {lacking} \(.*and scripted supports"):
            method.answer([question], backbone)
        assert not calls


@pytest.fixture
def weak(monkeypatch):
    """LLaVA as a model that reports no attention, known before it is loaded; loading fails."""

    def fail(*_, **__):
        raise AssertionError("weights were loaded")

    from sepm_eval import model_wrappers
    from sepm_eval.model_wrappers import llava

    asked = []
    weak = dataclasses.replace(
        llava.BACKBONES["llava"], supported=lambda *given: asked.append(given) or ABILITIES - {"probe"}
    )
    monkeypatch.setitem(llava.BACKBONES, "llava", weak)
    for module in ("sepm_eval.hosts.loading", "sepm_eval.model_wrappers"):  # the first imports from the second
        monkeypatch.setattr(f"{module}.load_backbone", fail)
    assert model_wrappers.supported("vila", None, {}) == SUPPORTS
    return asked


LACKS = r"needs a model that supports probe \(report attention\), and \w+ supports class_token, keep, .*, tower; choose"


def test_lmms_eval_says_so_before_weights_are_loaded(weak):
    from sepm_eval.hosts.lmms_eval.model import sepm_llava

    with pytest.raises(ValueError, match=LACKS):
        sepm_llava(pretrained="demo", positions="kept")
    assert weak == [("demo", {"positions": "kept"})]
    with pytest.raises(AssertionError, match="weights were loaded"):
        sepm_llava(pretrained="demo", method="zero_shot")


def test_a_plan_says_so_before_weights_are_loaded(weak, tmp_path):
    from types import SimpleNamespace

    from sepm_eval.hosts.lmms_eval.variants import load as load_variants
    from sepm_eval.runs.plan import Plan
    from sepm_eval.runs.preflight import look

    models = [{"model": "sepm_llava", "args": {"pretrained": "demo"}}]
    plan = Plan.model_validate({"tasks": ["emotion_demo"], "methods": ["zero_shot", "query_drop"], "models": models})
    (problem,) = look(plan, [], tmp_path).problems()
    assert problem.startswith("query_drop needs a model that supports probe (report attention), and sepm_llava ")
    assert "supports class_token, keep, prune" in problem
    with pytest.raises(ValueError, match=LACKS):
        load_variants(plan.models[0], [SimpleNamespace(method="query_drop")])
    fine = plan.model_copy(update={"methods": ("zero_shot", "random_drop")})
    assert not list(look(fine, [], tmp_path).problems())


def test_explain_says_so_before_weights_are_loaded(weak):
    from typer.testing import CliRunner

    from sepm_eval import demo
    from sepm_eval.cli import app

    picture = str(demo.PICTURES / "seen" / "awe_000.jpg")
    result = CliRunner().invoke(app, ["explain", picture, "--pretrained", "demo", "--device", "cpu"])
    assert result.exit_code == 1
    assert "needs a model that supports probe" in " ".join(result.output.split())

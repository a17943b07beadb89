"""Plans: their faults, those that are shipped, what they cost, and the bar over all of one."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from datetime import datetime, timezone

import pytest
import yaml
from test_run import PLAN, call
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.cli.run import duration
from sepm_eval.hosts.measuring import measure
from sepm_eval.methods import find_methods, method_options
from sepm_eval.model_wrappers import find_backbone, find_backbones
from sepm_eval.model_wrappers._vila import TEMPLATES
from sepm_eval.report import paper
from sepm_eval.report.proofs import NOISE_FLOOR
from sepm_eval.runs.identity import Identity
from sepm_eval.runs.plan import Plan, load_plan, method_key, parse_method, shipped_plans, slug, split_method
from sepm_eval.runs.pricing import price
from sepm_eval.runs.progress import PlanBar, progress
from sepm_eval.runs.results import Run, defaults_of


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": []}, "tasks: is empty; name at least one"),
        ({"tasks": ["emoset", "emoset"]}, "tasks ['emoset'] are named twice"),
        ({"methods": []}, "sepm_llava needs methods"),
        ({"methods": "sepm"}, "methods: found 'sepm'; write a list: [sepm]"),
        ({"models": ["llava"]}, "models.0: found 'llava'; write names with values, such as model: sepm_llava"),
        ({"methods": ["sepm,beta=2"]}, "beta=2: use a number"),
        ({"methods": ["magic"]}, "unknown method 'magic'"),
        ({"methods": ["sepm", "sepm"]}, "a method is named twice"),
        ({"colour": "red"}, "colour: there is no such setting; found 'red'"),
        ({"limit": 0}, "limit: found 0; it should be greater than or equal to 1"),
        ({"models": [{"model": "llava_hf", "methods": ["sepm"]}]}, "llava_hf is not one of our models"),
        ({"models": [{"model": "sepm_llava", "args": {"method": "sepm"}}]}, "must not hold ['method']"),
    ],
)
def test_faults_of_a_plan_are_named(tmp_path, change, message):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, **change}))
    with pytest.raises(ValueError, match=re.escape(message)):
        load_plan(str(tmp_path / "plan.yaml"))


def test_a_plan_that_is_not_there_or_not_yaml(tmp_path):
    with pytest.raises(ValueError, match=r"one that ships with the package: .*table1"):
        load_plan("table9")
    (tmp_path / "plan.yaml").write_text("{")
    with pytest.raises(ValueError, match="is not YAML"):
        load_plan(str(tmp_path / "plan.yaml"))


def test_a_limit_beyond_reason_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    call("run", tmp_path / "plan.yaml", "--out", tmp_path / "out", "--limit", 10**20, code=2)
    assert not (tmp_path / "out").exists()
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "limit": 10**20}))
    with pytest.raises(ValueError, match=r"limit: found 1.*; it should be less than or equal to"):
        load_plan(str(tmp_path / "plan.yaml"))


def test_unknown_tasks_are_named(tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "tasks": ["emosett"]}))
    output = call("run", tmp_path / "plan.yaml", "--out", tmp_path / "out", code=1)
    assert "no task 'emosett'; the image-emotion tasks are" in output


@pytest.mark.parametrize("name", sorted(shipped_plans()))
def test_shipped_plans_are_valid(name):
    plan = load_plan(name)
    for model in plan.models:
        for method in plan.methods_of(model):
            assert set(split_method(method)[1]) <= set(method_options(split_method(method)[0]))


@pytest.mark.parametrize("table", paper.TABLES, ids=lambda table: table.name)
def test_the_plans_cover_the_papers_tables(table):
    """Every figure of a table has a run in the plan of its name, and every run of the plan a figure."""
    plan = load_plan(table.name.lower().replace(" ", "").replace(",", "_"))
    wanted = {
        (model, row.label, task) for row in table.rows for model, figures in row.accuracy.items() for task in figures
    }
    covered = set()
    for model in plan.models:
        for text in plan.methods_of(model):
            method, _ = split_method(text)
            options = dataclasses.asdict(parse_method(text))
            for task in plan.tasks:
                identity = Identity(model.model, str(model.args["pretrained"]), method=method, options=options)
                now = datetime.now(timezone.utc)
                run = Run(identity, task, "", (), 0, 0, now, defaults=defaults_of(method))
                (row,) = [row for row in table.rows if row.is_that_of(run)]
                covered.add((table.paper.model_of(run), row.label, task))
    assert covered == wanted


def test_the_plan_of_pruning_has_every_method_under_every_budget():
    wanted = {"zero_shot", "sepm"}
    for name in find_methods():
        for budget in (192, 128, 64) if "budget" in method_options(name) else ():
            text = f"{name},budget={budget}"
            if (name, budget) in (("pyramiddrop", 128), ("pyramiddrop", 64)):
                with pytest.raises(ValueError, match="averages more than 144 of 576"):
                    parse_method(text)
            else:
                wanted.add(text)
    assert set(load_plan("pruning").methods) == wanted


def test_the_plan_of_controls_has_them_all():
    assert {split_method(text)[0] for text in load_plan("controls").methods} == {"zero_shot", *NOISE_FLOOR}


def test_dry_run_prices_a_plan_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    output = call("run", "table1", "--dry-run")
    assert "Nothing was run" in output
    assert not list(tmp_path.iterdir())
    rows = {(row.task, row.method): row for row in price(load_plan("demo"))}
    plain, sepm = rows["emotion_demo", "zero_shot"], rows["emotion_demo", "sepm,beta=0.2"]
    assert plain.questions == 512
    assert plain.tokens < sepm.tokens < 2.5 * plain.tokens
    assert plain.flops < sepm.flops < 2 * plain.flops


def test_a_dry_run_can_measure(tmp_path, monkeypatch):
    """It asks a few questions, says what the whole plan takes, and leaves nothing behind."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    stock = {"model": "llava_hf", "args": {"pretrained": "demo"}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "models": [*PLAN["models"], stock]}))
    said = call("run", "plan.yaml", "--dry-run", "--measure", 3).replace(" │ ", " ")
    assert re.search(r"sepm_llava demo emotion_demo 9 [\d.e-]+ [\d.]+ (s|min)", said)
    assert re.search(r"about [\d.]+ (s|min) on this device \(CPU .*\), \d+\.\d GB", said)
    assert "not measured: sepm_llava demo, emoset: emoset: " in said
    assert "not measured: llava_hf, emotion_demo: not one of our models" in said
    assert {path.name for path in tmp_path.iterdir()} == {"plan.yaml"}
    assert "--measure goes with --dry-run" in call("run", "plan.yaml", "--measure", 3, code=1)


def test_what_is_measured_is_whole_batches_after_a_warm_up(monkeypatch):
    asked = []

    def watch(runners, questions, **_):
        asked.append((len(runners), len(questions)))
        return [[""] * len(questions)] * len(runners)

    monkeypatch.setattr("sepm_eval.hosts.measuring.answer_variants", watch)
    plan = Plan.model_validate({**PLAN, "tasks": ["emotion_demo"], "limit": None})
    (row,) = measure(plan, 1)
    assert asked == [(2, 4), (2, 4)]
    assert row.questions == 512
    list(measure(plan, 6))
    assert asked[2:] == [(2, 4), (2, 6)]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.04 s"), (42, "42 s"), (100, "1.7 min"), (11_000, "3.1 h"), (900_000, "10 d")]
)
def test_a_duration_is_said_as_exactly_as_it_is_known(seconds, said):
    assert duration(seconds) == said


def test_one_bar_counts_the_whole_plan(capsys):
    bar = PlanBar()
    bar.expect(20)
    bar.expect(-10)  # a task that is done already
    bar.name("sepm_llava, emoset")
    with progress(4, "not shown", False, bar) as show:
        show(2, "acc 50.0%")
        show(4, "acc 75.0%")
    bar.close()
    said = capsys.readouterr().err
    assert "sepm_llava, emoset:  40%" in said
    assert "4/10 questions" in said
    assert "acc 75.0%" in said
    assert "not shown" not in said
    PlanBar(quiet=True).advance(1)
    assert not capsys.readouterr().err


def test_the_plan_of_dans_table_is_priced_as_far_as_it_can_be(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    output = call("run", "dan_table1", "--dry-run")
    assert "Nothing was run" in output
    rows = price(load_plan("dan_table1"))
    assert len(rows) == 4 * 5 * 4
    assert {row.model.split()[0] for row in rows} == {"sepm_hf"}


def test_slugs_tell_methods_apart():
    assert slug("sepm,beta=0.1") == "sepm_beta-0.1"
    assert len({method_key(text) for text in load_plan("figure3").methods}) == len(load_plan("figure3").methods)


ARGUMENTS = "sepm_llava takes pretrained, device, dtype, polarity; its backbone takes image_aspect_ratio, positions, "


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("model", "args", "said"),
    [
        ("sepm_llava", {"pretraind": "demo"}, f"args of sepm_llava: unknown model args ['pretraind']: {ARGUMENTS}"),
        ("sepm_llava", {"foo": 1}, f"args of sepm_llava: unknown model args ['foo']: {ARGUMENTS}"),
        ("sepm_llava", {"image_aspect_ratio": "padd"}, "image_aspect_ratio='padd': use one of pad, crop"),
        ("sepm_hf", {"positions": "open"}, "args of sepm_hf: positions='open': use one of auto, kept, closed"),
        ("sepm_vila", {"template": "may"}, "template='may': use one of auto, may2024, aug2024, vicuna_v1"),
        ("sepm_llava", {"load_in_4bit": "perhaps"}, "load_in_4bit=perhaps: give True or False"),
        ("sepm_lava", {}, "model: sepm_lava: there is no such model; our models are sepm_hf, sepm_llava, sepm_vila"),
    ],
)
def test_mistakes_in_the_arguments_of_a_model_are_found_when_the_plan_is_read(tmp_path, model, args, said, more):
    """--dry-run priced the default model, and a run may have begun to fetch it."""
    content = {"tasks": ["emotion_demo"], "methods": ["zero_shot"], "models": [{"model": model, "args": args}]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    result = CliRunner().invoke(app, ["run", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out"), *more])
    assert result.exit_code == 1
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_every_choice_of_an_option_is_one_that_its_loader_takes():
    for name, architecture in find_backbones():
        assert not isinstance(architecture, ValueError)
        for option, allowed in architecture.choices.items():
            assert architecture.options()[option] in allowed, name
    assert set(find_backbone("vila").choices["template"]) == {"auto", *TEMPLATES}


def test_a_dry_run_needs_no_torch():
    """It takes a second, and torch would take several."""
    code = "import sys; from sepm_eval.cli import app; app(['run', 'demo', '--dry-run'], standalone_mode=False)"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.stdout.endswith("\nFalse\n"), told

"""A backbone is one file: found by being there, or by an entry point of another package, and then known everywhere."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sepm_eval import demo, load_backbone, model_wrappers
from sepm_eval.backbone.architecture import Architecture
from sepm_eval.cli import app
from sepm_eval.hosts.lmms_eval import model as lmms_eval_model
from sepm_eval.hosts.lmms_eval.folder import parts
from sepm_eval.hosts.lmms_eval.plugin import manifests
from sepm_eval.hosts.lmms_eval.variants import load as load_variants
from sepm_eval.hosts.loading import read_settings
from sepm_eval.hosts.vlmevalkit.arguments import BadArguments, checkpoints, model_entries
from sepm_eval.model_wrappers import (
    backbone_names,
    backbone_options,
    default_checkpoint,
    find_backbone,
    find_backbones,
    known_checkpoint,
    option_defaults,
)
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.plan import Plan

# What another package ships is one file, the one that CONTRIBUTING.md shows.
RECIPES = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
(FILE,) = (
    textwrap.dedent(block)
    for block in re.findall(r"^ *```python\n(.*?)^ *```$", RECIPES, flags=re.DOTALL | re.MULTILINE)
    if "BACKBONES = " in block
)


def package(folder: Path, name: str, points: dict[str, str], file: str = FILE) -> None:
    """A package as pip leaves it: a module and its metadata, with entry points for backbones."""
    (folder / f"{name}.py").write_text(file)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{backbone} = {value}" for backbone, value in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[sepm_eval.backbones]", *lines]) + "\n")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder of installed packages, with one that adds the backbones "outside" and "plain"."""
    folder = tmp_path / "site"
    folder.mkdir()
    package(folder, "outsiders", {"outside": "outsiders:CENTRED", "plain": "outsiders:load"})
    monkeypatch.syspath_prepend(folder)
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


def call(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return " ".join(result.output.split())


def plan_of(tmp_path, **model) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"tasks": ["emotion_demo"], "methods": ["sepm"], "models": [model]}))
    return path


# What is known without loading


def test_names_defaults_and_options_are_known_without_torch():
    code = """
import sys
from sepm_eval.model_wrappers import (
    backbone_names, backbone_options, default_checkpoint, find_backbones, known_checkpoint, option_defaults
)
assert default_checkpoint("llava") == "llava-hf/llava-1.5-7b-hf"
assert default_checkpoint("vila") == "Efficient-Large-Model/Llama-3-VILA1.5-8B"
for name in backbone_names():
    assert backbone_options(name) == list(option_defaults(name))
assert known_checkpoint("llava-hf/llava-1.5-7b-hf").geometry.visual_tokens() == 576
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_every_file_of_the_folder_is_a_backbone_of_its_name():
    folder = Path(model_wrappers.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert {"llava", "vila"} <= files
    assert files == set(backbone_names())
    assert all(isinstance(found, Architecture) for _, found in find_backbones())


@pytest.mark.parametrize(
    ("named", "entry"),
    [
        ("llava-hf/llava-1.5-7b-hf", "llava_v1.5_7b"),
        ("liuhaotian/llava-v1.5-13b", "llava_v1.5_13b"),
        ("/checkpoints/LLaVA-v1.5-7B", "llava_v1.5_7b"),
        ("demo", "demo"),
        ("Efficient-Large-Model/Llama-3-VILA1.5-8B", "llama3_vila1.5_8b"),
        ("/checkpoints/Llama-3-VILA1.5-8B-Fix", "llama3_vila1.5_8b_fix"),
        ("Efficient-Large-Model/VILA1.5-3b", "vila1.5_3b"),
        ("Qwen/Qwen3-VL-235B-A22B-Instruct", None),
    ],
)
def test_a_checkpoint_is_recognised_by_its_name(named, entry):
    known = known_checkpoint(named)
    assert (None if known is None else known.entry) == entry


def test_a_usual_checkpoint_is_a_known_one():
    for name in ("llava", "vila"):
        assert default_checkpoint(name) in [known.pretrained for known in find_backbone(name).checkpoints]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ("not a function", "load is str, not a function"),
        (lambda pretrained="x", device="auto": None, "its load does not take ['dtype']"),
        (lambda pretrained, device, dtype, size: None, "its load has no defaults for its options ['size']"),
    ],
)
def test_a_load_that_cannot_be_called_is_refused_when_it_is_declared(load, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Architecture(load)


def test_an_architecture_without_a_usual_checkpoint(monkeypatch):
    bare = Architecture(lambda pretrained, *, device="auto", dtype="auto", **more: None)
    assert (bare.options(), bare.default_checkpoint(), bare.known("demo")) == ({}, None, None)
    monkeypatch.setattr(model_wrappers, "find_backbone", lambda name: bare)
    with pytest.raises(ValueError, match="backbone 'bare' has no usual checkpoint: give pretrained="):
        load_backbone("bare")


def test_a_file_in_the_folder_is_all_it_takes(tmp_path, monkeypatch):
    (tmp_path / "centred.py").write_text(FILE)
    (tmp_path / "_not_one.py").write_text("")
    monkeypatch.setattr(model_wrappers, "__path__", [*model_wrappers.__path__, str(tmp_path)])
    assert "centred" in backbone_names()
    assert "_not_one" not in backbone_names()
    assert load_backbone("centred", device="cpu").settings["image_aspect_ratio"] == "pad"
    monkeypatch.delitem(sys.modules, "sepm_eval.model_wrappers.centred")


# A backbone of another package


def test_another_package_adds_a_backbone(outside):
    assert backbone_names()[-2:] == ["outside", "plain"]
    assert "outsiders" not in sys.modules, "names need no import"
    assert (default_checkpoint("outside"), option_defaults("plain")) == ("demo", {"crop": False})
    assert backbone_options("outside") == ["crop"]
    backbone = load_backbone("outside", device="cpu", crop=True)
    assert (backbone.name, backbone.settings["image_aspect_ratio"]) == ("demo", "crop")


def test_a_dry_run_prices_it(outside, tmp_path):
    said = call("run", plan_of(tmp_path, model="sepm_outside", args={"crop": True}), "--dry-run")
    assert "sepm_outside demo" in said
    assert "?" not in said.partition("Nothing was run")[0]
    said = call("run", plan_of(tmp_path, model="sepm_plain"), "--dry-run")
    assert "?" in said.partition("Nothing was run")[0], "a plain load has no shapes"


def test_a_plan_runs_with_it(outside, tmp_path):
    plan = plan_of(tmp_path, model="sepm_outside", args={"device": "cpu", "crop": "true"})
    assert "complete" in call("run", plan, "--out", tmp_path / "out", "--limit", 2)
    assert "sepm_outside" in next((tmp_path / "out").rglob("*_results.json")).read_text()
    (journal,) = (tmp_path / "out" / "journals").glob("*.jsonl")
    assert {record["model"]["image_aspect_ratio"] for record in read_journal(journal)} == {"crop"}


def test_lmms_eval_has_it(outside):
    assert {"sepm_llava", "sepm_vila", "sepm_outside", "sepm_plain"} <= {one.model_id for one in manifests()}
    assert lmms_eval_model.sepm_outside.backbone_name == "outside"


def test_vlmevalkit_has_it(outside):
    entries = model_entries()
    assert entries["sepm_centred_demo"] == {"backbone": "outside", "pretrained": "demo", "method": "sepm"}
    assert entries["zero_shot_plain"] == {"backbone": "plain", "pretrained": "demo", "method": "zero_shot"}


def test_explain_takes_it(outside, tmp_path):
    picture = demo.PICTURES / "seen" / "awe_000.jpg"
    arguments = ["--model", "outside", "--device", "cpu", "--out", tmp_path / "dropped.png"]
    assert "stage 1:" in call("explain", picture, *arguments)


def test_doctor_names_it(outside, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, ["doctor"])
    said = " ".join(result.output.split())
    assert "backbone outside" in said
    assert "from outsiders:CENTRED (outsiders 1.0)" in said
    assert "sepm_outside, sepm_plain" in said


# Packages that do not work


def test_a_broken_package_is_named_and_breaks_no_other(outside, monkeypatch, caplog):
    package(outside, "broken", {"wrong": "broken:load"}, "import no_such_package\n")
    monkeypatch.syspath_prepend(outside.parent)  # what is installed is looked up again
    with pytest.raises(
        ValueError, match=r"backbone 'wrong' cannot be used from broken:load \(broken 1\.0\): .*no_such"
    ):
        load_backbone("wrong", "demo")
    assert load_backbone("outside", device="cpu").name == "demo"
    assert {"sepm_wrong", "sepm_outside", "sepm_llava"} <= {one.model_id for one in manifests()}
    assert "centred_demo" in checkpoints()
    assert "VLMEvalKit has no models of the backbone wrong: " in caplog.text
    assert known_checkpoint("llava-1.5-7b").entry == "llava_v1.5_7b"
    monkeypatch.setenv("COLUMNS", "300")
    assert "backbone 'wrong' cannot be used from broken:load" in call("doctor", code=1)


def test_what_is_no_backbone_is_named(outside, monkeypatch):
    package(outside, "odd", {"number": "odd:ONE"}, "ONE = 1\n")
    monkeypatch.syspath_prepend(outside.parent)
    with pytest.raises(
        ValueError, match=r"'number' cannot be used from odd:ONE \(odd 1\.0\): .*load is int, not a func"
    ):
        find_backbone("number")


def test_two_of_one_name_are_an_error_that_names_both(outside, monkeypatch):
    package(outside, "second", {"outside": "second:CENTRED", "vila": "second:CENTRED"})
    monkeypatch.syspath_prepend(outside.parent)
    for name, both in (
        ("outside", {"outsiders:CENTRED (outsiders 1.0)", "second:CENTRED (second 1.0)"}),
        ("vila", {"sepm_eval.model_wrappers.vila", "second:CENTRED (second 1.0)"}),
    ):
        with pytest.raises(ValueError, match=f"two backbones are called '{name}'") as raised:
            find_backbone(name)
        assert all(home in str(raised.value) for home in both)
    assert backbone_names().count("vila") == 1
    assert isinstance(find_backbone("llava"), Architecture)


def test_two_checkpoints_of_one_entry_are_an_error_that_names_both(outside, monkeypatch):
    changed = FILE.replace('entry="centred_demo"', 'entry="llava_v1.5_7b"')
    package(outside, "same", {"same": "same:CENTRED"}, changed)
    monkeypatch.syspath_prepend(outside.parent)
    with pytest.raises(BadArguments, match=r"two backbones, llava and same, call a checkpoint 'llava_v1\.5_7b'"):
        model_entries()


# Settings


def test_settings_are_the_same_as_text_and_as_values(outside):
    for crop in (True, "True", "true", 1):
        assert read_settings("sepm_outside", "outside", {"crop": crop}).options == {"crop": True}
    settings = read_settings("sepm_outside", "outside", {"pretrained": 7, "polarity": "surprise:negative"})
    assert dataclasses.astuple(settings) == ("outside", "7", "auto", "auto", {"surprise": "negative"}, {})


def test_numbers_and_text_are_converted_to_the_default_s_type(monkeypatch):
    load = lambda pretrained="x", device="", dtype="", *, tiles=4, share=0.5, name="a", other=None: None  # noqa: E731
    monkeypatch.setattr("sepm_eval.hosts.loading.find_backbone", lambda _: Architecture(load))
    monkeypatch.setattr("sepm_eval.hosts.loading.default_checkpoint", lambda _: "x")
    given = {"tiles": "8", "share": "0.25", "name": 5, "other": 3}
    assert read_settings("sepm_x", "x", given).options == {"tiles": 8, "share": 0.25, "name": "5", "other": 3}
    assert read_settings("sepm_x", "x", {"share": 1}).options == {"share": 1.0}
    for wrong, said in (
        ({"tiles": "many"}, "tiles=many: give a whole number, such as 4"),
        ({"tiles": True}, "tiles=True: give a whole number"),
        ({"share": "half"}, "share=half: give a number, such as 0.5"),
        ({"name": False}, "name=False: give text, such as a"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            read_settings("sepm_x", "x", wrong)


@pytest.mark.parametrize(("backbone", "option"), [("llava", "image_aspect_ratio"), ("vila", "template")])
def test_an_unknown_setting_is_told_what_this_backbone_takes(backbone, option):
    entry = f"sepm_{backbone}"
    with pytest.raises(ValueError, match=f"unknown model args .'tempalte'.: {entry} takes pretrained") as raised:
        read_settings(entry, backbone, {"tempalte": "x"})
    assert str(raised.value).endswith(f"; its backbone takes {', '.join(backbone_options(backbone))}")
    assert option in str(raised.value)


def test_a_plan_s_model_says_the_same(tmp_path):
    model = {"model": "sepm_vila", "args": {"image_aspect_ratio": "pad"}}
    plan = Plan.model_validate({"tasks": ["emotion_demo"], "methods": ["sepm"], "models": [model]})
    ((_, work),) = parts(plan, plan.models[0], plan.tasks, tmp_path).items()
    with pytest.raises(ValueError, match=r"unknown model args .'image_aspect_ratio'.: sepm_vila takes .* template"):
        load_variants(plan.models[0], work)

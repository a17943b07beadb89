"""A method of one's own is one file: in the folder, or in another package. The file is the one in the documentation."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from make_runs import LLAVA, run
from PIL import Image
from typer.testing import CliRunner

from sepm_eval import Question, demo, get_method, methods
from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts.vlmevalkit.arguments import model_entries
from sepm_eval.methods import find_method, find_methods, method_names, method_options
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.plan import Plan, parse_method
from sepm_eval.runs.pricing import price
from sepm_eval.runs.results import defaults_of, read_runs
from sepm_eval.runs.runner import Asked, Runner

RECIPE = Path(__file__).parent.parent / "CONTRIBUTING.md"
LOUD = "hinted,times=2,tone=loud"


@pytest.fixture(scope="module")
def source() -> str:
    """The file of a method that CONTRIBUTING.md shows."""
    told = RECIPE.read_text(encoding="utf-8")
    return re.search(r'```python\n("""Zero-shot with a hint.*?)```', told, re.DOTALL)[1]


def install(folder: Path, package: str, source: str, entries: dict[str, str]) -> None:
    """What pip leaves behind of a package with one module and these entry points."""
    (folder / f"{package}.py").write_text(source)
    about = folder / f"{package}-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
    lines = [f"{name} = {package}:{thing}" for name, thing in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(["[sepm_eval.methods]", *lines, ""]))


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Installs packages with methods where Python finds them, and takes them away again."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def add(package: str, source: str, **entries: str) -> Path:
        install(folder, package, source, entries)
        return folder

    yield add
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture(params=["in the folder", "in another package"])
def hinted(request, source, outside, tmp_path, monkeypatch):
    """The method of the documentation, added in either way."""
    if request.param == "in another package":
        outside("its_package", source, hinted="Hinted")
        yield
        return
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "hinted.py").write_text(source)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "own")])
    monkeypatch.delitem(sys.modules, "sepm_eval.methods.hinted", raising=False)
    yield
    sys.modules.pop("sepm_eval.methods.hinted", None)


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


def test_it_is_found_and_its_options_are_checked(hinted, scripted):
    assert "hinted" in method_names()
    assert method_options("hinted") == ["times", "tone"]
    method = parse_method(LOUD)
    assert dataclasses.asdict(method) == {"times": 2, "tone": "loud"}
    with pytest.raises(ValueError, match=r"^times=0: use a whole number from 1 to 9$"):
        parse_method("hinted,times=0")
    with pytest.raises(ValueError, match=r"^times='abc': use a whole number from 1 to 9; tone='shrill': use one of \["):
        parse_method("hinted,times=abc,tone=shrill")
    question = Question(Image.new("RGB", (9, 9)), ("joy", "fear"))
    backbone = scripted(lambda prompt: {"B": 1.0})
    (answer,) = method.answer([question], backbone)
    assert answer.label == "fear"
    assert backbone.asked[0].startswith("LOOK AT THE FACES.\nLOOK AT THE FACES.\nWhich of")


def test_a_plan_prices_it_and_vlmevalkit_has_it(hinted, tmp_path):
    chosen = Plan(tasks=("emotion_demo",), methods=("zero_shot", LOUD), models=({"model": "sepm_llava"},))
    plain, ours = price(chosen)
    assert plain.tokens < ours.tokens < plain.tokens + 30
    assert ours.flops > plain.flops
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"tasks": ["emotion_demo"], "methods": [LOUD], "models": PLAN}))
    assert re.search(rf"emotion_demo │ {LOUD} │ 512 │ \d", call("run", tmp_path / "plan.yaml", "--dry-run"))
    assert model_entries()["hinted_demo"]["method"] == "hinted"


PLAN = [{"model": "sepm_llava", "args": {"pretrained": "demo", "device": "cpu"}, "batch_size": 4}]


def test_a_run_a_report_an_explanation_and_a_submission(hinted, demo_backbone, tmp_path):
    runner = Runner("llava", demo_backbone, "hinted", parse_method(LOUD), journal_path=tmp_path / "journal.jsonl")
    question = find_benchmarks()["emotion_demo"].question()
    asked = Asked("task", 0, load=lambda: (question, [Image.new("RGB", (9, 9))]), max_new_tokens=8)
    texts = runner.answer([asked], quiet=True)
    runner.journal.close()
    (record,) = read_journal(tmp_path / "journal.jsonl")
    assert record["method"] == {"name": "hinted", "times": 2, "tone": "loud"}
    assert record["text"] == texts[0]
    assert record["label"]
    for written, skill in ((LOUD, 0.6), ("hinted", 0.5), ("sepm", 0.7)):
        run(tmp_path / "runs", "sepm_llava", LLAVA, written, "emoset", skill, "20261101_120000")
    assert [one.variant for one in read_runs([tmp_path / "runs"])] == ["sepm", "hinted", "hinted (times=2, tone=loud)"]
    call("report", tmp_path / "runs", "--out", tmp_path / "report")
    assert "hinted (times=2, tone=loud)" in (tmp_path / "report" / "report.md").read_text()
    archive = ("--format", "every-eval-ever", "--organization", "o", "--out", tmp_path / "archive")
    call("submit", tmp_path / "runs", *archive)
    logs = [path.read_text() for path in (tmp_path / "archive").rglob("*.json")]
    assert sum('"loud"' in text or "tone=loud" in text for text in logs) == 1
    picture = demo.PICTURES / "seen" / "awe_000.jpg"
    told = ("--pretrained", "demo", "--method", LOUD, "--device", "cpu", "--out", tmp_path / "explained.png")
    assert "Amusement" in call("explain", picture, *told)


def test_an_installed_package_goes_through_the_real_command(outside, source, tmp_path):
    """Found by a process that knows nothing of this test, run through lmms-eval, resumed, and listed by doctor."""
    folder = outside("its_package", source, hinted="Hinted")
    plan = {"tasks": ["emotion_demo"], "methods": ["zero_shot", LOUD], "models": PLAN, "limit": 3}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    environment = {**os.environ, "PYTHONPATH": str(folder), "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sepm_eval", "run", "plan.yaml", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {one.variant: one for one in read_runs([tmp_path / "out"])}
    assert set(runs) == {"zero_shot", "hinted (times=2, tone=loud)"}
    assert len(runs["hinted (times=2, tone=loud)"].scored) == 3
    (journal,) = (tmp_path / "out" / "journals").glob("*hinted*.jsonl")
    assert json.loads(journal.read_text().splitlines()[0])["prompts"][0].startswith("LOOK AT THE FACES.")
    assert "method hinted │ ok │ from its_package" in call("doctor")


class Answering:
    """Makes a class of options a method."""

    def answer(self, questions, backbone):
        return []


BARE = """
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass as checked


class Answering:
    needs_polarities: ClassVar[bool] = False

    def answer(self, questions, backbone):
        return []


@dataclass(frozen=True)
class Bare(Answering):
    word: str = "x"


@dataclass(frozen=True)
class Needy(Answering):
    key: str


@checked(frozen=True)
class Checked(Answering):
    share: float = Field(default=0.5, ge=0, le=1)


@dataclass
class Thawed(Answering):
    word: str = "x"


@dataclass(frozen=True)
class Mute:
    word: str = "x"
"""


def test_a_method_without_work_has_no_price(outside, tmp_path):
    outside("bare", BARE, bare="Bare")
    chosen = Plan(tasks=("emotion_demo",), methods=("bare", "zero_shot"), models=({"model": "sepm_llava"},))
    unknown, known = price(chosen)
    assert (unknown.questions, unknown.tokens, unknown.flops) == (512, None, None)
    assert known.flops
    (tmp_path / "plan.yaml").write_text(
        yaml.safe_dump({"tasks": ["emotion_demo"], "methods": ["bare"], "models": PLAN})
    )
    assert "emotion_demo │ bare │ 512 │ ? │ ? │ ?" in call("run", tmp_path / "plan.yaml", "--dry-run")


def test_plain_and_pydantic_dataclasses_of_others_are_methods(outside):
    outside("bare", BARE, bare="Bare", checked="Checked", needy="Needy")
    assert get_method("bare", word="y").word == "y"
    with pytest.raises(ValueError, match=r"^share=2: use a number from 0 to 1$"):
        get_method("checked", share=2)
    with pytest.raises(ValueError, match=r"method 'needy' needs the options \['key'\]: write needy,key=value"):
        get_method("needy")
    assert defaults_of("needy") == {}
    assert defaults_of("bare") == {"word": "x"}


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        ("Thawed", r"method 'theirs' of bare:Thawed \(bare 1\.5\) is no method: it is no frozen dataclass"),
        ("Mute", r"is no method: it lacks answer and needs_polarities"),
        ("checked", r"is no method: it lacks answer and needs_polarities"),
        ("Gone", r"method 'theirs' cannot be loaded from bare:Gone \(bare 1\.5\): AttributeError: .*Gone"),
    ],
)
def test_what_is_no_method_is_refused_by_name(outside, thing, why):
    outside("bare", BARE, theirs=thing)
    with pytest.raises(ValueError, match=why):
        get_method("theirs")


def test_a_broken_package_breaks_only_its_own_methods(outside, tmp_path):
    outside("broken", "raise RuntimeError('no licence')", theirs="Theirs")
    assert get_method("sepm") == find_methods()["sepm"]()
    assert "theirs" in method_names()
    assert "broken" not in sys.modules  # nobody asked for it
    with pytest.raises(ValueError, match=r"from broken:Theirs \(broken 1\.5\): RuntimeError: no licence"):
        find_method("theirs")
    assert defaults_of("theirs") == {}  # a report on earlier runs goes on
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.7, "20261101_120000")
    call("report", tmp_path, "--out", tmp_path / "report")
    told = call("doctor", code=1)
    assert "method theirs │ broken │ method 'theirs' cannot be loaded" in told


def test_two_methods_of_one_name_are_refused_and_both_are_named(outside):
    outside("bare", BARE, sepm="Bare", twin="Bare")
    outside("other", BARE, twin="Bare")
    with pytest.raises(ValueError, match=r"'sepm': in sepm_eval\.methods\.sepm and in bare:Bare \(bare 1\.5\); unins"):
        get_method("sepm")
    with pytest.raises(ValueError, match=r"'twin': in bare:Bare \(bare 1\.5\) and in other:Bare \(other 1\.5\)"):
        get_method("twin")
    assert get_method("zero_shot")


def test_two_files_of_the_folder_that_name_one_method(tmp_path, monkeypatch, request):
    (tmp_path / "zzz_again.py").write_text("METHODS = {'sepm': int}")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    request.addfinalizer(lambda: sys.modules.pop("sepm_eval.methods.zzz_again", None))
    with pytest.raises(ValueError, match=r"'sepm': sepm_eval\.methods\.sepm and sepm_eval\.methods\.zzz_again"):
        find_methods()

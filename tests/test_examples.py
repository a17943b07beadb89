"""Every example that a document or a docstring shows is read, and what can run with the demo model is run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest
import typer
import yaml
from examples import COMMANDS, DOCUMENTS, ROOT, SOURCES, blocks, commands, mentions
from test_layout import ALLOWED, VOCABULARY

from sepm_eval import Question, demo, get_method, load_backbone
from sepm_eval.cli import app
from sepm_eval.runs.plan import Plan

PICTURE = demo.PICTURES / "seen" / "awe_000.jpg"
_TABLE = (ROOT / "README.md").read_text(encoding="utf-8").split("`--model_args` takes:")[1].split("\n\n")[1]
MODEL_ARGS = {name for line in _TABLE.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
OURS = [one for one in commands() if set(COMMANDS) & set(one.text.split()) or "sepm_eval" in one.text]


def _each(found):
    return pytest.mark.parametrize("example", found, ids=str)


def test_there_is_an_example_of_each_kind():
    """The reader of examples finds them: one that finds none would pass every test below."""
    assert {one.where.split(":")[0] for one in blocks("yaml")} >= {"docs/runs-and-reports.md", "sepm_eval/runs/plan.py"}
    assert {one.where.split(":")[0] for one in blocks("python")} >= {"README.md", "docs/api.md", "CONTRIBUTING.md"}
    assert blocks("json")
    assert len(OURS) > 20
    assert len(mentions()) > 10


# Where every docstring has been read through once; the other wings are read when they come to rest.
READ_THROUGH = (
    "types",
    "emotions",
    "prompts",
    "parsing",
    "scoring",
    "digests",
    "display",
    "answers/",
    "report/",
    "cli/",
)


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if str(p).removeprefix(f"{ROOT}/sepm_eval/").startswith(READ_THROUGH)]
)
def test_what_a_function_returns_stands_in_a_section(path):
    """Documentation generators keep "Returns:" and lose a sentence that starts with "Returns"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef) or not (text := ast.get_docstring(node)):
            continue
        assert not re.search(r"^\s*(Returns?|Yields) [^:]*$", text, re.MULTILINE), node.name
        returned = node.returns and ast.unparse(node.returns)
        if re.search(r"^Args:$", text, re.MULTILINE) and returned not in (None, "None", "NoReturn"):
            assert re.search(r"^(Returns|Yields):$", text, re.MULTILINE), node.name


@_each(blocks("yaml"))
def test_yaml_parses_and_a_plan_is_a_plan(example):
    content = yaml.safe_load(example.text)
    assert isinstance(content, dict)
    if "models" in content:
        Plan.model_validate(content)


@_each(blocks("json"))
def test_json_parses(example):
    assert json.loads(example.text)


@_each(blocks("python"))
def test_python_runs_with_the_demo_model(example, tmp_path, monkeypatch):
    shutil.copy(PICTURE, tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look their module up
    exec(compile(example.text, example.where, "exec"), vars(module))
    for method in getattr(module, "METHODS", {}).values():  # a recipe: what it defines must work as well
        question = Question(PICTURE, ("joy", "fear"))
        (answer,) = method().answer([question], load_backbone("llava", "demo", device="cpu"))
        assert "Look at the faces." in answer.prompts[0] or "hinted" not in module.METHODS


def _arguments(text: str) -> tuple[str, list[str]]:
    """The command and its arguments, of one that may stand behind settings of variables or a launcher."""
    words = shlex.split(text, comments=True)
    for at, word in enumerate(words):
        if word in COMMANDS:
            return word, words[at + 1 :]
        if word == "-m" and words[at + 1] in ("sepm_eval", "lmms_eval"):
            return words[at + 1].replace("_", "-"), words[at + 2 :]
    return "", []


def _check_ours(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    if arguments[0].startswith("-"):
        group.make_context("sepm-eval", arguments)
        return
    command = group.commands[arguments[0]]
    command.make_context(arguments[0], arguments[1:])


def _check_theirs(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from lmms_eval.__main__ import parse_eval_args

    monkeypatch.setattr("sys.argv", ["lmms-eval", *arguments])
    _, found = parse_eval_args()
    for task in found.tasks.split(","):
        assert (ROOT / "tasks" / f"{task}.yaml").is_file(), f"there is no task {task}"
    if found.model.startswith("sepm_"):
        chosen = dict(pair.split("=", 1) for pair in filter(None, str(found.model_args or "").split(",")))
        options = {key: yaml.safe_load(value) for key, value in chosen.items() if key not in MODEL_ARGS}
        get_method(chosen.get("method", "sepm"), **options)


@_each(OURS)
def test_a_command_line_is_one_that_can_be_typed(example, monkeypatch):
    command, arguments = _arguments(example.text)
    if command == "sepm-eval":
        _check_ours(arguments)
    elif command == "lmms-eval":
        _check_theirs(arguments, monkeypatch)
    else:
        assert "sepm_eval" not in example.text.split(), example.text


@_each(mentions())
def test_a_command_in_running_text_exists(example):
    _, name, *more = example.text.split()
    group = typer.main.get_command(app)
    known = {option for parameter in group.params for option in parameter.opts}
    if name.startswith("--"):
        assert name in known
        return
    assert name in group.commands
    if name != "vlmeval":
        known = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert {word.partition("=")[0] for word in more if word.startswith("--")} <= known


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_files_that_are_there(path: Path):
    """Links to files, and our own paths in backquotes; a table is not cut in two by a blank line."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#]+)", text):
        assert (path.parent / target).exists(), target
    made = (ROOT / ".gitignore").read_text(encoding="utf-8")
    for named in re.findall(r"`((?:sepm_eval|model_wrappers|tasks|tests|docs|benchmarks|demo)/[\w./-]+\w)`", text):
        assert (ROOT / named).exists() or f"/{named}/" in made, named
    assert not re.search(r"^\|.*\|\n\n+\|(?!.*\|\n\|-)", text, re.MULTILINE), "a blank line cuts a table"


def _table(document: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the table whose heading row starts so."""
    text = (ROOT / document).read_text(encoding="utf-8").split(f"| {heading} |")[1].split("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]


def test_architecture_has_a_row_for_every_wing_and_module():
    wings = {cells[0].strip("`/").removeprefix("sepm_eval/") for cells in _table("docs/architecture.md", "wing")}
    assert wings == {"vocabulary", "datasets/releases", *ALLOWED} - {"__main__"}
    modules = {Path(cells[0].strip("`")).stem for cells in _table("docs/architecture.md", "module")}
    assert modules == VOCABULARY


@pytest.mark.parametrize("cells", _table("docs/architecture.md", "before"), ids=lambda cells: cells[0][:40])
def test_what_moved_is_where_the_table_says(cells):
    old, new = (re.findall(r"`([\w.]+)`", cell) for cell in cells)
    assert all(find_spec(name) for name in new if name.startswith("sepm_eval."))
    if cells[1].startswith("in "):
        assert all(find_spec(f"{new[0]}.{name.rpartition('.')[2]}") for name in old)


@pytest.mark.parametrize("path", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda path: path.name)
def test_a_document_names_modules_that_are_there(path):
    text = path.read_text(encoding="utf-8").partition("## What moved since")[0]
    for name in re.findall(r"`(sepm_eval\.[\w.]+\w)", text):
        assert resolve_name(name) is not None  # an ImportError or AttributeError where it is not there

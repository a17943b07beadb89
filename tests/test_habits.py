"""What a project's habits promise: one version, a workflow that runs the two commands, CI that runs what is said."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from sepm_eval.cli import app

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def declared(field: str) -> str:
    found = re.search(rf'^{field} = "(.+)"$', read("pyproject.toml"), re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_version_has_one_place_and_a_row_in_the_changelog():
    assert version("sepm-eval") == declared("version")
    assert re.search(rf"^## {re.escape(declared('version'))}\b", read("CHANGELOG.md"), re.MULTILINE)
    lines = [line for path in (ROOT / "sepm_eval").rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert not [line for line in lines if f'"{declared("version")}"' in line and "SCHEMA" not in line.upper()]
    assert "version:" not in re.sub("cff-version:", "", read("CITATION.cff"))


def test_ci_is_said_of_nothing_that_ci_does_not_run():
    said = {target for line in read("docs/reliability.md").splitlines() if "in CI" in line for target in _makes(line)}
    assert said
    assert said <= set(_makes(read(".ci/run")))


def test_what_ci_is_said_to_be_is_what_it_runs():
    (told,) = [part for part in read("docs/reliability.md").split("\n\n") if part.startswith("CI is the script")]
    assert set(_makes(told)) <= set(_makes(read(".ci/run")))


def _makes(text: str) -> list[str]:
    return re.findall(r"\bmake ([\w-]+)", text)


def test_the_workflow_runs_the_two_commands_on_every_python():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make demo", "make test"]
    versions = job["strategy"]["matrix"]["python"]
    assert all(isinstance(one, str) for one in versions)  # 3.10 as a number is 3.1
    allowed = SpecifierSet(declared("requires-python"))
    assert versions == [f"3.{minor}" for minor in range(10, 14)]
    assert all(one in allowed for one in versions)
    assert "3.9" not in allowed


def test_pre_commit_runs_what_make_lint_runs():
    """The same program on the same rules, with nothing to be fetched."""
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in repository["hooks"]]
    lint = read("Makefile").split("\nlint:")[1].split("\n\n")[0].replace("$(BIN)", ".venv/bin")
    for entry in entries:
        assert entry in lint.replace(" --check", "")
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_the_container_copies_what_is_there_and_is_no_administrator():
    lines = [line for line in read("Dockerfile").replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    assert lines[0].startswith("ARG BASE=")
    assert lines[1] == "FROM ${BASE}"
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    packages = set(re.findall(r'^    "(\w+)', read("pyproject.toml").split("packages = [")[1].split("]")[0], re.M))
    assert {*packages, "model_wrappers", "tasks"} <= set(copied)  # what pyproject.toml installs
    assert lines.index("USER user") > max(at for at, line in enumerate(lines) if line.startswith("RUN"))
    assert (ROOT / re.findall(r'"([\w/]+\.py)"', lines[-1])[0]).is_file()
    assert ".venv*" in read(".dockerignore").splitlines()


@pytest.mark.parametrize(
    ("typed", "offered"), [("sepm-eval re", {"report", "rescore"}), ("sepm-eval run --dry", {"--dry-run"})]
)
def test_the_shell_completes_commands_and_options(typed, offered):
    words = typed.split()
    asked = {"_SEPM_EVAL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    result = CliRunner().invoke(app, [], env=asked, prog_name="sepm-eval")
    assert set(result.output.split()) == offered


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_an_issue_form_is_one(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    assert all(field["type"] == "textarea" and field["id"] and field["attributes"]["label"] for field in form["body"])


def test_the_citation_names_the_paper_as_the_readme_does():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == declared("license")
    assert citation["authors"] == [{"name": "sepm_eval contributors"}]
    (paper,) = citation["references"]
    bibtex = read("README.md").split("```bibtex")[1]
    assert paper["title"] in bibtex
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    assert authors in bibtex


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("METHODS", "sepm_eval/methods"),
        ("BACKBONES", "model_wrappers"),
        ("BENCHMARKS", "sepm_eval/datasets"),
        ("FORMATS", "sepm_eval/submit"),
    ],
)
def test_a_recipe_names_a_table_that_files_of_the_kind_end_with(table, folder):
    assert f"{table}" in read("CONTRIBUTING.md")
    assert folder in read("CONTRIBUTING.md")
    files = [path.read_text(encoding="utf-8") for path in (ROOT / folder).glob("*.py")]
    assert any(re.search(rf"^{table}\b.* = ", text, re.MULTILINE) for text in files)

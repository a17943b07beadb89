"""The shape of the project: who may import whom, what an import does, what lands on the import path."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

import sepm_eval
from sepm_eval import methods, model_wrappers, tasks

PACKAGE = Path(sepm_eval.__file__).parent
FOLDERS = {
    "sepm_eval": PACKAGE,
    "sepm_eval.model_wrappers": Path(model_wrappers.__file__).parent,
    "sepm_eval.tasks": Path(tasks.__file__).parent,
}

# What a module may import of ours; later rows may be used by nothing above them.
BASE = {"emotions", "prompts", "types"}
ANSWERS = {"answer_text", "answer_words", "answer_items", "answer_statements", "answer_positions"}
PURE = BASE | {"parsing", "evidence", "selection", "backbone", "images", "scoring", "journal", "demo"}
ALLOWED = {
    "emotions": set(),
    "prompts": set(),
    "types": {"emotions", "prompts"},
    "answer_text": set(),
    "answer_words": set(),
    "answer_items": {"answer_words"},
    "answer_statements": {"answer_items", "answer_words", "emotions"},
    "answer_positions": {"answer_items", "answer_statements", "answer_words", "emotions"},
    "parsing": BASE | ANSWERS,
    "evidence": set(),
    "selection": set(),
    "cost": {"selection", "methods"},
    "backbone": set(),
    "images": set(),
    "scoring": {"parsing"},
    "files": set(),
    "journal": {"files"},
    "demo": set(),
    "tokenizers": set(),
    "shards": set(),
    "weights": {"shards"},
    "digests": set(),
    "identity": set(),
    "item_sets": set(),
    "placeholders": {"digests"},
    "exams": {"datasets", "digests", "identity", "item_sets"},
    "outcomes": {"identity", "item_sets", "parsing", "scoring"},
    "room": set(),
    "preflight": {"checkpoints", "datasets", "demo", "exams", "model_wrappers", "plan", "room", "shards"},
    "checkpoints": {"demo", "digests", "shards"},
    "probe": {"evidence"},
    "last_layer": {"probe"},
    "memory": set(),
    "writing": {"backbone"},
    "pruning": {"backbone"},
    "causal_lm": {"backbone", "last_layer", "probe", "pruning", "writing"},
    "datasets": BASE | {"datasets", "demo", "digests", "placeholders"},
    "methods": PURE - {"scoring", "journal", "demo"} | {"methods"},
    "model_wrappers": {"backbone", "causal_lm", "checkpoints", "images", "memory", "shards", "tokenizers", "weights"}
    | {"model_wrappers"},
    "shared": {"backbone", "images"},
    "overlay": set(),
    "runner": PURE | {"methods", "shared", "environment", "identity", "memory"},
    "environment": set(),
    "tsv": {"datasets", "prompts"},
    "prepare": {"datasets", "digests", "images", "tsv"},
    "download": {"images", "placeholders"},
    "hub_copies": {"datasets", "files", "prepare"},
    "plan": {"identity", "methods"},
    "pricing": BASE | {"cost", "datasets", "demo", "model_wrappers", "plan"},
    "statistics": set(),
    "journal_records": {"outcomes"},
    "results": {"identity", "journal_records", "methods", "outcomes", "parsing", "scoring"},
    "report": BASE
    | {
        "identity",
        "images",
        "model_wrappers",
        "outcomes",
        "overlay",
        "plan",
        "report",
        "results",
        "scoring",
        "statistics",
    },
    "submit": {"identity", "outcomes", "plan", "report", "results", "statistics", "submit"},
    "cli": None,  # everything: it is the outermost, and nothing imports it
    "__main__": {"cli"},
    "tasks": {"datasets", "identity", "images", "parsing", "scoring"},
    "hosts": PURE
    | {
        "checkpoints",
        "datasets",
        "digests",
        "environment",
        "exams",
        "files",
        "hosts",
        "identity",
        "item_sets",
        "memory",
        "methods",
        "outcomes",
        "preflight",
        "model_wrappers",
        "plan",
        "prepare",
        "results",
        "runner",
    }
    | {"shared", "tasks", "tsv"},
}


def modules():
    found = []
    for name, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [*name.split(".")[1:], *path.relative_to(folder).with_suffix("").parts]
            if parts != ["__init__"]:
                found.append((parts[0], path))
    return found


def imported(path: Path) -> set[str]:
    """First names below sepm_eval that a file imports, and the other packages."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "sepm_eval":
            names |= {f"sepm_eval.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize(
    ("module", "path"), modules(), ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_who_imports_whom(module, path):
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("sepm_eval.")}
    allowed = ALLOWED[module]
    assert allowed is None or ours <= allowed, f"{path.name} must not import {ours - allowed}"
    hosts = {name.split(".")[0] for name in imported(path)} & {"lmms_eval", "vlmeval"}
    assert not hosts or module == "hosts"


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_loads_nothing_heavy_and_changes_nothing():
    code = """
import sys, os, logging, warnings
before = (dict(os.environ), list(warnings.filters), logging.getLogger().handlers[:], set(sys.modules))
import sepm_eval
from sepm_eval import Question
assert before[:3] == (dict(os.environ), list(warnings.filters), logging.getLogger().handlers[:])
heavy = {"torch", "transformers", "datasets", "lmms_eval", "vlmeval", "pandas", "PIL", "numpy", "sklearn"}
print(sorted(heavy & (set(sys.modules) - before[3])))
"""
    assert _python(code) == "[]"


def test_loading_methods_needs_no_transformers():
    code = "import sys; from sepm_eval import get_method; get_method('sepm'); print('transformers' in sys.modules)"
    assert _python(code) == "False"


def test_unknown_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sepm_eval.nonsense  # noqa: B018


def test_a_wheel_holds_one_package(tmp_path):
    import zipfile

    root = Path(__file__).parent.parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(root),
        ],
        check=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"sepm_eval"}
    for needed in (
        "py.typed",
        "tasks/emoset.yaml",
        "tasks/_shared_yaml",
        "tasks/placeholder.jsonl",
        "model_wrappers/llava.py",
        "demo/model/model.safetensors",
        "demo/pictures/items.jsonl",
        "demo/pictures/ATTRIBUTION.md",
    ):
        assert f"sepm_eval/{needed}" in names


def test_the_environment_has_one_top_level_name():
    """Nothing but sepm_eval is importable from this distribution, installed or editable."""
    tops = {Path(str(path)).parts[0] for path in files("sepm-eval") or []}
    importable = {top for top in tops if not top.endswith((".dist-info", ".pth", "bin")) and top != ".."}
    assert {name for name in importable if not name.startswith("__editable__")} <= {"sepm_eval", "__pycache__"}


def test_every_method_file_is_found():
    listed = {path.stem for path in Path(methods.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    homes = {method.__module__.rpartition(".")[2] for method in methods.find_methods().values()}
    assert homes == listed

"""The shape of the project: who may import whom, what an import does, what lands on the import path."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
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

# What each wing may import of ours beside itself; the vocabulary is free to all. Rows go from the inside out, and none
# names a later one, so there is no circle between wings.
VOCABULARY = {
    "answers",
    "demo",
    "digests",
    "display",
    "emotions",
    "files",
    "images",
    "plugins",
    "parsing",
    "prompts",
    "scoring",
    "types",
    "plurals",
}
ALLOWED: dict[str, set[str]] = {
    "backbone": set(),
    "model_wrappers": {"backbone"},
    "methods": {"backbone"},
    "datasets": set(),
    "runs": {"backbone", "model_wrappers", "methods", "datasets"},
    "report": {"runs"},
    "view": {"runs", "report"},
    "submit": {"model_wrappers", "runs", "report"},
    "tasks": {"datasets", "runs"},
    "hosts": {"backbone", "model_wrappers", "methods", "datasets", "runs", "tasks"},
    "cli": {"backbone", "model_wrappers", "methods", "datasets", "runs", "report", "view", "submit", "hosts"},
    "__main__": {"cli"},
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
    allowed = VOCABULARY if module in VOCABULARY else VOCABULARY | ALLOWED[module] | {module}
    assert ours <= allowed, f"{path.name} must not import {ours - allowed}"
    hosts = {name.split(".")[0] for name in imported(path)} & {"lmms_eval", "vlmeval"}
    assert not hosts or module == "hosts"


MOST_LINES = {"file": 350, "function": 50}
REASON = re.compile(r"^ *# long because: \S.*\S")


def too_long(path: Path) -> list[str]:
    """What of a file is longer than a reader takes in, and states no reason.

    The reason is a line of its own, ``# long because: ...``: of a file at its left margin, of a function inside it.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    stated = any(REASON.match(line) and not line.startswith(" ") for line in lines)
    if len(lines) > MOST_LINES["file"] and not stated:
        found.append(f"{path.name} has {len(lines)} lines")
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            own = lines[node.lineno - 1 : node.end_lineno]
            if len(own) > MOST_LINES["function"] and not any(map(REASON.match, own)):
                found.append(f"{node.name} in {path.name} has {len(own)} lines")
    return found


def sources() -> list[Path]:
    """Every file of code."""
    root = Path(__file__).parent.parent
    folders = [*FOLDERS.values(), *(root / name for name in ("benchmarks", "demo", "examples", "tests"))]
    return sorted({path for folder in folders for path in folder.rglob("*.py")})


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_too_long_to_take_in(path):
    assert not too_long(path), f"divide it, or say why not in a line '# long because: ...' ({MOST_LINES})"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["x = 1"] * 350, []),
        (["x = 1"] * 351, ["one.py has 351 lines"]),
        (["# long because: it is one table", *["x = 1"] * 350], []),
        (["# long because:", *["x = 1"] * 350], ["one.py has 351 lines"]),
        (["def f():", *["    x = 1"] * 49], []),
        (["def f():", *["    x = 1"] * 50], ["f in one.py has 51 lines"]),
        (["async def f():", *["    x = 1"] * 50], ["f in one.py has 51 lines"]),
        (["def f():", "    # long because: it is one table", *["    x = 1"] * 49], []),
        (["# long because: it is one table", "def f():", *["    x = 1"] * 50], ["f in one.py has 51 lines"]),
        (["def f():", "    # long because: it is one table", *["    x = 1"] * 350], ["one.py has 352 lines"]),
    ],
)
def test_what_is_long_says_why(tmp_path, lines, said):
    (tmp_path / "one.py").write_text("\n".join(lines))
    assert too_long(tmp_path / "one.py") == said


def test_no_wing_imports_one_that_is_further_out():
    wings = list(ALLOWED)
    for place, (wing, allowed) in enumerate(ALLOWED.items()):
        assert allowed <= set(wings[:place]), f"{wing} stands before {allowed - set(wings[:place])}"


def test_the_vocabulary_imports_in_no_circle():
    """Each of its modules can be put after all that it imports."""
    needs: dict[str, set[str]] = {name: set() for name in VOCABULARY}
    for module, path in modules():
        if module in VOCABULARY:
            needs[module] |= {name.split(".")[1] for name in imported(path) if name.startswith("sepm_eval.")} - {module}
    tuple(TopologicalSorter(needs).static_order())


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


def test_every_folder_of_code_is_installed():
    """Setuptools is told each package by name; one left out is missed only where the tree itself is not installed."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    told = set(re.findall(r'"([\w.]+)"', text.split("\npackages = [")[1].split("\n]")[0]))
    code = {(name, folder, path.parent) for name, folder in FOLDERS.items() for path in folder.rglob("*.py")}
    assert {".".join((name, *home.relative_to(folder).parts)) for name, folder, home in code} <= told


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
        "tasks/_vecbench_yaml",
        "submit/upstream/utils.py.template",
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
    folder = Path(methods.__file__).parent
    listed = {path.stem for path in folder.glob("*.py") if "\nMETHODS = " in path.read_text(encoding="utf-8")}
    homes = {method.__module__.rpartition(".")[2] for method in methods.find_methods().values()}
    assert homes == listed

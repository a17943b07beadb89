"""What must never happen: code run out of data, a file outside its folder, a secret on disk.

Elsewhere: archives (``test_hostile.py``, archive/*, and ``test_prepare.py``), model output in the report
(``test_report.py::test_nothing_of_an_answer_is_markup``, ``test_page.py``), formulas in tables
(``test_report.py::test_a_spreadsheet_takes_no_answer_for_a_formula``), certificates (``test_vlmevalkit.py``).
"""

from __future__ import annotations

import ast
import os
import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch
from conftest import ORACLES
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_layout import FOLDERS
from test_run import sepm_eval
from typer.testing import CliRunner

from sepm_eval import demo, load_backbone
from sepm_eval.backbone.weights import read_weights
from sepm_eval.cli import app

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in FOLDERS.values() for path in folder.rglob("*.py"))

# Calls that run, or may run, what a file says.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "shutil.unpack_archive"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "ssl._create_unverified_context"),
}
FORBIDDEN_METHODS = {"extractall", "unsafe_load", "read_pickle", "from_bytecode"}
FORBIDDEN_MODULES = {
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
    "tarfile",
    "telnetlib",
    "ftplib",
}
FORBIDDEN_ARGUMENTS = {("shell", True), ("trust_remote_code", True), ("verify", False), ("allow_pickle", True)}
FORBIDDEN_ARGUMENTS |= {("autoescape", False), ("weights_only", False), ("use_safetensors", False)}


def dangers(source: str) -> Iterator[str]:
    """What a source does that ours may not, one word each."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
            if isinstance(node, ast.ImportFrom):
                qualified = {f"{node.module}.{alias.name}" for alias in node.names}
                yield from qualified & FORBIDDEN
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN or (isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS):
                yield name
            given = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            yield from (f"{key}={value}" for key, value in given.items() if (key, value) in FORBIDDEN_ARGUMENTS)
            if name == "torch.load" and given.get("weights_only") is not True:
                yield name
            if name.endswith("Environment") and "jinja2" in name and given.get("autoescape") is not True:
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_source_runs_what_data_says(path):
    assert list(dangers(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import yaml; yaml.load(text)",
        "from pickle import loads",
        "import pickle; pickle.load(file)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import subprocess; subprocess.run(text, shell=True)",
        "import os; os.system(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "httpx.get(url, verify=False)",
        "numpy.load(path, allow_pickle=True)",
        "archive.extractall(folder)",
        "import joblib",
        "jinja2.Environment(trim_blocks=True)",
    ],
)
def test_the_check_sees_what_it_is_for(source):
    assert list(dangers(source))


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_checkpoint_runs_no_code(tmp_path, form):
    """In the layout that transformers reads, and in the one that we read."""
    proof, folder = tmp_path / "owned", tmp_path / "checkpoint"
    shutil.copytree(ORACLES / "llava15_tiny" / "hf", folder)
    (folder / "model.safetensors").unlink()
    content = {"padding": bytes(2_000_000), "w": Evil(proof)}  # as large as the weights it stands for
    if form == "pickle":
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"weights in .*checkpoint are damaged or hold more than tensors"):
        load_backbone("llava", str(folder), device="cpu")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged or holds more than tensors"):
        read_weights(folder)
    assert not proof.exists()
    with suppress(RuntimeError):  # a bare pickle is run before torch finds that it is none of its own
        torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert proof.exists()  # the trap works


def test_a_damaged_safetensors_file_is_named(tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(ORACLES / "llava15_tiny" / "hf", folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 2000)
    for load in (lambda path: load_backbone("llava", str(path), device="cpu"), read_weights):
        with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
            load(folder)


def test_a_checkpoints_own_code_is_not_run(tmp_path):
    """A config.json may name Python files beside it, which transformers runs if told to trust them."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(demo.MODEL, folder)
    proof = tmp_path / "owned"
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Evil: pass\n")
    config = (folder / "config.json").read_text()
    told = '{"auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},'
    (folder / "config.json").write_text(config.replace("{", told, 1))
    load_backbone("llava", str(folder), device="cpu")
    assert not proof.exists()


SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "OPENAI_API_KEY",
    "WANDB_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "MY_PASSWORD",
)


def test_no_secret_of_the_environment_is_written_or_shown(tmp_path, monkeypatch):
    """Journal, results, environment.json, report and screen of a run; the run is made, so there is something to see."""
    secrets = {name: f"hf_{'S3cret' * 5}{number}" for number, name in enumerate(SECRETS)}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    plan = {
        **{"tasks": ["emotion_demo"], "methods": ["zero_shot"]},
        "models": [{"model": "sepm_llava", "args": {"pretrained": "demo", "device": "cpu"}}],
    }
    code, output = sepm_eval(tmp_path, "run", "plan.yaml", "--out", "out", "--limit", "2", plan=plan)
    assert code == 0, output
    told = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--out", str(tmp_path / "report")]).output
    told += CliRunner().invoke(app, ["doctor"]).output
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in written}
    assert {"environment.json", "plan.yaml", "report.html", "report.md"} <= names
    assert any("_results.json" in name for name in names)
    assert list(tmp_path.glob("out/journals/*.jsonl"))
    found = {
        (name, str(path)) for path in written for name, value in secrets.items() if value.encode() in path.read_bytes()
    }
    assert found == set()
    assert [name for name, value in secrets.items() if value in output + told] == []


# Dependencies


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements-test.lock").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+==[^\s;@/]+", line) for line in pinned)  # no URL, no path, no range
    return {canonicalize_name(name): number for name, number in (line.split("==") for line in pinned)}


def test_the_lock_pins_what_the_tests_need():
    pins = locked()
    for line in requires("sepm-eval") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": "test"}):
            continue
        number = pins.get(canonicalize_name(wanted.name))
        assert number is not None, f"{wanted.name} is not in requirements-test.lock"
        assert wanted.specifier.contains(number, prereleases=True), f"{wanted} is locked at {number}"

"""Somebody else's package adds one of each: ``tests/outside_package``, installed as an installer would, but offline."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "outside_package"
COMMAND = shutil.which("sepm-eval", path=str(Path(sys.executable).parent)) or "sepm-eval"
PLAN = """
tasks: [{task}]
methods: [{method}]
models:
- model: sepm_{backbone}
  args: {{pretrained: demo}}
"""


def install(site: Path) -> Path:
    """Put the package into a folder for the import path: its modules, and a .dist-info as pyproject.toml says."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        tomllib = pytest.importorskip("tomli")
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    shutil.copytree(SOURCE / "src", site, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    told = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    (info / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in told.items()))
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return site


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Run a command of sepm-eval where the package is installed and its pictures are painted; its output."""
    folder = tmp_path_factory.mktemp("outside")
    site = install(folder / "site")
    environment = {
        **os.environ,
        **{"COLUMNS": "400", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)},
        **{"HOME": str(folder), "LMUData": str(folder / "lmu"), "SEPM_EVAL_DATA": str(folder / "data")},
        **{
            "HF_HOME": str(folder / "hf"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "share"),
        },
    }
    (folder / "lmu").mkdir()
    paint = "import sys, pathlib; from emotion_extras import two_skies; two_skies.paint(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", paint, str(folder / "data/TwoSkies")], env=environment, check=True)

    def run(*arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, env=environment, cwd=folder, timeout=600
        )
        assert done.returncode in fine, done.stdout + done.stderr
        return done.stdout + done.stderr

    run.folder = folder
    return run


def taken_through(command, task: str, method: str, backbone: str) -> Path:
    """Dry run, run, report, explain and submit; the run's folder."""
    name = f"{task}_{method}_{backbone}"
    plan = command.folder / f"{name}.yaml"
    plan.write_text(PLAN.format(task=task, method=method, backbone=backbone))
    dry = command("run", str(plan), "--dry-run")
    assert task in dry
    assert method in dry
    assert "complete." in command("run", str(plan), "--out", name)
    assert (command.folder / name).is_dir()
    command("report", name, "--out", f"{name}_report")
    assert method in (command.folder / f"{name}_report" / "tables" / "runs.csv").read_text()
    picture = command.folder / "data" / "TwoSkies" / "sadness.png"
    command("explain", str(picture), "--model", backbone, "--pretrained", "demo", "--method", method)
    command("submit", name, "--format", "lines", "--out", f"{name}_lines")
    assert (command.folder / f"{name}_lines" / "lines.txt").read_text().startswith(f"{task} {method} ")
    return command.folder / name


def test_a_benchmark_and_a_submission_format(command):
    assert "two_skies" in command("datasets")
    out = taken_through(command, "two_skies", "zero_shot", "llava")
    (samples,) = out.rglob("*_samples_two_skies.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [line["item_id"] for line in lines] == ["contentment", "sadness"]
    assert "two_skies" in command("doctor", fine=(0, 1))
    command("prepare", "two_skies")
    assert "as it was written" in command("verify", "two_skies")
    unlike = command("submit", str(out), "--format", "line", fine=(1,))
    assert "'lines'" in unlike


def test_a_method_and_a_backbone(command):
    taken_through(command, "emotion_demo", "first_option", "llava_again")


@pytest.mark.skipif(importlib.util.find_spec("vlmeval") is None, reason="VLMEvalKit is not installed (extra vlmeval)")
def test_a_benchmark_in_vlmevalkit(command):
    command("vlmeval", "--data", "TwoSkies", "--model", "zero_shot_demo", "--work-dir", "vlmeval_out")
    assert list((command.folder / "vlmeval_out").rglob("*TwoSkies_acc.csv"))

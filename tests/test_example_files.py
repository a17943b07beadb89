"""The notebook and the scripts of examples/, run whole with the demo model."""

from __future__ import annotations

import ast
import json
import re
import runpy
import sys

import pytest
from examples import ROOT
from PIL import Image

from sepm_eval import Answer, demo

EXAMPLES = ROOT / "examples"
NOTEBOOK = json.loads((EXAMPLES / "one_picture.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shown():
    """Names and outputs of the notebook: its cells' code run in order, the last expression of each evaluated."""
    names: dict[str, object] = {"__name__": "__main__"}
    found = []
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, cell["id"], "exec"), names)
            if isinstance(last, ast.Expr):
                found.append(eval(compile(ast.Expression(last.value), cell["id"], "eval"), names))
    return names, [one for one in found if one is not None]


def test_the_notebook_runs_and_shows_an_answer_and_pictures(shown):
    names, outputs = shown
    picture, plain, sheet = outputs
    assert isinstance(picture, Image.Image)
    assert isinstance(plain, Answer)
    assert "<table>" in plain._repr_html_()
    assert sheet.width > 2 * sheet.height
    assert names["answer"].evidence.dropped


def test_the_notebook_is_one_that_jupyter_opens():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in NOTEBOOK["cells"]:
        assert all(re.fullmatch(r"[^\n]*\n", line) for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "clear the outputs: they depend on the machine"
            assert cell["execution_count"] is None


def run(monkeypatch, capsys, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_own_pictures(monkeypatch, capsys, tmp_path):
    said = run(monkeypatch, capsys, "own_pictures.py", "--device", "cpu", "--count", "8")
    assert "8 pictures, 8 labels, demo" in said
    assert re.search(r"zero_shot +\d+\.\d% \[.*%\], 0 unparsed", said)
    for label in ("awe", "fear"):
        (tmp_path / label).mkdir()
        source = demo.PICTURES / "seen" / f"{label}_000.jpg"
        (tmp_path / label / "one.jpg").write_bytes(source.read_bytes())
    (tmp_path / "fear" / "two.jpg").write_bytes(b"no picture")
    said = run(monkeypatch, capsys, "own_pictures.py", str(tmp_path), "--device", "cpu")
    assert "2 pictures, 2 labels" in said
    assert "two.jpg" in said  # named, and neither right nor wrong


def test_own_method(monkeypatch, capsys):
    said = run(monkeypatch, capsys, "own_method.py", "--count", "8")
    assert re.search(r"\{'middle': '\d of 8 right', 'sepm': '\d of 8 right'\}", said)
    assert "exact McNemar" in said


def test_every_example_is_named():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert set(re.findall(r"\]\(([\w.]+)\)", page)) == files

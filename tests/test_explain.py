"""One picture, explained: the command and its overlay."""

import pytest
import torch
from conftest import ORACLES
from PIL import Image
from typer.testing import CliRunner

from sepm_eval import demo
from sepm_eval.cli import app
from sepm_eval.report.overlay import draw_dropped
from sepm_eval.runs.plan import parse_method

PICTURE = str(demo.PICTURES / "seen" / "awe_000.jpg")


def test_cells_follow_the_order_of_the_tokens(tiny_llava, tiny_vila, vila_oracle):
    assert tiny_llava.cells(16)[:5] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    for cell, patches in zip(tiny_vila.cells(9), vila_oracle["downsample_index_map"], strict=True):
        assert divmod(int(patches[0]), 5) == (cell[0] * 2, cell[1] * 2)  # the block's first patch of 5 x 5


def test_frames(tiny_llava, tiny_vila):
    wide = Image.new("RGBA", (60, 20), (255, 0, 0, 10))
    frame = tiny_llava.frame(wide)
    assert frame.size == (60, 60)
    assert (frame.getpixel((30, 5)), frame.getpixel((30, 30))) == ((122, 116, 104), (255, 0, 0))
    assert tiny_vila.frame(wide).size == (60, 20)


def test_dropped_cells_are_covered():
    picture = draw_dropped(Image.new("RGB", (90, 30), "white"), [(0, 0), (1, 0), (0, 1), (1, 1)], {1})
    corners = {
        (row, column): picture.getpixel((column * 500 + 50, row * 500 + 50)) for row in (0, 1) for column in (0, 1)
    }
    assert {cell for cell, colour in corners.items() if colour != (255, 255, 255)} == {(1, 0)}


@pytest.mark.parametrize("model", ["llava", "vila"])
def test_the_command(tmp_path, model):
    pretrained = {"llava": "demo", "vila": str(ORACLES / "vila15_tiny" / "checkpoint")}[model]
    out = tmp_path / "dropped.png"
    arguments = ["explain", PICTURE, "--model", model, "--pretrained", pretrained, "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--method", "sepm,beta=0.4"])
    assert result.exit_code == 0, result.output
    for said in ("Amusement", "stage 1:", "confidence", "stage 2 chose among", "dropped"):
        assert said in result.output
    assert Image.open(out).size == (672, 672)


def test_zero_shot_has_no_overlay(tmp_path):
    out = tmp_path / "dropped.png"
    arguments = ["explain", PICTURE, "--pretrained", "demo", "--method", "zero_shot", "--labels", "joy,fear,sadness"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "Joy" in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "sepm,beta"], "'beta' is no option: write name=value"),
        (["--method", "sepm,beta=2"], "beta=2"),
        (["--labels", "joy,hunger"], "unknown emotions"),
        (["--model", "gpt"], "unknown backbone"),
    ],
)
def test_bad_arguments(more, message):
    result = CliRunner().invoke(app, ["explain", PICTURE, "--pretrained", "demo", *more])
    assert result.exit_code == 1
    assert message in result.output


def test_methods_from_the_command_line():
    method = parse_method("sepm,alpha=0.2,vta=False,preset=code")
    assert (method.alpha, method.vta, method.preset) == (0.2, False, "code")


# What stops it is said in a sentence, whatever it is


def explained(*arguments: str):
    """Its status and what it said; an exception is a traceback to a user."""
    result = CliRunner().invoke(app, ["explain", *arguments, "--device", "cpu"])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "it is no file"),
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "cannot be read as a picture"),
        (lambda path: path.symlink_to(path), "cannot be read as a picture"),
        (lambda path: Image.new("RGB", (20_000, 1)).save(path), "decompression bomb"),
    ],
)
def test_what_is_no_picture(tmp_path, make, message):
    path = tmp_path / "picture.png"
    make(path)
    code, said = explained(str(path), "--pretrained", "demo")
    assert code == 1
    assert message in said


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a folder", "is a folder"),
        ("nowhere/dropped.png", "no folder"),
        ("dropped.xyz", "dropped.xyz"),
        ("dropped", "dropped"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_model_is_loaded(tmp_path, monkeypatch, out, message):
    (tmp_path / "a folder").mkdir()

    def load(*_, **__):
        raise AssertionError("loaded")

    monkeypatch.setattr("sepm_eval.hosts.loading.load_backbone", load)
    code, said = explained(PICTURE, "--pretrained", "demo", "--out", str(tmp_path / out))
    assert code == 1
    assert message in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pretrained", "/usr"],
        ["--pretrained", ""],
        ["--pretrained", "\0"],
        ["--pretrained", "x" * 5000],
        ["--pretrained", PICTURE],
        ["--pretrained", "demo", "--labels", ""],
        ["--pretrained", "demo", "--labels", "joy"],
        ["--pretrained", "demo", "--method", ""],
        ["--pretrained", "demo", "--method", "nonsense"],
        ["--pretrained", "demo", "--model", ""],
        ["--pretrained", "demo", "--model", "vila"],
        ["--pretrained", "demo", "--model", "_loading"],
        ["--pretrained", "demo", "--device", "cuda:99"],
        ["--pretrained", "demo", "--device", "meta"],
    ],
)
def test_what_is_no_model_or_method(tmp_path, arguments):
    result = CliRunner().invoke(app, ["explain", PICTURE, "--out", str(tmp_path / "dropped.png"), *arguments])
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (1, 2)
    assert result.output


def test_too_little_memory(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("sepm_eval.hosts.loading.load_backbone", fail)
    code, said = explained(PICTURE, "--pretrained", "demo", "--out", str(tmp_path / "dropped.png"))
    assert code == 1
    assert "out of memory" in said


def test_doctor_says_which_folder_it_may_not_read(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/locked")

    monkeypatch.setattr("sepm_eval.cli.doctor.state", refuse)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Permission denied: '/locked'" in " ".join(result.output.split())

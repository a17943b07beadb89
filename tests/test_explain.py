"""One picture, explained: the command and its overlay."""

import dataclasses
import re

import pytest
import torch
from conftest import ORACLES
from PIL import Image
from typer.testing import CliRunner

from sepm_eval import demo
from sepm_eval.cli import app
from sepm_eval.model_wrappers._llava import seen_box
from sepm_eval.report.explanation import explain
from sepm_eval.report.overlay import draw_dropped, draw_heat
from sepm_eval.runs.plan import parse_method
from sepm_eval.types import Block, Question

PICTURE = str(demo.PICTURES / "seen" / "awe_000.jpg")


def test_cells_follow_the_order_of_the_tokens(tiny_llava, tiny_vila, vila_oracle):
    square = [Image.new("RGB", (5, 5))]
    assert tiny_llava.see(square).pictures[0].cells[:5] == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 1, 0)]
    cells = tiny_vila.see(square).pictures[0].cells
    for (_, row, column), patches in zip(cells, vila_oracle["downsample_index_map"], strict=True):
        assert divmod(int(patches[0]), 5) == (row * 2, column * 2)  # the block's first patch of 5 x 5


def test_blocks_lie_where_the_tower_looks(tiny_llava, tiny_vila):
    """LLaVA pads to a square. VILA stretches to 74 pixels: 5 patches of 14, which a sixth of zeros joins to 3 cells."""
    wide, tall = Image.new("RGBA", (60, 21), (255, 0, 0, 10)), Image.new("RGB", (7, 60))
    found = [picture.blocks for picture in tiny_llava.see([wide, tall]).pictures]
    assert found == [(Block((0, -19, 60, 41), 4, 4),), (Block((-26, 0, 34, 60), 4, 4),)]
    (block,) = tiny_vila.see([wide]).pictures[0].blocks
    assert (block.rows, block.columns, block.by_columns) == (3, 3, True)
    assert block.box == pytest.approx((0, 0, 60 * 84 / 74, 21 * 84 / 74))
    smaller = tiny_llava.see([wide], side=0.5).pictures[0].blocks
    assert smaller == (Block((0, -19, 60, 41), 2, 2),)
    assert seen_box((60, 21), "crop") == (19.5, 0, 40.5, 21)


def test_a_padded_picture_is_seen_where_its_block_says(tiny_llava):
    """Paint what one cell covers, and only that cell's patch of the tower's input changes."""
    plain = Image.new("RGB", (60, 20), (122, 116, 104))
    painted = plain.copy()
    painted.paste((255, 255, 255), (15, 10, 30, 20))  # row 2 of 4 begins at 10, column 1 at 15
    changed = (tiny_llava._pixels([painted], 1.0) - tiny_llava._pixels([plain], 1.0)).abs().amax(1)[0]
    patches = changed.unflatten(1, (4, 14)).unflatten(0, (4, 14)).mean((1, 3))
    assert patches.flatten().argmax() == 2 * 4 + 1


WHITE = (255, 255, 255)


def seen(picture, *places):
    """Whether a drawing is uncovered at these shares of its width and height."""
    return [picture.getpixel((round(x * picture.width), round(y * picture.height))) == WHITE for x, y in places]


def test_dropped_cells_are_covered():
    picture = draw_dropped(Image.new("RGB", (90, 30), "white"), [Block((0, 0, 90, 30), 2, 2, by_columns=True)], {1})
    assert picture.size == (672, 224)
    corners = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    assert seen(picture, *corners) == [True, True, False, True]


def test_padding_is_drawn_beside_the_picture():
    """A picture of 60 x 20 in a square of 60: the upper and the lower third are padding, whose tokens count too."""
    picture = draw_dropped(Image.new("RGB", (60, 20), "white"), [Block((0, -20, 60, 40), 3, 3)], {0, 4})
    assert picture.size == (672, 672)
    assert seen(picture, (0.2, 0.5), (0.5, 0.5), (0.8, 0.5)) == [True, False, True]
    veiled, padding = (picture.getpixel((x, 100)) for x in (100, 500))
    assert padding == (122, 122, 122)
    assert sum(veiled) < sum(padding)


def test_tiles_and_separators():
    """Two tiles, with a separator behind each row, and a thumbnail: each block's cells lie over its own box."""
    halves = [Block((left, 0, left + 50, 50), 1, 2, separators="rows") for left in (0, 50)]
    blocks = [*halves, Block((0, 0, 100, 50), 2, 1, separators="end")]
    assert [len(block) for block in blocks] == [len(block.places()) for block in blocks] == [3, 3, 3]
    white = Image.new("RGB", (100, 50), "white")
    assert seen(draw_dropped(white, blocks, {4}), (0.1, 0.5), (0.6, 0.5), (0.9, 0.5)) == [True, True, False]
    assert seen(draw_dropped(white, blocks, {6}), (0.1, 0.2), (0.9, 0.2), (0.5, 0.8)) == [False, False, True]
    with pytest.raises(ValueError, match=r"tokens \[9\] cannot have been dropped: the picture has 9"):
        draw_dropped(white, blocks, {3, 9})


def test_a_grid_of_separators_only_is_drawn_as_nothing():
    """What LLaVA-OneVision makes of a picture of 2 x 500 pixels: four rows of no columns."""
    white, base = Image.new("RGB", (2, 500), "white"), Block((0, 0, 2, 500), 2, 2)
    narrow = Block((0, 0, 2, 500), 4, 0, separators="rows")
    assert narrow.places() == [(row, -1) for row in range(4)]
    assert draw_dropped(white, [base, narrow], {1}).tobytes() == draw_dropped(white, [base], {1}).tobytes()


@pytest.mark.parametrize("size", [(20_000, 1), (1, 1), (1, 700)])
def test_pictures_of_any_shape(size):
    drawn = draw_dropped(Image.new("RGB", size), [Block((0, 0, *size), 24, 24)], range(100))
    assert max(drawn.size) == 672


@pytest.mark.parametrize("model", ["llava", "vila"])
def test_the_command(tmp_path, model):
    pretrained = {"llava": "demo", "vila": str(ORACLES / "vila15_tiny" / "checkpoint")}[model]
    out = tmp_path / "dropped.png"
    arguments = ["explain", PICTURE, "--model", model, "--pretrained", pretrained, "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--method", "sepm,beta=0.4"])
    assert result.exit_code == 0, result.output
    for said in ("Amusement", "confidence", "stage 2 chose among", "dropped", "written to"):
        assert said in result.output
    assert re.search(r"stage 1: (positive|negative), with probability 0\.\d{4} \((positive|negative): 0", result.output)
    with Image.open(out) as sheet:
        width, height = sheet.size
    assert width / height > 2.5  # picture, heat map, dropped tokens and bars side by side


def test_tokens_that_a_method_without_a_coarse_stage_dropped(tmp_path):
    out = tmp_path / "dropped.png"
    arguments = ["explain", PICTURE, "--pretrained", "demo", "--method", "divprune,budget=0.25", "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    told = re.search(r"dropped (\d+) of (\d+) visual tokens", result.output)
    assert told is not None
    assert int(told[1]) == int(told[2]) - round(int(told[2]) / 4)
    assert "stage 1" not in result.output
    assert out.is_file()


def test_what_is_drawn_of_zero_shot_is_the_answer(tmp_path):
    out = tmp_path / "dropped.png"
    arguments = ["explain", PICTURE, "--pretrained", "demo", "--method", "zero_shot", "--labels", "joy,fear,sadness"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "Joy" in result.output
    assert "zero_shot drops no visual token and reads no attention" in result.output
    with Image.open(out) as sheet:
        assert 1.2 < sheet.width / sheet.height < 2  # the picture and the bars


def test_no_file_is_replaced_that_was_not_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [PICTURE, "--pretrained", "demo", "--method", "zero_shot"]
    for name in ("awe_000-explained.png", "awe_000-explained-2.png"):
        assert f"written to {name}" in explained(*arguments)[1]
    before = (tmp_path / "awe_000-explained.png").read_bytes()
    assert "replaced awe_000-explained-2.png" in explained(*arguments, "--out", "awe_000-explained-2.png")[1]
    assert (tmp_path / "awe_000-explained.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_the_picture_itself_is_not_written_over(tmp_path):
    path = tmp_path / "mine.png"
    Image.new("RGB", (8, 8)).save(path)
    before = path.read_bytes()
    code, said = explained(str(path), "--pretrained", "demo", "--out", str(path))
    assert code == 1
    assert "is the picture itself" in said
    assert path.read_bytes() == before


def test_labels_of_ones_own(tmp_path):
    arguments = [PICTURE, "--pretrained", "demo", "--method", "zero_shot", "--out", str(tmp_path / "x.png"), "--labels"]
    code, said = explained(*arguments, "cozy:positive,eerie:negative,joy")
    assert code == 0, said
    assert "Cozy" in said
    code, said = explained(*arguments, "cozy,eerie")
    assert code == 1
    assert "--labels joy,cozy:negative" in said
    code, said = explained(*arguments, "cozy:nice,joy")
    assert code == 1
    assert "--labels cozy:nice: write label:positive or label:negative" in said


def test_a_heat_map_is_bright_where_the_value_is_large():
    """Two halves with a separator behind each row, of which the right one and its thumbnail matter."""
    blocks = [Block((0, 0, 100, 50), 1, 2, separators="rows"), Block((0, 0, 100, 50), 1, 2)]
    grey = Image.new("RGB", (100, 50), (100, 100, 100))
    drawn = draw_heat(grey, blocks, [0, 1, 99, 0, 1])  # the separator's value is not drawn
    left, right = (sum(drawn.getpixel((x, 160))) for x in (100, 600))
    assert drawn.size == (672, 336)
    assert left < 150 < right
    even = draw_heat(grey, blocks, [3, 3, 3, 3, 3])
    assert even.getpixel((100, 160)) == even.getpixel((600, 160))
    with pytest.raises(ValueError, match="4 values cannot be drawn: the picture has 5 visual tokens"):
        draw_heat(grey, blocks, [0, 1, 0, 1])


def test_a_heat_map_leaves_padding_of_no_block_grey():
    drawn = draw_heat(
        Image.new("RGB", (60, 20), "white"), [Block((0, 0, 30, 20), 1, 1), Block((0, -20, 1, 0), 1, 1)], [1, 0]
    )
    assert drawn.getpixel((600, 300)) == WHITE  # of the picture, but of no token
    assert drawn.getpixel((600, 50)) == (122, 122, 122)


def test_a_sheet_shows_hostile_text_as_text(demo_backbone):
    question = Question(PICTURE, ("joy", "fear"), ("Joy $\\frac{", "Fear\x1b[31m"))
    answer = parse_method("zero_shot").answer(question, demo_backbone)
    strange = dataclasses.replace(answer, text="$x^{" + "y" * 4000)
    assert explain(question, strange).sheet("a\x1b[0m$b").width > 100


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "sepm,beta"], "'beta' is no option: write name=value"),
        (["--method", "sepm,beta=0.1,beta=0.4"], "gives beta twice"),
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
        (lambda path: path.mkdir(), "it is not a file"),
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
        ("locked/dropped.png", "cannot be written"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_model_is_loaded(tmp_path, monkeypatch, out, message):
    (tmp_path / "a folder").mkdir()
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr("sepm_eval.cli.explain.os.access", lambda folder, _: folder.name != "locked")

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

"""What a user sees from Python: the names, a question from a path, one question or many, answers in a notebook."""

from __future__ import annotations

import base64
import io
import pydoc
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import sepm_eval
from sepm_eval import Answer, Evidence, Explanation, Question, UnreadableImage, demo, explain, get_method, methods
from sepm_eval.cli import app
from sepm_eval.emotions import MIKELS

PICTURE = demo.PICTURES / "seen" / "awe_000.jpg"
HOSTILE = "<script>alert('x')</script>"


@pytest.mark.parametrize("name", sepm_eval.__all__)
def test_every_public_name_is_there_and_said(name):
    assert getattr(sepm_eval, name) is not None
    assert name in dir(sepm_eval)
    assert f"``{name}``" in sepm_eval.__doc__


def test_dir_shows_public_names_only():
    shown = {name for name in dir(sepm_eval) if not name.startswith("__")}
    assert shown == set(sepm_eval.__all__) - {"__version__"}


def test_help_shows_the_public_names():
    page = pydoc.render_doc(sepm_eval, renderer=pydoc.plaintext)
    for shown in ("class Question", "class Shared", "load_backbone(", "answer_variants(", "read_runs("):
        assert shown in page


def test_a_fresh_process_sees_the_names_before_anything_is_loaded():
    code = "import sys, sepm_eval; print('Question' in dir(sepm_eval), 'sepm_eval.types' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["True", "False"]


def test_the_version_is_said_in_one_place_and_shown():
    assert sepm_eval.__version__ == version("sepm-eval")
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output.strip()) == (0, version("sepm-eval"))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_question_opens_a_path(kind):
    question = Question(image=kind(PICTURE), labels=("joy", "fear"))
    assert question.image.tobytes() == Image.open(PICTURE).convert("RGB").tobytes()


def test_a_question_takes_a_picture_as_it_is(picture):
    assert Question(picture, ("joy", "fear")).image is picture
    changed = replace(Question(picture, ["joy", "fear"]), labels=("awe", "fear"), names=(), positive=None)
    assert changed.image is picture
    assert changed.options() == [("A", "Awe"), ("B", "Fear")]


def test_a_question_with_its_own_polarities_can_be_put_into_a_set(picture):
    assert len({Question(picture, ("joy", "fear"), positive={"joy"}), Question(picture, ("joy", "fear"))}) == 1


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), (b"", "cannot be read as a picture")])
def test_a_path_that_is_no_picture_is_refused_where_it_is_given(tmp_path, content, reason):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=reason) as error:
        Question(path, ("joy", "fear"))
    assert str(path) in str(error.value)


def test_a_cut_off_file_is_refused(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(PICTURE.read_bytes()[:-200])
    with pytest.raises(UnreadableImage):
        Question(path, ("joy", "fear"))


@pytest.mark.parametrize("image", [None, b"bytes", [[0, 0, 0]]])
def test_what_is_neither_a_picture_nor_a_path_is_refused(image):
    with pytest.raises(TypeError, match=f"PIL picture or the path of a file, not {type(image).__name__}"):
        Question(image, ("joy", "fear"))


@pytest.fixture(scope="module")
def backbone():
    return sepm_eval.load_backbone("llava", "demo", device="cpu")


@pytest.fixture(scope="module")
def question():
    return Question(PICTURE, tuple(MIKELS), tuple(MIKELS.values()))


@pytest.mark.parametrize("name", sorted(methods.find_methods()))
def test_every_method_takes_one_question_or_many(name, backbone, question):
    method = get_method(name)
    one = method.answer(question, backbone)
    assert isinstance(one, Answer)
    assert method.answer([question], backbone) == [one]
    two = method.answer((item for item in [question, question]), backbone)
    assert [(each.text, each.label, each.prompts) for each in two] == [(one.text, one.label, one.prompts)] * 2


class Tags(HTMLParser):
    """The elements and the text of a piece of HTML, and whether every element that opens is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.text += data


def shown(answer) -> Tags:
    page = Tags(answer._repr_html_())
    assert not page.opened
    return page


EVIDENCE = Evidence(0.7, 0.1, 0.09, "positive", True, ("joy", "fear"), dropped=(1, 3))


def answer(**changes) -> Answer:
    made = Answer(text="A", letter="A", label="joy", option_probabilities={"joy": 0.75, "fear": 0.25}, visual_tokens=4)
    return replace(made, **changes)


def bars(page: Tags) -> list[str]:
    return [attrs["style"].split(";")[0] for tag, attrs in page.tags if tag == "div" and "style" in attrs]


def test_an_answer_in_a_notebook_has_label_and_bars():
    page = shown(answer())
    assert "joy" in page.text
    assert "0.7500" in page.text
    assert bars(page) == ["width:120px", "width:40px"]
    assert "stage 1" not in page.text


def test_an_answer_in_a_notebook_says_what_stage_1_found():
    page = shown(answer(evidence=EVIDENCE))
    for fact in ("positive, with probability 0.7000 (negative: 0.1000)", "0.0900 (ambiguous)", "joy, fear", "2 of 4"):
        assert fact in page.text


def test_an_unparsed_answer_is_shown_as_such():
    assert shown(answer(letter=None, label=None, text="hm")).text.startswith("unparsed")


def test_nothing_a_model_or_a_label_says_is_markup():
    page = shown(answer(text=HOSTILE, label=HOSTILE, option_probabilities={HOSTILE: 0.5}))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("<script>") == 3


def test_an_explanation_shows_the_picture_and_what_was_dropped(backbone, question):
    found = explain(question, get_method("sepm", beta=0.4).answer(question, backbone))
    assert isinstance(found, Explanation)
    assert max(found.covered.size) == 672
    pictures = [attrs["src"] for tag, attrs in shown(found).tags if tag == "img"]
    assert len(pictures) == 3  # itself, heat map, what was dropped
    assert found.answer.label in shown(found).text
    first = Image.open(io.BytesIO(base64.b64decode(pictures[0].partition(",")[2])))
    assert max(first.size) <= 224


def test_an_explanation_without_a_first_stage_shows_the_picture_alone(backbone, question):
    found = explain(question, get_method("zero_shot").answer(question, backbone))
    assert found.covered is None
    assert sum(tag == "img" for tag, _ in shown(found).tags) == 1
    assert question.image.size != (672, 672)

"""Questions that make no sense are refused where they are made."""

import pytest

from sepm_eval import Question
from sepm_eval.emotions import MIKELS, NEGATIVE, POLARITY, POSITIVE


def test_letters_names_and_polarity(picture):
    question = Question(picture, ("joy", "fear", "surprise"))
    assert question.options() == [("A", "Joy"), ("B", "Fear"), ("C", "Surprise")]
    assert question.options(("surprise",)) == [("C", "Surprise")]
    assert question.of_polarity("positive") == ("joy", "surprise")
    assert question.of_polarity("negative") == ("fear",)


def test_polarity_can_be_given(picture):
    question = Question(picture, ("joy", "surprise"), positive={"joy"})
    assert question.of_polarity("negative") == ("surprise",)
    unknown = Question(picture, ("calm", "tense"), positive={"calm"})
    assert unknown.of_polarity("negative") == ("tense",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ("joy",)}, "2 to 26 options, not 1"),
        ({"labels": ("joy", "joy")}, "each label once"),
        ({"labels": ("joy", "hunger")}, r"unknown emotions \['hunger'\].*positive="),
        ({"labels": ("joy", "fear"), "names": ("Joy",)}, "as many names"),
        ({"labels": ("joy", "fear"), "names": ("Joy", " joy")}, "no two labels are shown by the same name"),
        ({"labels": ("joy", "fear"), "positive": {"awe"}}, r"\['awe'\] names labels that are not among"),
    ],
)
def test_bad_questions(picture, arguments, message):
    with pytest.raises(ValueError, match=message):
        Question(picture, **arguments)


def test_every_label_has_one_polarity():
    assert not set(POSITIVE) & set(NEGATIVE)
    assert set(MIKELS) <= set(POLARITY)
    assert {label for label in MIKELS if POLARITY[label] == "positive"} == {
        "amusement",
        "awe",
        "contentment",
        "excitement",
    }

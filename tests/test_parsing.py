"""What counts as an answer. The traps are those that lmms-eval's and VLMEvalKit's extractors fall into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepm_eval import prompts
from sepm_eval.emotions import MIKELS
from sepm_eval.parsing import Options, parse_answer, parse_question

EIGHT = Options(tuple(MIKELS), tuple(MIKELS.values()))
WEBEMO = (
    "affection cheerfullness confusion contentment disappointment disgust enthrallment envy exasperation gratitude "
    "horror irritabilty lust neglect nervousness optimism pride rage relief sadness shame suffering surprise "
    "sympathy zest"
)
TWENTY_FIVE = Options(tuple(WEBEMO.split()), tuple(WEBEMO.title().split()))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" B. ", "B"),
        ("(B)", "B"),
        ("B)", "B"),
        ("B: Anger", "B"),
        ("B. Anger", "B"),
        ("B. anger.", "B"),
        ("**B**", "B"),
        ("Anger", "B"),
        ("anger!", "B"),
        ("Sad", "H"),
        ("sadness", "H"),
        ("Content", "D"),
        ("contentment", "D"),
        ("The answer is B", "B"),
        ("The answer is (B) Anger.", "B"),
        ("A man is smiling. Answer: D", "D"),
        ("Answer: B\nAnswer: C", "C"),
        ("Let us think.\nThe best option is E.", "E"),
        ("The correct answer is fear", "G"),
        ("The faces are smiling, so it is not anger.\nA. Amusement", "A"),
        ("B\nis what I see in the man's face", None),
        ("", None),
        ("I", None),  # no ninth option
        ("Z", None),
        ("A man is smiling", None),
        ("The image shows joy", None),
        ("It does", None),
        ("Answer", None),
        ("Answer:", None),
        ("I cannot determine", None),
        ("Based on the image, excitement", None),
        ("danger is awaiting", None),
        ("fearful", None),
        ("awesome joy", None),
        ("A or B", None),
        ("A, B", None),
        ("A. Fear", None),  # a letter with another option's name
        ("B. Anger and fear", None),
        ("The answer is not B", None),
        ("The answer is B or C", None),
        ("<script>alert(1)</script>", None),
    ],
)
def test_eight_options(text, letter):
    assert parse_answer(text, EIGHT) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I think the answer is B", "B"),
        ("I cannot determine", None),
        ("I", "I"),
        ("Cheerfulness", "B"),
        ("irritability", "L"),
        ("Y. Zest", "Y"),
    ],
)
def test_twenty_five_options(text, letter):
    assert parse_answer(text, TWENTY_FIVE) == letter


@given(st.text(max_size=80))
def test_any_text_gives_a_letter_of_the_question_or_none(text):
    assert parse_answer(text, EIGHT) in {None, *"ABCDEFGH"}


@pytest.mark.parametrize("options", [EIGHT, TWENTY_FIVE])
@pytest.mark.parametrize("wording", list(prompts.WORDINGS))
def test_our_questions_are_read_back(options, wording):
    lettered = zip(prompts.letters(len(options.labels)), options.names, strict=True)
    assert parse_question(prompts.fine(lettered, prompts.WORDINGS[wording], foe=True)) == options


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital?\nA. Paris\nB. Rome",
        "Which?\nA. Joy\nB. Sofa",
        "Which?\nA. Joy",
        "Which?\nA. Joy\nC. Fear",  # narrowed already
        "Which?\nA. Joy\nB. Joy",
        "Describe the picture.",
        "",
    ],
)
def test_other_questions_are_not_emotion_questions(text):
    assert parse_question(text) is None

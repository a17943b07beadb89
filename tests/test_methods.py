"""What each method asks, and how it reads the answer."""

import dataclasses
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sepm_eval import Question, get_method
from sepm_eval.emotions import MIKELS
from sepm_eval.methods import find_methods, method_options
from sepm_eval.runs.plan import parse_method

SNAPSHOT = Path(__file__).parent / "snapshots" / "prompts.json"


@pytest.fixture
def question(picture):
    return Question(picture, tuple(MIKELS), tuple(MIKELS.values()))


def says(coarse, fine):
    """Probabilities for the coarse question, and for any other."""
    return lambda prompt: coarse if "B. Negative" in prompt else fine


SURE_NEGATIVE, UNSURE = {"A": 0.05, "B": 0.95}, {"A": 0.5, "B": 0.4}


def test_prompts_are_frozen(scripted, question):
    """Every byte the model is shown. After a wanted change, write what `asked` holds into the snapshot."""
    asked = {}
    for preset in ("paper", "code"):
        for branch, coarse in (("sure", SURE_NEGATIVE), ("unsure", UNSURE)):
            backbone = scripted(says(coarse, {"B": 1.0}))
            get_method("sepm", preset=preset).answer([question], backbone)
            asked[f"sepm {preset} {branch}"] = backbone.asked
        backbone = scripted(says({}, {"B": 1.0}))
        get_method("zero_shot", preset=preset).answer([question], backbone)
        asked[f"zero_shot {preset}"] = backbone.asked
    assert asked == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_sure_narrows_the_list_and_keeps_the_letters(scripted, question):
    backbone = scripted(says(SURE_NEGATIVE, {"G": 0.6, "B": 0.3}))
    (answer,) = get_method("sepm").answer([question], backbone)
    assert (answer.letter, answer.label, answer.text) == ("G", "fear", "G")
    evidence = answer.evidence
    assert (evidence.polarity, evidence.ambiguous) == ("negative", False)
    assert evidence.candidates == ("anger", "disgust", "fear", "sadness")
    assert evidence.confidence == pytest.approx(0.2025, abs=1e-6)
    assert answer.option_probabilities["fear"] == pytest.approx(0.6 / 0.9, rel=1e-3)
    assert list(answer.option_probabilities) == list(MIKELS)


def test_unsure_offers_all_and_says_so(scripted, question):
    backbone = scripted(says(UNSURE, {"A": 1.0}))
    (answer,) = get_method("sepm").answer([question], backbone)
    assert answer.evidence.ambiguous
    assert answer.evidence.candidates == tuple(MIKELS)
    assert "This is an ambiguous emotion." in backbone.asked[1]


def test_alpha_decides(scripted, question):
    for alpha, ambiguous in ((0.2, False), (0.21, True)):
        (answer,) = get_method("sepm", alpha=alpha).answer([question], scripted(says(SURE_NEGATIVE, {"B": 1.0})))
        assert answer.evidence.ambiguous is ambiguous


def test_the_least_significant_tokens_are_dropped(scripted, question):
    backbone = scripted(says(SURE_NEGATIVE, {"B": 1.0}), significance=[5, 1, 9, 0, 7, 3, 8, 2, 6, 4])
    (answer,) = get_method("sepm", beta=0.3).answer([question], backbone)
    assert answer.evidence.dropped == (1, 3, 7)
    assert [token for token, kept in enumerate(answer.kept) if kept] == [0, 2, 4, 5, 6, 8, 9]
    assert backbone.kept == [None, [0, 2, 4, 5, 6, 8, 9]]
    assert answer.evidence.significance.tolist() == [5, 1, 9, 0, 7, 3, 8, 2, 6, 4]


def test_no_questions_have_no_answers(scripted):
    assert get_method("sepm").answer([], scripted) == []


def test_one_look_serves_both_stages(scripted, question):
    backbone = scripted(says(SURE_NEGATIVE, {"B": 1.0}))
    get_method("sepm").answer([question, question], backbone)
    assert backbone.seen == 2


@pytest.mark.parametrize(
    ("switches", "prompts", "focus", "narrowed", "drops"),
    [
        ({}, 2, True, True, True),
        ({"vta": False}, 2, True, True, False),
        ({"foe": False, "vta": False}, 2, False, True, False),
        ({"cci": False, "vta": False}, 1, True, False, False),
        ({"cci": False, "foe": False, "vta": False}, 1, False, False, False),
        ({"cci": False}, 2, True, False, True),
    ],
)
def test_every_row_of_the_ablation(scripted, question, switches, prompts, focus, narrowed, drops):
    """Table 3 of the paper, and dropping without coarse-to-fine."""
    backbone = scripted(says(SURE_NEGATIVE, {"B": 1.0}))
    get_method("sepm", **switches).answer([question], backbone)
    assert len(backbone.asked) == prompts
    last = backbone.asked[-1]
    assert ("Please focus on emotion." in last) is focus
    assert ("A. Amusement" not in last) is narrowed
    assert (backbone.kept[-1] is not None) is drops
    assert "ambiguous" not in last


def test_all_switches_off_is_zero_shot(scripted, question):
    bare, zero = scripted(says({}, {"B": 1.0})), scripted(says({}, {"B": 1.0}))
    get_method("sepm", cci=False, foe=False, vta=False).answer([question], bare)
    get_method("zero_shot").answer([question], zero)
    assert bare.asked == zero.asked


def test_zero_shot_asks_the_harness_own_words(scripted, picture):
    backbone = scripted(lambda prompt: {"A": 1.0})
    asked = Question(picture, ("joy", "fear"), text="Joy or fear?\nA. Joy\nB. Fear")
    get_method("zero_shot").answer([asked], backbone)
    assert backbone.asked == ["Joy or fear?\nA. Joy\nB. Fear"]


@pytest.mark.parametrize(
    ("first", "letter"),
    [("Fear, I think.", None), ("The answer is G.", "G"), ("A man is smiling. Answer: D", "D"), ("fear", "G")],
)
def test_prose_is_parsed_or_unparsed(scripted, question, first, letter):
    (answer,) = get_method("zero_shot").answer([question], scripted(lambda prompt: {first: 1.0}))
    assert (answer.text, answer.letter) == (first, letter)


def test_a_first_word_that_looks_like_a_letter_is_read_on(scripted, question):
    """ "A man is smiling" starts with the token of option A, and so may other words with other letters."""
    for letter, text in (("A", "A man is smiling."), ("G", "Grief, I suppose.")):
        backbone = scripted(lambda prompt, letter=letter: {letter: 1.0})
        backbone.write = lambda reading, max_new_tokens, text=text: [text] * len(reading.logits)
        (answer,) = get_method("zero_shot").answer([question], backbone)
        assert (answer.text, answer.letter, answer.label) == (text, None, None)


def test_every_answer_is_written_once(scripted, question):
    for name in set(find_methods()) - {"dan"}:  # whose answer is read off, not written
        backbone, limits = scripted(says(SURE_NEGATIVE, {"G": 1.0})), []
        write = backbone.write
        backbone.write = lambda reading, limit, rows=None, limits=limits, write=write: (
            limits.append(limit) or write(reading, limit, rows)
        )
        answers = get_method(name).answer([question, question], backbone)
        if name != "permute":  # whose options stand behind other letters
            assert [answer.label for answer in answers] == ["fear", "fear"]
        assert limits == [512 if name == "zero_shot_cot" else 128]


def test_infinite_logits_are_no_answer(scripted, question):
    backbone = scripted(lambda prompt: {"G": 1.0})
    read = backbone.read

    def broken(*args, **kwargs):
        reading = read(*args, **kwargs)
        reading.logits[0, 3] = torch.nan
        return reading

    backbone.read = broken
    for name in find_methods():
        with pytest.raises(FloatingPointError, match=r"rows \[0\]"):
            get_method(name).answer([question], backbone)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sepm", {"alpha": 0.5}, "alpha=0.5: use a number from 0"),
        ("sepm", {"alpha": -0.1}, "alpha=-0.1"),
        ("sepm", {"beta": 1.0}, "beta=1.0: use a number from 0 up to, but not including, 1"),
        ("sepm", {"beta": "much"}, "beta='much'"),
        ("sepm", {"beta": float("nan")}, "beta=nan"),
        ("sepm", {"preset": "draft"}, r"preset='draft': use one of \['code', 'paper'\]"),
        ("sepm", {"foe": False}, "vta=True needs foe=True"),
        ("sepm", {"cci": "no"}, "cci='no': use True or False"),
        ("sepm", {"gamma": 1}, r"unknown options \['gamma'\] for method 'sepm'; it takes \['alpha', 'beta'"),
        ("zero_shot", {"preset": "draft"}, "preset='draft'"),
        ("sepn", {}, r"unknown method 'sepn'; there are \[.*'sepm'.*'zero_shot'"),
    ],
)
def test_bad_options_say_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_method(name, **options)


HOSTILE = [None, True, False, float("nan"), float("inf"), -float("inf"), -1, -0.0, 0, 1, 0.1, 10**30, -(10**30), 2**63]
HOSTILE += [10**5000, 1e-320, 192.0, "", "0.1", "abc", "paper", "None", "\x00", [], ["paper"], [0.1], (), {}, {"a": 1}]
HOSTILE += [set(), b"paper", 0.1j, object(), Fraction(1, 10), Decimal("0.1"), Path("paper"), torch.tensor(0.1)]
HOSTILE += [torch.tensor([0.1, 0.2]), np.float64("nan"), np.array([1, 2]), np.int64(3), [[]] * 1000, "x" * 10**6]


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in sorted(find_methods()) for option in method_options(name)]
)
def test_a_hostile_value_is_refused_or_works(scripted, question, name, option):
    """Found out when the method is made, not after a model was loaded; what is taken can be used and written down."""
    taken, refused = [], []
    for value in HOSTILE:
        try:
            method = get_method(name, **{option: value})
        except ValueError as error:
            refused.append(str(error))
            continue
        taken.append(value)
        assert method == get_method(name, **json.loads(json.dumps(dataclasses.asdict(method), allow_nan=False)))
        hash(method)
        (answer,) = method.answer([question], scripted(says(SURE_NEGATIVE, {"G": 0.6, "7": 0.4})))
        assert answer.label == "fear" or name == "permute"  # whose options stand behind other letters
    assert max(map(len, refused)) < 400
    kinds = {
        "alpha": (float, int),
        "beta": (float, int, type(None)),
        "preset": (str, type(None)),
        "budget": (int, float, type(None)),
        "important_ratio": (int, float),
        "seed": (int,),
        "n": (int,),
        "layer": (int, type(None)),
        "keep": (int, float, type(None)),
        "ratio": (int, float, type(None)),
        "picture": (str,),
        "analysis_tokens": (int,),
        "k": (int,),
        "select": (str,),
        "clip": (str, type(None)),
    }
    assert all(type(value) in kinds.get(option, (bool,)) for value in taken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random_drop,seed=abc", "seed='abc': use a whole number from 0 to 9223372036854775807"),
        ("random_drop,seed=9223372036854775808", "seed=9223372036854775808: use a whole number"),
        ("random_drop,seed=-1", "seed=-1: use a whole number"),
        ("random_drop,seed=1.0", r"seed=1\.0: use a whole number"),
        ("random_drop,seed=True", "seed=True: use a whole number"),
        ("sepm,preset=[]", r"preset=\[\]: use one of \['code', 'paper'\]"),
        ("sepm,preset=None", r"preset=None: use one of \['code', 'paper'\]"),
        ("zero_shot,preset=[]", r"preset=\[\]: use one of \[None, 'code', 'paper'\]"),
        ("sparsevlm,budget=[]", r"budget=\[\]: use one of \[192, 128, 96, 64\]"),
        ("sparsevlm,budget=192.0", r"budget=192\.0: use one of \[192, 128, 96, 64\]"),
        ("sepm,alpha=nan", "alpha='nan': use a number"),
        ("sepm,alpha=1e400", "alpha=inf: use a number"),
        ("sepm,beta='0.1'", r"beta='0\.1': use a number"),
    ],
)
def test_a_bad_value_is_found_in_a_plan(text, message):
    with pytest.raises(ValueError, match=message):
        parse_method(text)


def test_none_stands_for_the_methods_own():
    assert get_method("zero_shot", preset=None) == get_method("zero_shot")
    assert get_method("sepm", beta=None, preset="code").beta == 0.1


def test_defaults_are_the_papers():
    method = get_method("sepm")
    assert (method.alpha, method.beta, method.preset) == (0.1, 0.2, "paper")
    assert get_method("sepm", preset="code").beta == 0.1


def test_sepm_needs_both_polarities(scripted, picture):
    with pytest.raises(ValueError, match="positive and negative emotions"):
        get_method("sepm").answer([Question(picture, ("joy", "awe"))], scripted(says(UNSURE, {"A": 1.0})))


def test_equal_options_are_written_alike():
    """They stand in the identity of a run: 0, 0.0 and -0.0 would be three runs."""
    zeros = (0, 0.0, -0.0, np.float64(0))
    written = {json.dumps(dataclasses.asdict(get_method("sepm", alpha=zero, beta=zero))) for zero in zeros}
    assert len(written) == 1
    assert type(get_method("sepm", alpha=np.float64(0.1)).alpha) is float


def test_random_tokens_are_the_pictures_own(scripted):
    """Other pictures lose other tokens, the same picture the same ones, whatever stands beside it."""
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 90, 180, 0)]
    questions = [Question(picture, ("joy", "fear")) for picture in pictures]
    method = get_method("random_drop", beta=0.5)
    together = [one.evidence.dropped for one in method.answer(questions, scripted(lambda _: {"A": 1.0}))]
    alone = [method.answer([one], scripted(lambda _: {"A": 1.0}))[0].evidence.dropped for one in questions]
    assert together == alone
    assert together[0] == together[3]
    assert len(set(together)) == 3


@pytest.mark.parametrize("reuse", [False, True])
def test_stage_two_goes_on_from_stage_one_only_where_that_is_asked_for(scripted, picture, reuse):
    """With reuse off the picture is read anew, which is what makes SEPM exact."""
    given = []

    class Watched(scripted):
        def read(self, prompts, visual, *, prefix=None, **more):
            given.append(prefix is not None)
            return super().read(prompts, visual, prefix=prefix, **more)

    get_method("sepm", reuse=reuse).answer([Question(picture, ("joy", "fear"))], Watched(lambda _: {"A": 1.0}))
    assert given == [False, reuse]

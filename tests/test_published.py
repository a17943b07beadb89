"""Answers that other projects publish: miniature files in their layouts, their rules, ours, and what is refused."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.report.published import read_published, readers
from sepm_eval.report.published.answers import Published
from sepm_eval.report.published.mllm_visual_emotion import options_of
from sepm_eval.report.published.mvei_plus import answer_part
from sepm_eval.scoring import failure_text

YES_NO, PICTURES = (
    "{'A': 'No.', 'B': 'Yes.'}",
    "{'A': 'The first picture.', 'B': 'The second picture.', 'C': 'Both pictures.'}",
)


def eemo(number, kind, options, target, text, verdict, **more):
    """One question of EEmo-Bench as its leaderboard files hold it."""
    told = {"id": number, "image1_url": "579.jpg", "question": "?", "options": options, "correct_answer": target}
    told |= {"question_type": kind, "perceptual_dimension": "Valence perception"}
    return told | {"response(our-7B)": text, "eval_result(our-7B)": verdict, "if_invalid(our-7B)": 0} | more


EEMO = [
    eemo(0, "Yes-or-No", YES_NO, "B", "B: Yes.", 1),
    eemo(1, "Yes-or-No", YES_NO, "A", "**Overall choice:** B: Yes", 0),
    eemo(2, "What/How", PICTURES, "B", "Option B: The second picture.\n\nThe first image is calm.", 1),
    eemo(3, "What/How", PICTURES, "C", "Both of them look rather sad to me.", 1),  # states no option
    eemo(4, "What/How", PICTURES, "A", "Answer: C", 1),  # the published verdict is wrong
    eemo(5, "Open_ended", "", "a text", "a text", ["2", "1", "2", "2", "2"]),
    eemo(6, "What/How", PICTURES, "A", "A red lamp.", ["0", "1", "0", "0", "1"]),  # graded by marks, as in two files
    eemo(220, "What/How", PICTURES, "A", "A: The first picture.", 1),  # not in the project's table
]


def mvei(target, text, kind="scene context"):
    """One statement of MVEI as EmObserver's inference writes it."""
    about = {"statement_meta": {"class": kind, "statement": "It is sad."}}
    return {"image_path": "a.jpg", "prompt": "?", "ground_truth": target, "other_info": about, "generations": [text]}


def eemo_plus(target, text, options="{'A': 'Joy', 'B': 'Fear', 'C': 'Anger', 'D': 'Neutral'}", kind="What/How"):
    """The same of EEmo-Bench."""
    told = {"image_path": "a.jpg", "prompt": f"Which? Choose from {options}", "ground_truth": target}
    return told | {"other_info": {"question_type": kind}, "generations": [text, "ignored"]}


def vec(target, text, task="EmoSet-8", candidates=("awe", "amusement", "contentment", "anger")):
    """The same of VECBench."""
    told = {"image_path": "a.jpg", "prompt": "?", "ground_truth": target, "generations": [text]}
    return told | {"other_info": {"candidates": list(candidates), "task": task}}


def mllm(number, target, text, read, query="Which emotion? (A) anger (B) disgust (C) fear. Answer as (X)."):
    """One question of MLLMVisualEmotion as its runner writes it."""
    told = {"idx": number, "image": "joy/1.jpg", "query": query, "answer": target, "model_output": text}
    return told | {"AI_answer": read, "accuracy": int(read == target)}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def answers_of(project, folder):
    return {one.item: one for file in read_published(project, folder) for one in file.answers}


def test_eemo_bench(tmp_path):
    write(tmp_path / "leaderboards" / "our_7b" / "EEmo-Bench(our_7b-pair).json", EEMO)
    (file,) = read_published("eemo-bench", tmp_path)
    assert (file.model, file.benchmark) == ("our-7B", "EEmo-Bench, pair")  # the file's name spells it otherwise
    assert (len(file.answers), file.left_out) == (5, 3)
    figures = {name: (theirs, ours) for name, theirs, ours in file.figures()}
    assert figures["yes or no"] == (50, 50)
    assert figures["what or how"] == (pytest.approx(100), pytest.approx(100 / 3))
    assert figures["overall"] == (75, pytest.approx((50 + 100 / 3) / 2))  # the unweighted mean of two kinds
    assert {one.item: one.status for one in file.answers} == dict(
        zip("01234", ("right", "wrong", "right", "unparsed", "wrong"), strict=True)
    )
    assert [one.item for one in file.disputed] == ["3", "4"]


@pytest.mark.parametrize(
    ("target", "text", "theirs", "right", "ours"),
    [
        ("correct", "The statement is correct.", "A", True, "A"),
        ("incorrect", "Incorrect", "B", True, "B"),
        ("incorrect", "<think>It is correct that A</think><answer>incorrect</answer>", "B", True, "B"),
        ("correct", "It is not incorrect.", "B", False, None),
        ("incorrect", "Answer: B", "A", False, "B"),  # the capital A of "Answer"
        ("incorrect", "b", "B", True, "B"),
        ("correct", "I cannot tell.", "", False, None),
        ("correct", "", "", False, None),
    ],
)
def test_mvei_by_both_rules(tmp_path, target, text, theirs, right, ours):
    write(tmp_path / "baselines" / "Our-7B" / "Std_MVEI_results.json", {"7": mvei(target, text)})
    one = answers_of("mvei-plus", tmp_path)["7"]
    assert (one.theirs, one.right, one.ours) == (theirs, right, ours)


@pytest.mark.parametrize(
    ("target", "text", "theirs", "right", "ours"),
    [
        ("C", "Answer: C", "A", False, "C"),
        ("A", "Answer: C", "A", True, "C"),
        ("C", "C. Anger", "A", False, "C"),  # of "Anger"
        ("C", "<answer>Anger</answer>", "C", True, "C"),
        ("B", "<answer>Anger</answer>", "A", False, "C"),
        ("A", "I do not know.", "A", True, None),  # nothing found is A
        ("D", "d", "D", True, "D"),
        ("D", "Neutral.", "A", False, "D"),
    ],
)
def test_eemo_letters_by_both_rules(tmp_path, target, text, theirs, right, ours):
    write(tmp_path / "Our-7B" / "Std_EEmo_Bench_Single_Perception_results.json", {"x": eemo_plus(target, text)})
    (file,) = read_published("mvei-plus", tmp_path)
    (one,) = file.answers
    assert (one.theirs, one.right, one.ours) == (theirs, right, ours)
    assert (file.model, file.benchmark) == ("Our-7B", "EEmo Bench Single Perception")


@pytest.mark.parametrize(
    ("target", "text", "theirs", "right", "ours"),
    [
        ("awe", "awesome amusement", "A", True, None),  # a part of a word
        ("amusement", "amusement, not awe", "A", False, "B"),  # the first candidate in the text, whatever is said
        ("awe", "I am not sure.", "A", True, None),  # none is the first candidate
        ("contentment", "<think>awe?</think><answer>Contentment</answer>", "C", True, "C"),
        ("anger", "D", "A", False, None),  # the question has no letters
        ("anger", "A", "A", False, None),
    ],
)
def test_vecbench_by_both_rules(tmp_path, target, text, theirs, right, ours):
    write(tmp_path / "Our-7B" / "Std_VECBench_results.json", {"x": vec(target, text)})
    one = answers_of("mvei-plus", tmp_path)["x"]
    assert (one.theirs, one.right, one.ours) == (theirs, right, ours)


def test_vecbench_is_averaged_over_tasks_and_kinds(tmp_path):
    """Whatever their sizes: 1/2 and 1 in domain, 0 out of it; one task is spelt as some files spell it."""
    told = {
        **{"1": vec("awe", "awe"), "2": vec("awe", "anger"), "3": vec("awe", "awe", "FI-8")},
        **{str(n): vec("anger", "awe", "UnbaisedEmo-6") for n in (4, 5, 6)},
    }
    write(tmp_path / "Our-7B" / "Std_VECBench_results.json", told)
    (file,) = read_published("mvei-plus", tmp_path)
    assert {name: theirs for name, theirs, _ in file.figures()} == {
        **{"EmoSet-8": 50, "FI-8": 100, "UnbiasedEmo-6": 0},
        **{"in-domain emotions": 75, "out of domain": 0, "all": 37.5},
    }
    assert file.disputed == []


def test_mvei_is_averaged_over_statements(tmp_path):
    told = {
        "1": mvei("correct", "correct"),
        "2": mvei("correct", "B"),
        "3": mvei("incorrect", "B", "sentiment polarity"),
    }
    write(tmp_path / "Our-7B" / "Std_MVEI_results.json", told)
    (file,) = read_published("mvei-plus", tmp_path)
    assert [(name, round(theirs, 2)) for name, theirs, _ in file.figures()] == [
        ("all", 66.67),
        ("scene context", 50),
        ("sentiment polarity", 100),
    ]


def test_what_emobservers_graders_read():
    assert answer_part("x<answer> B </answer>y<answer>C</answer>") == (" B ", True)
    assert answer_part("a</think>b<ANSWER>c") == ("c", False)
    assert answer_part("a<answer>b</think>c") == ("c", False)
    assert answer_part("whole") == ("whole", False)


def test_mllm_visual_emotion(tmp_path):
    path = tmp_path / "results" / "Our-7B" / "Emotion6" / "images_multiple_choice_results.json"
    samples = [
        mllm(1, "(C)", "The answer is (C).", "(C)"),
        mllm(2, "(A)", "(B) is wrong. The answer is (A).", "(A)"),
        mllm(3, "(C)", "Fear", "Extraction failed"),  # a name alone is no answer to the project
        mllm(4, "(B)", "I see (A) anger, or maybe (B)", "(B)"),  # nor a guess to us
    ]
    write(path, {"samples": samples, "statistics": {"overall_accuracy": 0.75}, "Exception": []})
    (file,) = read_published("mllm-visual-emotion", tmp_path)
    assert (file.model, file.benchmark) == ("Our-7B", "Emotion6, multiple choice")
    assert file.figures() == [("all", 75.0, 75.0)]
    assert [(one.item, one.theirs, one.ours) for one in file.disputed] == [("3", "", "C"), ("4", "B", None)]


def test_options_of_a_question():
    assert options_of("Which? (A) anger (B) disgust, (C) fear.\nAnswer (A) or (B).") == ("anger", "disgust", "fear")
    assert options_of("(A) Positive\n(B) Negative\n(C) Neutral") == ("Positive", "Negative", "Neutral")
    assert options_of("Answer with a letter.")[2] == "option C"
    assert Published("1", "all", "(C)", options_of("?"), "C", "C", True).ours == "C"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("D: The second picture.", "D"),
        ("The second picture", "D"),
        ("The second picture is darker.", None),
        ("the first picture (Option C)", "C"),
        ("Option B.", "B"),
        ("My second choice is B. Both pictures.", None),
        ("No", "A"),
        ("There is no doubt: option C", "C"),
        ("I see no joy in it.", None),
    ],
)
def test_options_of_several_words_are_read_as_one(text, ours):
    one = Published(
        "1", "all", text, ("No.", "Both pictures.", "The first picture.", "The second picture."), "A", "", True
    )
    assert one.ours == ours


def test_a_failure_is_no_answer(tmp_path):
    told = {"1": mvei("correct", "correct"), "2": mvei("correct", failure_text(OSError("gone")))}
    write(tmp_path / "Our-7B" / "Std_MVEI_results.json", told)
    (file,) = read_published("mvei-plus", tmp_path)
    assert [file.count(one) for one in ("right", "wrong", "unparsed", "failed")] == [1, 0, 0, 1]
    assert file.figures()[0] == ("all", 50.0, 100.0)  # to the project it is a wrong answer, to us it is none


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["rescore", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return re.sub(r"[\s│┃]+", " ", result.output)


def test_the_command_shows_both_scores_and_every_disagreement(tmp_path):
    write(tmp_path / "EEmo-Bench(our_7b-pair).json", EEMO)
    output = call("--from", "eemo-bench", tmp_path)
    assert "our-7B: EEmo-Bench, pair, N = 5" in output
    assert "what or how 100.00 33.33 -66.67" in output
    assert "by our rule 2 right, 2 wrong, 1 unparsed, 0 failed" in output
    assert "3 answers are left out" in output
    assert "2 answers are read differently" in output
    assert "3: theirs right; ours unparsed; the answer is C; written 'Both of them look" in output
    assert "4: theirs right; ours C; the answer is A; written 'Answer: C'" in output
    write(tmp_path / "M" / "Std_EEmo_Bench_Pair_Perception_results.json", {"x": eemo_plus("C", "Answer: C")})
    output = call("--from", "mvei-plus", tmp_path)
    assert "x: theirs A, wrong; ours C; the answer is C; written 'Answer: C'" in output


def test_nothing_in_an_answer_acts_on_the_screen(tmp_path):
    nasty = "[red]\x1b[31m" + "x" * 400
    write(tmp_path / "EEmo-Bench(our_7b-pair).json", [eemo(0, "Yes-or-No", YES_NO, "B", nasty, 1)])
    output = call("--from", "eemo-bench", tmp_path)
    assert "\x1b[31m" not in output
    assert "[red]" in output
    assert "x ... x" in output


def test_the_readers_there_are(tmp_path):
    assert sorted(readers()) == ["eemo-bench", "mllm-visual-emotion", "mvei-plus"]
    assert "there are readers for eemo-bench" in call("--from", "emobench", tmp_path, code=1)
    assert "is no folder" in call("--from", "eemo-bench", tmp_path / "gone", code=1)


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("eemo-bench", "no file 'EEmo-Bench(*).json', which is how EEmo-Bench names its answers; there are ['a.txt']"),
        ("mvei-plus", "no file 'Std_*_results.json', which is how MVEI_PLUS names"),
        ("mllm-visual-emotion", "no file '*_results.json', which is how MLLMVisualEmotion names"),
    ],
)
def test_a_folder_without_answers_is_refused(tmp_path, project, said):
    (tmp_path / "a.txt").write_text("x")
    assert said in call("--from", project, tmp_path, code=1)


EEMO_FILE, MVEI_FILE = "EEmo-Bench(our_7b-pair).json", "M/Std_MVEI_results.json"
VEC_FILE, PAIR_FILE, MLLM_FILE = (
    "M/Std_VECBench_results.json",
    "M/Std_EEmo_Bench_Pair_results.json",
    "M/E/images_x_results.json",
)


@pytest.mark.parametrize(
    ("project", "name", "content", "said"),
    [
        ("eemo-bench", EEMO_FILE, {"a": 1}, "expected a list of questions, found a dict"),
        ("eemo-bench", EEMO_FILE, [], "expected a list of questions"),
        ("eemo-bench", "EEmo-Bench(our).json", EEMO, "the name says neither single nor pair"),
        ("eemo-bench", EEMO_FILE, [1], "question 1: expected an answer called 'response(MODEL)'"),
        ("eemo-bench", EEMO_FILE, [EEMO[0], {"id": 1}], "2: expected 'question_type', a str; there are ['id']"),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "question_type": "Essay"}], "question_type is 'Essay', none of"),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "options": "{'A': 'x', 'C': 'y'}"}], "expected options A, B, ..."),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "options": "A: no"}], "expected options A, B, ..."),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "correct_answer": "D"}], "correct_answer is 'D', and the options are"),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "eval_result(our-7B)": 2}], "eval_result(our-7B) is 2, neither 0 nor 1"),
        ("eemo-bench", EEMO_FILE, [{**EEMO[0], "response(our-7B)": None}], "response(our-7B)', a str; it is None"),
        ("mvei-plus", "M/Std_Other_results.json", {}, "expected answers to one of MVEI, EEmo_Bench, VECBench"),
        ("mvei-plus", MVEI_FILE, [], "expected an object with one record an id, found a list"),
        ("mvei-plus", MVEI_FILE, {"7": 1}, "'7': expected an object, found 1"),
        ("mvei-plus", MVEI_FILE, {"7": mvei("maybe", "A")}, "ground_truth is 'maybe', neither"),
        ("mvei-plus", MVEI_FILE, {"7": {**mvei("correct", ""), "generations": [1]}}, "holds ints, not texts"),
        ("mvei-plus", MVEI_FILE, {"7": {**mvei("correct", ""), "other_info": {}}}, "expected 'statement_meta', a dict"),
        ("mvei-plus", PAIR_FILE, {"x": eemo_plus("E", "A")}, "ground_truth is 'E', and the options are"),
        ("mvei-plus", PAIR_FILE, {"x": eemo_plus("A", "A", kind="Essay")}, "question_type is 'Essay', none of"),
        ("mvei-plus", VEC_FILE, {"x": vec("joy", "A")}, "ground_truth is 'joy', none of"),
        ("mvei-plus", VEC_FILE, {"x": vec("awe", "A", "FI-9")}, "task is 'FI-9', none of"),
        ("mllm-visual-emotion", MLLM_FILE, {"rows": []}, "expected 'samples', a list; there are ['rows']"),
        ("mllm-visual-emotion", MLLM_FILE, {"samples": [mllm(1, "C", "", "(C)")]}, "is 'C', no letter in brackets"),
        ("mllm-visual-emotion", MLLM_FILE, {"samples": [mllm(1, "(D)", "", "(C)")]}, "is '(D)', and the options"),
        ("mllm-visual-emotion", MLLM_FILE, {"samples": [mllm(1, "(A)", "", "none")]}, "AI_answer is 'none', no letter"),
    ],
)  # fmt: skip
def test_another_layout_is_named(tmp_path, project, name, content, said):
    path = write(tmp_path / name, content)
    output = call("--from", project, tmp_path, code=1)
    assert said in output
    assert path.name in output


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / EEMO_FILE).write_bytes(b"\xff[")
    assert "is not JSON in UTF-8" in call("--from", "eemo-bench", tmp_path, code=1)


def test_options_without_braces_are_letters(tmp_path):
    told = {"x": {**eemo_plus("C", "option C"), "prompt": "Which? A:Joy B:Fear C:Awe D:Anger"}}
    write(tmp_path / PAIR_FILE, told)
    assert answers_of("mvei-plus", tmp_path)["x"].ours == "C"

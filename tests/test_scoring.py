"""What a text in an answer's place stands for: an answer, nothing that can be read, or a fault of the host."""

from __future__ import annotations

import pandas as pd
import pytest

from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import MIKELS
from sepm_eval.hosts.vlmevalkit.scores import is_failed, score_table
from sepm_eval.parsing import Options
from sepm_eval.scoring import failure_text, is_failure, macro_f1, score

EIGHT = Options(tuple(MIKELS), tuple(MIKELS.values()))

# As the hosts write them: the files are named in scoring.FAILURE_MARKS.
MARKS = (
    failure_text(OSError("gone")),
    "[LMMS_EVAL_REQUEST_FAILED after 5 retries] Connection error.",
    "[LMMS_EVAL_REQUEST_FAILED after 3 retries] Error code: 400 - the answer is B",
    "[SAFETY_BLOCKED:finish_reason=2,HARM_CATEGORY_DANGEROUS_CONTENT=HIGH]",
    "[SAFETY_BLOCKED:unknown]",
    "[GENERATION_FAILED] CUDA out of memory",
    "[ERROR] Unknown",
    "[ERROR] Empty prompt: doc_id=3",
    "Video <PIL.Image.Image image mode=RGB size=336x336> can not load, check the source",
    "Video a.mp4 generate failed, check the source",
    "Failed to obtain answer via API.",
    "Failed to obtain answer via API. ",
    "Failed to obtain answer via API.timed out",
    "Failed to obtain answer.",
    "Failed to obtain answer: <class 'RuntimeError'> CUDA error",
    "Failed to obtain answer via bailingMM API.",
    "Failed to obtain answer BlueLM API. ",
    "Fail to obtain answer via API.",
    "Chat Mode: Failed with all possible conversation turns.",
    "Image Decode Error",
    "Error: Bad Response Statuse Code. ",
    "Error: Failed to parse the response. 'choices'",
    "\n Failed to obtain answer via API.\n",
)


@pytest.mark.parametrize("output", MARKS)
def test_a_mark_of_a_host_is_a_failed_question(output):
    assert is_failure(output)
    assert is_failed(output)
    found = score(output, "anger", EIGHT)
    assert (found.status, found.label, found.correct) == ("failed", None, False)


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("B. Anger. The screen behind the man says 'Failed to obtain answer via API.'", "answered"),
        ("The answer is B. The log reads [LMMS_EVAL_REQUEST_FAILED after 5 retries] timeout", "answered"),
        ("Answer: B [ERROR] ", "answered"),
        ("The text in the picture is [SAFETY_BLOCKED:unknown].", "unparsed"),
        ("I failed to obtain an answer.", "unparsed"),
        ("Video games can not load, they check the source code of anger", "unparsed"),
        ("Image Decode Error is written on the screen. The answer is B.", "answered"),
        ("Error", "unparsed"),
        ("Error: timed out", "unparsed"),
        ("I'm sorry, I can't help with that.", "unparsed"),
        ("Can not infer the answer.", "unparsed"),
        ("", "unparsed"),
        (" \n", "unparsed"),
    ],
)
def test_a_mark_within_an_answer_and_what_a_model_may_say_are_no_faults(output, status):
    assert not is_failure(output)
    assert score(output, "anger", EIGHT).status == status


def test_both_hosts_count_alike():
    texts = ["B. Anger", "I cannot determine", "A", *MARKS, ""]
    data = pd.DataFrame({"index": [str(n) for n in range(len(texts))], "category": "anger"})
    benchmark = find_benchmarks()["emoset"]
    rows, summary = score_table(data, pd.Series(texts, index=data["index"], dtype=object), benchmark)
    ours = [score(text, "anger", EIGHT) for text in texts]
    assert list(rows["status"]) == [
        ("right" if one.correct else "wrong") if one.status == "answered" else one.status for one in ours
    ]
    assert summary[["right", "wrong", "unparsed", "failed"]].iloc[0].tolist() == [1, 1, 2, len(MARKS)]
    assert summary["Overall"].iloc[0] == 0.25


def test_an_answer_is_right_or_wrong_or_unparsed():
    found = [score(text, "anger", EIGHT) for text in ("B", "C", "who knows")]
    assert [(one.status, one.label, one.correct) for one in found] == [
        ("answered", "anger", True),
        ("answered", "awe", False),
        ("unparsed", None, False),
    ]


def test_macro_f1_counts_every_label_alike():
    """Nine of ten are anger: a weighted mean would hide that the tenth is never found."""
    targets, answers = ["anger"] * 9 + ["awe"], ["anger"] * 10
    assert macro_f1(targets, answers) == pytest.approx((2 * 9 / 19 + 0) / 2)

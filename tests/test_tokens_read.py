"""What a question costs, counted where it is read: visual tokens of every prompt, down to the report."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from sepm_eval import Question, demo, get_method
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS
from sepm_eval.runs import journal_records
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal_records import records
from sepm_eval.runs.runner import Runner

# The demo model sees 8 x 8 tokens; a picture of half the area 6 x 6, and of 0.8 of it 7 x 7.
EXPECTED = [
    ("zero_shot", {}, (64,)),
    ("sparsevlm", {}, (64,)),
    ("sepm", {}, (64, 64 - 12)),
    ("sepm", {"beta": 0.5}, (64, 32)),
    ("sepm", {"vta": False}, (64, 64)),
    ("sepm", {"cci": False, "vta": False}, (64,)),
    ("sepm", {"reuse": True}, (64, 0)),
    ("random_drop", {}, (64, 64 - 12)),
    ("query_drop", {"beta": 0.1}, (64, 64 - 6)),
    ("downsample", {}, (64, 49)),
    ("downsample", {"beta": 0.5}, (64, 36)),
    ("downsample", {"beta": 0.0}, (64, 64)),
]


@pytest.fixture(scope="module")
def pictures():
    return [Image.open(path).convert("RGB") for path in sorted((demo.PICTURES / "seen").glob("*_000.jpg"))[:2]]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("name", "options", "read"), EXPECTED)
def test_tokens_of_each_prompt(demo_backbone, pictures, name, options, read, shared):
    questions = [Question(picture, tuple(MIKELS), tuple(MIKELS.values())) for picture in pictures]
    backbone = Shared(demo_backbone) if shared else demo_backbone
    for answer in get_method(name, **options).answer(questions, backbone):
        assert answer.tokens_read == read
        assert len(answer.prompts) == len(read)


@pytest.mark.parametrize(("beta", "total"), [(0.2, 113), (0.5, 100)])
def test_the_journal_says_it_and_the_report_reads_it(demo_backbone, pictures, tmp_path, beta, total):
    """Downsampling: 64 tokens in stage 1 and fewer in stage 2, not stage 2's twice."""
    text = "Which?\n" + "\n".join(f"{chr(65 + i)}. {name}" for i, name in enumerate(MIKELS.values()))
    method = get_method("downsample", beta=beta)
    runner = Runner("llava", demo_backbone, "downsample", method, journal_path=tmp_path / "journal.jsonl")
    runner.answer([Asked("task", 0, lambda: (text, [pictures[0]]), 8)], quiet=True)
    runner.journal.close()
    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    ((_, _, record),) = records(tmp_path / "journal.jsonl", {json.loads(line)["key"]})
    assert sum(record.tokens_read) == total


@pytest.mark.parametrize("counts", [(-1,), (True,), ("64",), (1.5,)])
def test_what_is_no_count_is_no_record(counts):
    with pytest.raises(TypeError, match="tokens_read is"):
        journal_records._shared(counts)

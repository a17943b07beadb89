"""How long the model spent on an answer: in the journal, in a report, and alike for variants that share a model."""

from __future__ import annotations

import json

import pytest
from make_runs import LLAVA, read_lines, run, write_lines
from PIL import Image

from sepm_eval import get_method, prompts
from sepm_eval.backbone import shared
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import MIKELS
from sepm_eval.report.stages import costs
from sepm_eval.runs import runner as runner_module
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner
from sepm_eval.runs.variants import answer_variants

EIGHT = prompts.fine(zip(prompts.letters(8), MIKELS.values(), strict=True), prompts.WORDINGS["paper"])
SEE, READ, WRITE = 1.0, 10.0, 100.0


def says(prompt):
    return {"A": 0.6, "B": 0.4} if "B. Negative" in prompt else {"Because it is dark": 1.0}


@pytest.fixture
def slow(scripted, monkeypatch):
    """A backbone that takes so many seconds a picture on a clock of its own, by which runner and sharing go."""
    clock = [0.0]

    class Clock:
        monotonic = staticmethod(lambda: clock[0])

    for module in (shared, runner_module):
        monkeypatch.setattr(module, "time", Clock)

    class Slow(scripted):
        def see(self, images, *more, **named):
            clock[0] += SEE * len(images)
            return super().see(images, *more, **named)

        def read(self, prompts, *more, **named):
            clock[0] += READ * len(prompts)
            return super().read(prompts, *more, **named)

        def write(self, reading, most, rows=None):
            found = super().write(reading, most, rows)
            clock[0] += WRITE * len(found)
            return found

    return Slow(says)


def questions(count):
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(count)]
    return [Asked("task", i, lambda one=one: (EIGHT, [one]), 8) for i, one in enumerate(pictures)]


def runner(backbone, folder, method, **options):
    path = folder / f"{method}{options}.jsonl"
    return Runner("scripted", backbone, method, get_method(method, **options), 2, path)


def seconds(one):
    one.journal.close()
    return [record["seconds"] for record in read_journal(one.journal.path)]


def test_the_journal_has_the_seconds_of_each_answer(slow, tmp_path):
    one = runner(slow, tmp_path, "zero_shot")
    one.answer(questions(3), quiet=True)
    assert seconds(one) == [SEE + READ + WRITE] * 3


def test_variants_that_share_a_model_take_what_each_would_take_alone(slow, tmp_path):
    """Whoever comes second is given much from memory, and is not called faster for it."""
    chosen = [("zero_shot", {}), ("sepm", {"beta": 0.1}), ("sepm", {"beta": 0.2}), ("zero_shot_cot", {})]
    (tmp_path / "alone").mkdir()
    alone = []
    for method, options in chosen:
        one = runner(slow, tmp_path / "alone", method, **options)
        one.answer(questions(3), quiet=True)
        alone.append(seconds(one))
    backbone = Shared(slow)
    together = [runner(backbone, tmp_path, method, **options) for method, options in chosen]
    answer_variants(together, questions(3), quiet=True)
    assert [seconds(one) for one in together] == alone
    assert alone[1][0] > alone[0][0]


def test_an_answer_from_the_journal_keeps_its_seconds(slow, tmp_path):
    for backbone in (slow, slow):
        one = runner(backbone, tmp_path, "zero_shot")
        one.answer(questions(2), quiet=True)
        one.journal.close()
    assert [record["seconds"] for record in read_journal(one.journal.path)] == [SEE + READ + WRITE] * 2


def two_runs(folder, told):
    for method, value in (("zero_shot", told), ("sepm", 3.5)):
        run(folder, "sepm_llava", LLAVA, method, "emoset", 0.5, "20261101_120000")
        (path,) = (folder / "journals").glob(f"*{method}.jsonl")
        write_lines(path, [{**line, **({} if value is None else {"seconds": value})} for line in read_lines(path)])


def test_a_report_shows_them_and_reads_journals_without(tmp_path):
    two_runs(tmp_path, None)
    rows = {row["method"]: row["seconds"] for row in costs(read_runs([tmp_path])).records}
    assert rows == {"zero_shot": None, "sepm": 3.5}


@pytest.mark.parametrize("told", [-1, "3", True, 1e300, json.loads("NaN"), [1]])
def test_what_is_no_time_is_a_damaged_journal(tmp_path, told):
    two_runs(tmp_path, told)
    with pytest.raises(ValueError, match=r"line 1 is not a journal record .*seconds is"):
        read_runs([tmp_path])

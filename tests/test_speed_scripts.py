"""The scripts that measure speed: that they run, and that a missed target ends them with an error. Nothing is timed."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The folder on the import path, as for a script in it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_the_gpu_script_goes_through_on_a_cpu():
    """Every method on both models in tiny, the reference recipe, and the oracles' answers against the CPU's."""
    command = [sys.executable, "gpu.py", "--tiny", "--device", "cpu", "--batches", "1", "3", "--seconds", "0"]
    run = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "the tiny checkpoints answer on cpu as on the CPU" in run.stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in run.stdout.splitlines() if line[:1] == "|"]
    measured = {tuple(row[:4]) for row in rows if re.fullmatch(r"\d+\.\d+", row[4])}
    methods = ("zero_shot", "sepm", "sepm reuse", "sparsevlm")
    expected = {(model, name, "sdpa", batch) for model in ("llava", "vila") for name in methods for batch in "13"}
    assert measured == expected | {("llava", "recipe", "eager", "1")}
    skipped = {row[4] for row in rows if row[2] == "flash"}
    assert skipped == {"FlashAttention 2 needs a CUDA device"}


def test_the_recipe_is_sepm(scripts):
    """The re-creation of the published recipe answers as the exact variant, and shares the weights."""
    from models import TINY, build, demo_questions
    from recipe import Recipe

    from sepm_eval import get_method

    backbone = build("llava", TINY["llava"], seed=0)
    recipe, questions = Recipe(backbone), demo_questions(6)
    expected = [recipe.answer(question) for question in questions]
    answers = get_method("sepm").answer(questions, backbone)
    assert [(answer.text, list(answer.evidence.dropped)) for answer in answers] == expected
    assert len({text for text, _ in expected}) > 1
    assert recipe._model.lm_head.weight.data_ptr() == backbone._model.lm_head.weight.data_ptr()
    assert recipe._model.model.language_model.config._attn_implementation == "eager"


def test_memory_is_told_from_few_layers(scripts):
    """As it is found with all nine, both for the exact variant and for the one that keeps stage 1's cache."""
    import memory
    import torch
    from models import TINY, build, demo_questions

    from sepm_eval import get_method

    geometry = replace(TINY["llava"], decoder=replace(TINY["llava"].decoder, layers=9))
    told = {figure.what: figure.value * 1e9 for figure in memory.measure(2, {"llava": geometry}, torch.float32)}
    backbone, questions = build("llava", geometry), demo_questions(2)
    backbone.see, backbone.read = memory.marked(backbone.see), memory.marked(backbone.read)
    for name, options in memory.METHODS.items():
        method = get_method("sepm", **options)
        found = memory.peaks(lambda method=method: method.answer(questions, backbone))
        assert len(found) == 3  # pictures, two stages
        assert told[f"llava, batch 2: {name}"] == pytest.approx(memory.weights(backbone) + max(found), rel=1e-3)
    assert told["llava, batch 2: weights"] == memory.weights(backbone)


def test_a_report_on_few_items_is_measured_as_one_on_many(scripts):
    """Every answer finds its journal record, and the targets are those of 50,000 items."""
    import report_scale

    time, memory = report_scale.measure([40])
    assert (time.unit, memory.unit) == ("s", "MB")
    assert (time.at_most, memory.at_most) == (30, 600)
    assert 50 < memory.value < 600


def test_a_large_journal_is_measured(scripts):
    """In small: every record is found, in time and memory that have targets."""
    import journal_size

    figures = journal_size.measure(megabytes=1)
    assert len(figures) == 4
    assert all(figure.value > 0 and figure.target for figure in figures)


@pytest.mark.parametrize(
    ("value", "targets", "missed"),
    [
        (1.0, {"at_most": 1.0}, False),
        (1.01, {"at_most": 1.0}, True),
        (2.0, {"at_least": 2.0}, False),
        (1.9, {"at_least": 2.0}, True),
        (float("nan"), {"at_most": 1.0}, True),
        (9.0, {}, False),
    ],
)
def test_a_missed_target_is_an_error(scripts, capsys, value, targets, missed):
    from table import Figure, show

    with pytest.raises(SystemExit) as end:
        show([Figure("other", 1.0), Figure("this", value, **targets)])
    assert bool(end.value.code) is missed
    assert ("MISSED" in capsys.readouterr().out) is missed

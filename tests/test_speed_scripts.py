"""The scripts that measure speed: that they run, and that a missed target ends them with an error. Nothing is timed."""

import importlib
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The folder on the import path, as for a script in it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def rows_of(text):
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]


def test_the_gpu_script_goes_through_on_a_cpu(scripts, capsys):
    """Every method on a model of ours and on a family, the reference recipe, the same answers as on the CPU."""
    import gpu
    import torch

    assert gpu.report(["llava", "internvl"], True, torch.device("cpu"), ["float32"], [2], 0) == []
    printed = capsys.readouterr().out
    assert "the tiny checkpoints answer on cpu as on the CPU" in printed
    rows = rows_of(printed)
    measured = {tuple(row[:4]) for row in rows if re.fullmatch(r"\d+\.\d+", row[4])}
    both = {
        (model, name, "sdpa", "2") for model in ("llava", "internvl") for name in ("zero_shot", "sepm", "sepm reuse")
    }
    pruned = {(model, "sparsevlm", "sdpa", "2") for model in ("llava", "internvl")}
    assert measured == both | pruned | {("llava", "recipe", "eager", "1")}
    assert {row[4] for row in rows if row[2] == "flash"} == {"FlashAttention 2 needs a CUDA device"}
    assert "internvl, sepm: first answer after" in printed
    assert "llava, sepm, float32: 0 % of answers, 0 % of dropped sets change between (1, 3) at once" in printed


def test_the_gpu_script_says_what_an_old_transformers_lacks(scripts, monkeypatch):
    import gpu

    monkeypatch.setattr(gpu.transformers, "__version__", "5.17.0")
    assert gpu.too_old() == "transformers 5.17.0 is older than 5.20.2"
    monkeypatch.setattr(gpu.transformers, "__version__", "5.21.0")
    assert gpu.too_old() == ""


@pytest.mark.parametrize("size", ["scaled", "wide", "full"])
def test_checkpoints_of_every_size_are_models(scripts, tmp_path, size):
    """Their settings alone, on no device: no weight is drawn."""
    import checkpoints
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    for family in checkpoints.DEPTHS[size]:
        folder = tmp_path / family
        folder.mkdir()
        checkpoints._write_settings(family, size, folder)
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config)
        text = model.config.get_text_config()
        assert len(model.get_decoder().layers) == checkpoints.DEPTHS[size][family][0]
        section = (text.rope_parameters or {}).get("mrope_section")
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        assert section is None or sum(section) == width // 2
    if size == "full":
        parameters = sum(one.numel() for one in model.parameters())
        assert 8e9 < parameters < 9e9  # InternVL3.5-8B, with untied embeddings


def test_our_entries_are_timed_beside_a_stock_one(scripts, capsys):
    """The same requests, the same letters; an entry whose package is missing is left out by name."""
    import stock

    internvl = stock.RIVALS["internvl_hf"]
    stock.RIVALS["gone"] = replace(internvl, stock="gone", needs="no_such_package")
    try:
        figures = stock.measure(["gone", "internvl_hf"], ["tiny"], pictures=2, rounds=1)
    finally:
        del stock.RIVALS["gone"]
    assert "gone is left out: the package no_such_package" in capsys.readouterr().out
    values = {figure.what.split(": ")[1]: figure for figure in figures}
    assert values["zero-shot answers alike"].value == 100
    assert values["our SEPM is faster than its zero-shot"].at_least == 1
    assert all(figure.value > 0 for figure in figures)


def test_families_are_held_against_the_bare_forward_pass(scripts, monkeypatch):
    """Which does the same operations, and unequal pictures make little padding."""
    import families

    figures = {figure.what: figure for figure in families.of_family("internvl", "tiny", 1)}
    assert 0.5 < figures["internvl: the same in operations"].value < 1  # the last layer's MLP is spared
    assert 1 < figures["internvl: floor, SEPM / zero-shot"].value < 2.5
    assert figures["internvl: zero-shot / bare forward pass"].at_most == 1.03
    monkeypatch.setattr(families, "SIZES", families.SIZES[:16])
    (share,) = families.padding(4)
    assert 0 < share.value <= share.at_most


def test_what_other_methods_cost_is_measured(scripts, capsys):
    import method_times
    from models import TINY

    figures = [figure.what for figure in method_times.measure(1, TINY["llava"], written=4, budgets=[128], batch=2)]
    assert figures[:2] == [
        "reading on behind a letter, 2 at once",
        "DAN, 4 tokens written: prompts read anew / shared reading",
    ]
    named = [what.split(",")[0] for what in figures[2:]]
    assert named == [name for name in method_times.PRUNING if name != "pyramiddrop"]
    assert "pyramiddrop, budget 128 is left out" in capsys.readouterr().out


def test_two_processes_are_held_against_one(scripts, tmp_path, monkeypatch):
    """Start-up, here 20 seconds, is in neither."""
    import processes

    from sepm_eval.runs.plan import load_plan

    (tmp_path / "plan.yaml").write_text(processes.PLAN.format(folder=tmp_path))
    assert load_plan(str(tmp_path / "plan.yaml")).models[0].args["pretrained"] == str(tmp_path)
    monkeypatch.setattr(processes, "write", lambda family, size, folder: folder)
    monkeypatch.setattr(
        processes, "seconds", lambda count, folder, pictures: 20 + 1.5 * pictures / count * 1.1 ** (count - 1)
    )
    monkeypatch.setattr(processes.os, "cpu_count", lambda: 2)
    each, rest, gain = processes.measure(4, 36)
    assert (each.value, rest.value) == (pytest.approx(1.5), pytest.approx(20))
    assert gain.value == pytest.approx(2 / 1.1)
    assert gain.at_least == 1.8


def test_where_the_start_goes_adds_up(scripts, monkeypatch, capsys):
    import startup

    imports = startup.Counter({"torch": 5.0, "transformers": 2.0, "sepm_eval": 0.5})
    monkeypatch.setattr(startup, "whole", lambda name: (20.0, imports))
    monkeypatch.setattr(startup, "loading", lambda name: {"fingerprint": 0.25, "loading": 0.5})
    (ours,) = startup.measure()
    assert (ours.value, ours.at_most) == (1.25, 2)
    rows = rows_of(capsys.readouterr().out)
    for column in (1, 2, 3):
        *parts, together = [float(row[column]) for row in rows[2:]]
        assert sum(parts) == pytest.approx(together)


def test_hundreds_of_pictures_are_timed(scripts, monkeypatch, capsys):
    """In small, by twos: three runs of four pictures give the six times that a median is taken of."""
    import many_pictures

    for name, value in (("HUNDRED", 2), ("LEAST", 5), ("FIRST", 2)):
        monkeypatch.setattr(many_pictures, name, value)
    many_pictures.run(4)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < found["seconds"] < 60
    assert found["peak"] > 5e7


def test_reading_answers_is_timed(scripts):
    import parsing

    growth, slowest = parsing.measure((200, 400))
    assert growth.at_most == 1.5
    assert slowest.what == "answers of 400 characters: the slowest is read in"


def test_everything_in_bench_can_be_called(scripts):
    import bench

    for name, settings in bench.PARTS.items():
        inspect.signature(importlib.import_module(name).measure).bind(**settings)


def test_the_recipe_is_sepm(scripts):
    """The re-creation of the published recipe answers as the exact variant, and shares the weights."""
    from models import TINY, build, demo_questions
    from recipe import Recipe

    from sepm_eval import get_method

    backbone = build("llava", TINY["llava"], seed=2)  # which has two answers among six pictures
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
    """Every answer finds its journal record, and the targets are those of 50,000 items and as many runs."""
    import report_scale

    time, memory = report_scale.measure([40], runs=2)
    assert (time.unit, memory.unit) == ("s", "MB")
    assert (time.at_most, memory.at_most) == (20, 440)
    assert 50 < memory.value < 440


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

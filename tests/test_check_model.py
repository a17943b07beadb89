"""``sepm-eval check-model``: every line of the contract can be kept and broken, and the command says which."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import ORACLES as FOLDERS
from tiny_families import ORACLES, WITH_ORACLE, read_json
from typer.testing import CliRunner

from sepm_eval import load_backbone
from sepm_eval.cli import app
from sepm_eval.model_wrappers._trial import hold_to_contract, spelt

VILA = FOLDERS / "vila15_tiny" / "checkpoint"
LLAVA = FOLDERS / "llava15_tiny" / "hf"
# Recurrent layers, a window shorter than the prompt, a prompt that is read both ways.
NOT_COMPARED = {"qwen3_5": "keep: dropping", "aya_vision": "keep: dropping", "paligemma": "writes"}


def call(*arguments, code=0, screen="output"):
    result = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["check-model", *map(str, arguments), "--device", "cpu"])
    assert result.exit_code == code, result.output
    return getattr(result, screen)


def row(output, what):
    """The second cell of a row of the second table."""
    (line,) = [line for line in output.splitlines() if line.startswith(f"│ {what}")]
    return line.split("│")[2].strip()


@pytest.mark.parametrize("family", WITH_ORACLE)
def test_no_family_breaks_a_line(family):
    backbone = load_backbone("hf", str(ORACLES / family), device="cpu", dtype="float32")
    lines = {line.what: line for line in hold_to_contract(backbone)}
    assert len(lines) == 10
    expected = dict.fromkeys(lines, "holds")
    for ability in ("reuse", "resize", "prune"):
        if ability not in backbone.supports:
            expected |= {what: "no" for what in lines if what.startswith(ability)}
    expected |= {what: "no" for what in lines if what.startswith(NOT_COMPARED.get(family, "none"))}
    assert {what: line.verdict for what, line in lines.items()} == expected


@pytest.mark.parametrize(("name", "folder"), [("llava", LLAVA), ("vila", VILA), ("llava", "demo")])
def test_llava_and_vila_keep_every_line(name, folder):
    backbone = load_backbone(name, str(folder), device="cpu")
    assert {line.verdict for line in hold_to_contract(backbone)} == {"holds"}


def test_half_precision_keeps_every_line():
    backbone = load_backbone("hf", str(ORACLES / "internvl"), device="cpu", dtype="bfloat16")
    assert "fails" not in {line.verdict for line in hold_to_contract(backbone)}


@pytest.fixture
def llava():
    return load_backbone("llava", str(LLAVA), device="cpu")


def broken(backbone):
    return {line.what.split(":")[0].split()[0] for line in hold_to_contract(backbone) if line.verdict == "fails"}


def disturbed(reading):
    return replace(reading, logits=reading.logits.flip(-1))


@pytest.mark.parametrize(
    ("when", "lines"),
    [
        (lambda prompts, given: len(prompts) > 1 and not given, {"reads", "a", "keep", "reuse", "prune"}),
        (lambda prompts, given: len(prompts) == 1, {"a"}),
        (lambda prompts, given: "keep" in given, {"keep"}),
        (lambda prompts, given: "prefix" in given, {"reuse"}),
    ],
)
def test_a_reading_that_differs_breaks_its_lines(llava, monkeypatch, when, lines):
    read = llava.read

    def other(prompts, visual, **given):
        reading = read(prompts, visual, **given)
        return disturbed(reading) if when(prompts, given) else reading

    monkeypatch.setattr(llava, "read", other)
    assert broken(llava) - {"writes"} == lines


def test_dropped_tokens_that_are_still_read_break_a_line(llava, monkeypatch):
    read = llava.read
    monkeypatch.setattr(llava, "read", lambda *asked, keep=None, **given: read(*asked, **given))
    assert [line.what for line in hold_to_contract(llava) if line.verdict == "fails"] == ["keep: dropping is removal"]


def test_positions_that_are_not_what_is_said_break_a_line(llava, monkeypatch):
    """The plain forward pass goes by what the backbone says; the reading here does not."""
    read, model = llava.read, llava._language_model

    def other(*asked, keep=None, **given):
        monkeypatch.setattr(model, "positions", "closed" if keep is None else "kept")
        reading = read(*asked, keep=keep, **given)
        monkeypatch.setattr(model, "positions", "closed")
        return reading

    monkeypatch.setattr(llava, "read", other)
    assert broken(llava) == {"keep"}


@pytest.mark.parametrize("change", [lambda row: -row, lambda row: row * 0, lambda row: row[1:], lambda row: row + 1])
def test_impossible_attention_breaks_a_line(llava, monkeypatch, change):
    read = llava.read

    def other(*asked, **given):
        reading = read(*asked, **given)
        if reading.probe_attention is not None:
            return replace(reading, probe_attention=[change(row) for row in reading.probe_attention])
        return reading

    monkeypatch.setattr(llava, "read", other)
    assert broken(llava) == {"probe"}


def test_another_greedy_token_breaks_a_line(llava, monkeypatch):
    write = llava._language_model.write
    monkeypatch.setattr(llava._language_model, "write", lambda *asked: [[(ids[0] + 7) % 100] for ids in write(*asked)])
    assert broken(llava) == {"writes"}


def test_an_answer_that_stops_too_early_breaks_a_line(llava, monkeypatch):
    monkeypatch.setattr(llava._language_model, "write", lambda reading, most: [[]] * len(reading.logits))
    assert broken(llava) == {"writes"}


def test_a_picture_that_does_not_shrink_breaks_a_line(llava, monkeypatch):
    see = llava.see
    monkeypatch.setattr(llava, "see", lambda images, side=1.0: see(images))
    assert broken(llava) == {"resize"}


def test_numbers_that_are_none_and_errors_break_a_line(llava, monkeypatch):
    read = llava.read

    def other(*asked, **given):
        if "prefix" in given:
            raise IndexError("of somebody's own")
        reading = read(*asked, **given)
        return replace(reading, logits=reading.logits * torch.nan) if "prune" in given else reading

    monkeypatch.setattr(llava, "read", other)
    found = {line.what.split(":")[0]: line.words for line in hold_to_contract(llava) if line.verdict == "fails"}
    assert found == {"prune": "the logits are not finite", "reuse": "IndexError: of somebody's own"}


def test_a_model_that_changes_breaks_a_line(llava, monkeypatch):
    read, pruned = llava.read, []

    def other(*asked, **given):
        pruned.extend(["prune"] * ("prune" in given))
        reading = read(*asked, **given)
        return disturbed(reading) if pruned and "prune" not in given else reading

    monkeypatch.setattr(llava, "read", other)
    assert broken(llava) == {"nothing"}


def test_a_lack_of_memory_is_no_broken_line(llava, monkeypatch):
    def full(*asked, **given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(llava, "read", full)
    with pytest.raises(torch.OutOfMemoryError):
        hold_to_contract(llava)


class Elsewhere:
    """A backbone of which nothing is known but the interface."""

    def __init__(self, backbone):
        self._backbone = backbone

    def __getattr__(self, name):
        return getattr(self._backbone, name)


def test_a_backbone_of_another_package_is_held_to_what_its_interface_shows(llava):
    lines = {line.what: line for line in hold_to_contract(Elsewhere(llava))}
    untried = {what for what, line in lines.items() if line.verdict != "holds"}
    assert {what.split()[0] for what in untried} == {"reads", "writes", "keep:"}
    assert all("inside is not known" in lines[what].words for what in untried)
    assert spelt(Elsewhere(llava), [3, 4]) == [3, 4]


def test_the_command_on_a_tiny_qwen():
    output = call(ORACLES / "qwen2_5_vl")
    backbone = load_backbone("hf", str(ORACLES / "qwen2_5_vl"), device="cpu")
    assert "fails" not in output
    assert row(output, "supports") == "keep, probe, prune, resize, reuse"
    assert re.fullmatch(r"\d+ \(rows x columns: \d+ x \d+\)", row(output, "visual tokens of a 1024 x 768 picture"))
    assert row(output, "letters").startswith(f"'A' {backbone.letter_ids('A')[0]}, 'B' ")
    assert row(output, "probed layer") == backbone.settings["probed_layer"]
    for name in ("dtype", "positions", "processor", "attn_implementation"):
        assert row(output, name) == backbone.settings[name]
    assert "{question}" in row(output, "template")
    assert re.match(r"\d+\.\d % of its probability \(lowest", row(output, "option letters in the first token, 8 demo"))
    assert re.match(r"[\d,]+ tokens a second", row(output, "reading"))
    assert re.match(r"[\d,.]+ tokens a second \(\d+ written\)", row(output, "writing"))


def test_the_command_takes_every_setting_of_the_backbone():
    settings = ["tiling=true", "positions=kept", "attn_implementation=eager", 'device_map={"": "cpu"}']
    output = call(ORACLES / "internvl", "--dtype", "bfloat16", *(part for one in settings for part in ("--set", one)))
    for name, value in (("tiling", "true"), ("positions", "kept"), ("attn_implementation", "eager")):
        assert row(output, name) == value
    assert row(output, "dtype") == "bfloat16"
    tokens = row(output, "visual tokens of a 1024 x 768 picture")
    assert int(tokens.split()[0]) > 16  # what it has of one tile


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["tiling"], "--set tiling: write name=value"),
        (["tiling=true", "tiling=false"], "each name once"),
        (["device=cpu"], "--set device: it has an option or argument of its own"),
        (["tilling=true"], "unknown model args ['tilling']"),
        (["positions=open"], "positions='open': use one of"),
        (["device_map={"], "its value is not YAML"),
        (["device_map={}"], "names only disk"),
    ],
)
def test_settings_that_are_none_are_refused(given, said):
    parts = [part for one in given for part in ("--set", one)]
    assert said in call(ORACLES / "internvl", *parts, code=1, screen="stderr")


def test_the_command_on_the_demo_model():
    output = call("demo", "--model", "llava")
    assert row(output, "visual tokens of a 1024") == "64 (rows x columns: 8 x 8)"
    assert row(output, "option letters").startswith("99.")
    assert row(output, "answers begin with") == "'A', 'B', 'C'"
    assert row(output, "image_aspect_ratio") == "pad"


def test_separators_and_tiles_are_counted():
    assert re.match(r"\d+ \(rows x columns: .*, .*; \d+ separators\)", row(call(ORACLES / "llava_next"), "visual"))


def test_what_does_not_begin_with_a_letter_is_told(monkeypatch):
    from sepm_eval.model_wrappers._hf.model import Hf

    letters = Hf.letter_ids
    monkeypatch.setattr(Hf, "letter_ids", lambda self, wanted: [one + 40 for one in letters(self, wanted)])
    output = call(ORACLES / "qwen2_5_vl")
    assert "it does not begin with a letter; answers are written out and parsed" in output


@pytest.fixture
def changed(tmp_path):
    def change(**config):
        folder = shutil.copytree(ORACLES / "qwen2_5_vl", tmp_path / "checkpoint")
        path = folder / "config.json"
        path.write_text(json.dumps(read_json(path) | config), encoding="utf-8")
        return folder

    return change


def test_what_is_refused_exits_1_with_the_reason(changed, tmp_path):
    said = call(changed(model_type="mllama"), code=1, screen="stderr")
    assert "model_type='mllama'" in said
    assert "its pictures are read by cross-attention" in said
    assert "nowhere" in call(tmp_path / "nowhere", code=1, screen="stderr")
    assert "unknown backbone 'lava'" in call("demo", "--model", "lava", code=1, screen="stderr")


def test_a_broken_line_exits_1_with_its_name(monkeypatch):
    from sepm_eval.model_wrappers._llava import Llava

    see = Llava.see
    monkeypatch.setattr(Llava, "see", lambda self, images, side=1.0: see(self, images))
    said = call("demo", "--model", "llava", code=1, screen="stderr")
    assert "demo as llava fails these checks: resize: a smaller picture has fewer tokens. Its answers cannot" in said

"""Prompts of several turns: their tokens, their probes, and that they are what reading on would be."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import ORACLES
from seam import FOLDERS, PHRASE, load

from sepm_eval.backbone.shared import Shared


@pytest.fixture(scope="module")
def spoken():
    return json.loads((ORACLES / "dialogue_ids.json").read_text())


def test_a_dialogues_tokens_are_the_originals(tiny_llava, spoken):
    """A second "USER" has no space in front, as in the slow tokenizer that LLaVA-1.5 is used with."""
    for dialogue in spoken["dialogues"]:
        turns = [spoken["first"], dialogue["answer"], spoken["second"]]
        tokens = tiny_llava._tokenise(turns, image=True, probe=None)
        assert [*tokens.before, -200, *tokens.after] == dialogue["input_ids"]


def test_a_dialogues_probe_is_in_its_last_turn(tiny_llava, pictures):
    asked = "What do you focus on?"
    turns = [asked, f"I focus on {asked}", f"Once more. {asked}"]
    (tokens,) = (tiny_llava._tokenise(turns, image=True, probe=asked),)
    once = tiny_llava._tokenise(turns[2], image=True, probe=asked)
    place = len(tokens.after) - len(once.after)
    assert tokens.probed == [place + index for index in once.probed]
    with pytest.raises(ValueError, match="the prompt does not hold the probe 'I focus on'"):
        tiny_llava.read([turns], tiny_llava.see(pictures[:1]), probe="I focus on")


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_a_dialogue_is_what_reading_on_would_be(name, pictures):
    """Rows do not depend on the batch, a picture read once serves, and a shared reading is the same."""
    backbone = load(name)
    turns = [
        ["What is it?", "A dog.", "Which?"],
        "Which of these is it?",
        ["Now?", "Yes.", "And now?", "No.", f"{PHRASE} Why?"],
    ]
    visual = backbone.see(pictures)
    together = backbone.read(turns, visual)
    reused = backbone.read(turns, visual, prefix=backbone.read(["Look."] * 3, visual))
    shared = Shared(backbone)
    remembered = shared.read(turns, shared.see(pictures))
    for row in range(3):
        single = backbone.read([turns[row]], visual[[row]])
        for reading in (together, reused, remembered):
            torch.testing.assert_close(reading.logits[row], single.logits[0], atol=1e-5, rtol=1e-5)
    assert len(backbone.read(turns, None).logits) == 3


def test_llama_3s_turns(tiny_vila):
    before, after = tiny_vila._template.around(["What is it?", "A dog.", "Which?"], image=True)
    end = tiny_vila._template.after.partition("<|start_header_id|>")[0]
    header = "<|start_header_id|>user<|end_header_id|>\n\n"
    assert after == f"\nWhat is it?{tiny_vila._template.after}A dog.{end}{header}Which?{tiny_vila._template.after}"
    assert before == tiny_vila._template.before


@pytest.mark.parametrize("turns", [[], ["What is it?", "A dog."]])
def test_a_dialogue_that_ends_with_the_models_turn(family, pictures, turns):
    with pytest.raises(
        ValueError, match=rf"a dialogue of {len(turns)} turns cannot be answered: .* last is the user's"
    ):
        family.read([turns], family.see(pictures[:1]))

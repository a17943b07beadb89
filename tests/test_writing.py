"""The cache that an answer is written behind: what a reading read, what was written, and no other row's."""

from __future__ import annotations

import pytest
import torch
from conftest import ORACLES
from tiny_families import backbone_of, close, pictures
from transformers.cache_utils import DynamicLayer

from sepm_eval import load_backbone
from sepm_eval.backbone.continuing import with_written
from sepm_eval.backbone.interface import Written
from sepm_eval.backbone.writing import SHORT, GrowingLayer


def layer(rows, length, width=4):
    return torch.randn(rows, 2, length, width), torch.randn(rows, 2, length, width)


@pytest.mark.parametrize("step", [1, 3, SHORT + 3])
@pytest.mark.parametrize("choices", [{}, {2: [2, 0]}, {SHORT + 20: [1]}, {2: [2, 0], 50: [0]}])
def test_it_holds_what_a_cache_of_its_own_would(step, choices):
    read = layer(3, 5)
    before = [part.clone() for part in read]
    found, own, rows = GrowingLayer(*read), DynamicLayer(), 3
    own.update(*read)
    for number in range(60):
        new = layer(rows, step)
        for one, other in zip(found.update(*new), own.update(*new), strict=True):
            assert torch.equal(one, other)
        assert found.get_seq_length() == own.get_seq_length()
        if number in choices:
            chosen, rows = choices[number], len(choices[number])
            whole, found = found, found[chosen]
            own.keys, own.values = own.keys[chosen], own.values[chosen]
            whole.update(*layer(whole._held[0].shape[0], 1))  # goes its own way from here
    assert all(torch.equal(one, other) for one, other in zip(read, before, strict=True))


def test_two_answers_behind_one_reading_are_apart():
    read = layer(1, 5)
    one, other = GrowingLayer(*read), GrowingLayer(*read)
    for _ in range(3 * SHORT):
        first, second = layer(1, 1), layer(1, 1)
        keys, _ = one.update(*first)
        others, _ = other.update(*second)
        assert torch.equal(keys[:, :, -1:], first[0])
        assert torch.equal(others[:, :, -1:], second[0])


def test_a_short_answer_copies_no_reading():
    """A batch of letters is read one step further, and needs no second cache for it."""
    read = layer(1, 5)
    found = GrowingLayer(*read)
    for _ in range(SHORT):
        found.update(*layer(1, 1))
    assert found._held[0] is read[0]
    found.update(*layer(1, 1))
    assert found._held[0].shape[-2] > found.get_seq_length()


PROMPTS = ["What is it?", "What is this, and what is that?", "Which?"]


@pytest.fixture(params=["llava", "vila", "qwen2_5_vl", "internvl"])
def seen(request):
    """A backbone and what it sees of three pictures."""
    if request.param in ("qwen2_5_vl", "internvl"):
        backbone = backbone_of(request.param)
        return backbone, backbone.see(pictures(request.param)), backbone._decoder
    oracle = request.getfixturevalue(f"{request.param}_oracle")
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}[request.param]
    backbone = load_backbone(request.param, str(ORACLES / folder), device="cpu")
    return backbone, backbone.see(oracle.images), backbone._language_model


@pytest.mark.parametrize("most", [3, 3 * SHORT])
def test_what_was_written_is_read_on_from(seen, monkeypatch, most):
    """As reading picture, question and written tokens anew, also of rows that ended sooner than others."""
    backbone, visual, model = seen
    reading = backbone.read(PROMPTS, visual)
    monkeypatch.setattr(model, "stop_ids", [])
    ids = model.write(reading, most)
    monkeypatch.setattr(model, "stop_ids", [ids[0][1]])
    texts = backbone.write(reading, most, tails=True)
    assert len({text.tokens for text in texts}) > 1
    longer = with_written(reading, texts)
    assert longer.logits.isnan().all()
    for row, (text, before) in enumerate(zip(texts, reading.behind, strict=True)):
        tail = text.tail.ids
        assert longer.behind[row] == before + tail
        assert len(tail) == (text.tokens if text.tokens < most else most - 1)
        asked = {"begun": [*tail, 5]}
        found = backbone.read(PROMPTS[row : row + 1], visual[[row]], prefix=longer[[row]], shares="text", **asked)
        close(found.logits, backbone.read(PROMPTS[row : row + 1], visual[[row]], **asked).logits, 1e-4)
        assert found.attended[0].shape[1] >= reading.attended[0].shape[1]
    assert backbone.write(reading, most) == texts  # the reading is as it was


def test_without_a_tail_the_reading_stays_what_it_is(tiny_llava, llava_oracle):
    reading = tiny_llava.read(PROMPTS, tiny_llava.see(llava_oracle.images))
    texts = tiny_llava.write(reading, 3, tails=True)
    assert with_written(reading, [*texts[:2], Written("a dog", 2)]) is reading


def test_dan_does_not_read_its_analysis_again(tiny_llava, llava_oracle, monkeypatch):
    """If it is tokenised as it was written: the next question is read behind it."""
    model, tokens = tiny_llava._language_model, []
    embed = model._embed
    monkeypatch.setattr(
        model, "_embed", lambda prompt, visual: tokens.append(len(prompt.after)) or embed(prompt, visual)
    )
    visual = tiny_llava.see(llava_oracle.images[:1])
    reading = tiny_llava.read(["What is it?"], visual)
    (text,) = tiny_llava.write(reading, 20, tails=True)
    tokens.clear()
    for prefix in (reading, with_written(reading, [text])):
        tiny_llava.read(["What is it?"], visual, prefix=prefix, shares="text", begun=[*text.tail.ids, 5, 6])
    assert tokens == [len(text.tail.ids) + 2, 2]

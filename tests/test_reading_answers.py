"""An answer is what the model goes on to write until it stops, not what its first token looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from conftest import ORACLES, Oracle
from transformers import LlamaConfig, LlamaModel

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.causal_lm import CausalLM
from sepm_eval.backbone.checkpoints import Checkpoint
from sepm_eval.backbone.interface import Block, PictureTokens, VisualTokens
from sepm_eval.backbone.shared import Shared
from sepm_eval.backbone.writing import WritingState
from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import MIKELS
from sepm_eval.images import open_image
from sepm_eval.methods.common import MAX_NEW_TOKENS, ask
from sepm_eval.methods.sparsevlm import FULL, KEPT, Sparsify
from sepm_eval.model_wrappers._image_first import ImageFirst
from sepm_eval.model_wrappers._templates import VICUNA_V1

REAL = json.loads((ORACLES / "real_tokenizer_ids.json").read_text())
PROMPT = REAL["llama2_vicuna_v1"]["stage2_ambiguous"]  # offers all eight
EOS, STOP = 2, 29889
LETTERS = {"A": 319, "F": 383, "G": 402}  # a space and the letter


class RealIds:
    """As much of Llama-2's vocabulary as these answers need, with its own ids."""

    vocab_size, largest_id, adds_bos = 32000, 31999, True
    special: ClassVar = frozenset()
    pieces: ClassVar = {319: " A", 350: " B", 383: " F", 402: " G", 799: "ear", 705: "we", STOP: "."}

    def encode(self, text):
        (letter,) = [i for i, piece in self.pieces.items() if len(piece) == 2 and text.endswith(f":{piece}")] or [None]
        return [*PROMPT[-1:], *([] if letter is None else [letter])], []

    def decode(self, ids):
        return "".join(self.pieces[i] for i in ids)


class Parrot(ImageFirst):
    """A real decoder that has learnt one continuation by heart, behind the prompt's real ids."""

    def __init__(self, *continuation: int) -> None:
        config = LlamaConfig(
            vocab_size=32000, hidden_size=16, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
        )
        decoder, head = LlamaModel(config).eval(), torch.nn.Linear(16, 32000, bias=False)
        for layer in decoder.layers:  # what is read passes through unchanged: the next token follows from the last
            torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
            torch.nn.init.zeros_(layer.mlp.down_proj.weight)
        torch.nn.init.zeros_(head.weight)
        for place, (token, following) in enumerate(zip((PROMPT[-1], *continuation), continuation, strict=False)):
            with torch.no_grad():
                decoder.embed_tokens.weight[token] = head.weight[following] = 4 * torch.eye(16)[place]
        model = CausalLM(decoder, head, vocab_size=32000, stop_ids=[EOS])
        super().__init__(Checkpoint("parrot", Path(), "none"), model, RealIds(), VICUNA_V1, {})
        self.steps = 0
        decoder.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, decoder, args, kwargs):
        self.steps += kwargs["inputs_embeds"].shape[1] == 1

    def see(self, images, side=1.0):
        blocks = (Block((0, 0, 2, 2), 2, 2),)
        return VisualTokens(tuple(PictureTokens(torch.zeros(4, 16), blocks) for _ in images))

    def _encode(self, before, after):
        place = PROMPT.index(-200)
        return PROMPT[:place], PROMPT[place + 1 :], []

    def _pixels(self, images, side):
        raise NotImplementedError

    def letter_ids(self, letters):
        return [LETTERS.get(letter, 1000 + ord(letter)) for letter in letters]


@pytest.fixture
def question(picture):
    return Question(picture, tuple(MIKELS), tuple(MIKELS.values()))


def test_the_real_ids_of_fear_begin_with_the_letter_f():
    lines = " ".join(map(str, PROMPT)).split(" 13 ")
    assert f"29954 {STOP} {LETTERS['F']} 799" in lines  # "G. Fear"
    assert f"29907 {STOP} {LETTERS['A']} 705" in lines  # "C. Awe"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("continuation", "text", "letter", "label", "steps"),
    [
        ((383, EOS), "F", "F", "excitement", 1),
        ((383, 799, EOS), "Fear", "G", "fear", 2),
        ((402, STOP, 383, 799, EOS), "G. Fear", "G", "fear", 4),
        ((383, STOP, EOS), "F.", "F", "excitement", 2),
        ((319, 705, EOS), "Awe", "C", "awe", 2),
        ((319, EOS), "A", "A", "amusement", 1),
        ((402, 799, EOS), "Gear", None, None, 2),
    ],
)
def test_a_letter_is_an_answer_where_the_model_stops_after_it(
    question, shared, continuation, text, letter, label, steps
):
    """With Llama-2's own ids: of "Fear" the first token is the letter F, which is excitement."""
    backbone = Parrot(*continuation)
    (answer,) = get_method("zero_shot").answer([question], Shared(backbone) if shared else backbone)
    assert (answer.text, answer.letter, answer.label) == (text, letter, label)
    assert backbone.steps == steps  # one for each token that is no stop


def written(backbone, images, prompt, prune=None, max_new_tokens=8):
    """What is answered to one prompt about three pictures."""
    questions = [Question(image, tuple(MIKELS), tuple(MIKELS.values())) for image in images]
    visual = backbone.see(images)
    answers = ask(questions, [prompt] * 3, backbone, visual, prune=prune, max_new_tokens=max_new_tokens)
    return [answer.text for answer in answers]


def texts(backbone, ids):
    """What the original code's ``generate`` wrote: its ids, without the start token, up to the stop."""
    rows = [[token for token in row if token >= 0] for row in ids[:, 1:].tolist()]
    return [backbone._tokenizer.decode(row).strip() for row in rows]


def test_llavas_texts_are_the_originals(tiny_llava, llava_oracle, stage_one_question):
    expected = texts(tiny_llava, llava_oracle["greedy_ids"])
    assert written(tiny_llava, llava_oracle.images, stage_one_question) == expected


@pytest.mark.parametrize("template", ["may2024", "aug2024"])
def test_vilas_texts_are_the_originals(vila_oracle, template):
    backbone = load_backbone("vila", str(ORACLES / "vila15_tiny/checkpoint"), device="cpu", template=template)
    expected = texts(backbone, vila_oracle[f"{template}/greedy_ids"])
    assert written(backbone, vila_oracle.images, vila_oracle.meta["question"]) == expected


@pytest.mark.parametrize("size", ["n64", "n576"])
def test_sparsevlms_texts_are_the_originals(stage_one_question, size):
    oracle = Oracle(f"sparsevlm_reference/{size}")
    backbone = load_backbone("llava", str(ORACLES / "sparsevlm_reference" / size / "original"), device="cpu")
    for budget in KEPT:
        prune = Sparsify(tuple(round(count * int(size[1:]) / FULL) for count in KEPT[budget]))
        expected = texts(backbone, oracle[f"B{budget}/greedy_ids"])
        assert written(backbone, oracle.images, stage_one_question, prune, 4) == expected


def generated(backbone, image, prompt):
    """The answer of transformers' ``generate``, fed with the same embeddings."""
    model = backbone._language_model
    tokens = backbone._tokenise(prompt, image=True, probe=None)
    embedded = model._embed(tokens, backbone.see([image]).pictures[0].features)[None]
    ids = backbone._model.generate(
        inputs_embeds=embedded,
        attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long),
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
        eos_token_id=model.stop_ids,
        pad_token_id=model.stop_ids[0],
    )
    return backbone._tokenizer.decode([i for i in ids[0].tolist() if i not in model.stop_ids]).strip()


def test_a_trained_models_texts_are_generates(demo_backbone):
    """A letter, after which it stops."""
    benchmark = find_benchmarks()["emotion_demo"]
    questions = [
        Question(open_image(item.path), tuple(MIKELS), tuple(MIKELS.values())) for item in benchmark.items()[::86]
    ]
    answers = get_method("zero_shot").answer(questions, demo_backbone)
    pairs = zip(questions, answers, strict=True)
    expected = [generated(demo_backbone, question.image, answer.prompts[0]) for question, answer in pairs]
    assert [answer.text for answer in answers] == expected
    assert len(set(expected)) > 2


def test_a_tiny_models_texts_are_generates(tiny_llava, llava_oracle, stage_one_question):
    """It never stops: all tokens that an answer may have."""
    expected = [generated(tiny_llava, image, stage_one_question) for image in llava_oracle.images]
    assert written(tiny_llava, llava_oracle.images, stage_one_question, max_new_tokens=None) == expected


@pytest.mark.parametrize("kind", ["whole", "pruned", "reused"])
def test_rows_that_stop_sooner_do_not_change_the_others(tiny_llava, llava_oracle, monkeypatch, kind):
    """Whatever else the cache holds: tokens pruned on the way, or masked out of an earlier reading."""
    prompts = ["What is it?", "What is this, and what is that?", "Which?"]
    visual = tiny_llava.see(llava_oracle.images)

    def read(rows):
        asked, pictures = [prompts[row] for row in rows], visual[rows]
        if kind == "pruned":
            return tiny_llava.read(asked, pictures, prune=Sparsify((6,), (1,)))
        if kind == "whole":
            return tiny_llava.read(asked, pictures)
        keep = [torch.arange(16) % 3 != row for row in rows]
        return tiny_llava.read(asked, pictures, keep=keep, prefix=tiny_llava.read(["Look."] * len(rows), pictures))

    model = tiny_llava._language_model
    endless = model.write(read([0, 1, 2]), 12)
    monkeypatch.setattr(model, "stop_ids", [endless[0][3], endless[1][8]])
    expected = [model.write(read([row]), 12)[0] for row in range(3)]
    reading = read([0, 1, 2])
    before = [(layer.keys.clone(), layer.values.clone()) for layer in reading.cache.layers]
    assert len({len(ids) for ids in expected}) > 1
    assert model.write(reading, 12) == expected
    assert model.write(reading, 12, [2, 0]) == [expected[2], expected[0]]
    assert model.write(reading, 12, [0, 1, 2]) == expected
    for layer, (keys, values) in zip(reading.cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)
        assert torch.equal(layer.values, values)


def test_a_short_answer_needs_no_second_cache(tiny_llava, llava_oracle, stage_one_question):
    """What is written stands behind the reading's keys and values, which are shared and not copied."""
    reading = tiny_llava.read([stage_one_question] * 3, tiny_llava.see(llava_oracle.images))
    end = WritingState.of(reading)
    tiny_llava._language_model._step(torch.tensor([5, 6, 7]), end)
    for layer, behind in zip(reading.cache.layers, end.cache.layers, strict=True):
        assert behind.get_seq_length() == layer.get_seq_length() + 1
        assert behind.keys.shape[-2] == behind.values.shape[-2] == 1
        assert all(one is other for one, other in zip(behind._held, (layer.keys, layer.values), strict=True))

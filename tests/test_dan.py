"""DAN against the numbers of an independent reference (tests/oracles/dan), and what it does around them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from conftest import ORACLES, Oracle
from PIL import Image

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.interface import VisualTokens
from sepm_eval.backbone.shared import Shared
from sepm_eval.methods import numbered
from sepm_eval.methods.dan_case import discrepancy, gated, pick_candidates

VARIANTS = {
    "main": {},
    "gate_none": {"gate": "none"},
    "gate_hard": {"gate": "hard"},
    "layers_last": {"layers": "last"},
    "layers_first3": {"layers": "first3"},
    "layers_all": {"layers": "all"},
    "context": {"contrast_in_context": True},
}


class Watched:
    """A backbone that keeps what it was asked and what it read; on features of the reference's own."""

    def __init__(self, backbone, visual: VisualTokens):
        self._backbone, self._visual, self.reads = backbone, visual, []

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def see(self, images, side=1.0):
        return self._visual

    def read(self, prompts, visual, **how):
        reading = self._backbone.read(prompts, visual, **how)
        self.reads.append((list(prompts), how, reading))
        return reading


class Reference:
    """One model of the reference, and our answers with it."""

    def __init__(self, name: str) -> None:
        self.oracle = Oracle(f"dan/{name}")
        self.backbone = load_backbone("llava", str(self.oracle.folder / "original"), device="cpu", dtype="float32")
        seen = self.backbone.see(self.oracle.images)
        self.visual = VisualTokens(
            tuple(
                dataclasses.replace(picture, features=torch.from_numpy(self.oracle[f"features/{i}"]))
                for i, picture in enumerate(seen.pictures)
            )
        )

    def questions(self, which: str) -> list[Question]:
        about = self.oracle.meta["questions"][which]
        labels = tuple(about["options"])
        return [Question(image, labels, labels, positive=about["positive"]) for image in self.oracle.images]

    def method(self, **options):
        return get_method("dan", analysis_tokens=self.oracle.meta["max_new_tokens"], **options)

    def answers(self, which: str, **options):
        watched = Watched(self.backbone, self.visual)
        return self.method(**options).answer(self.questions(which), watched), watched.reads


@pytest.fixture(scope="module", params=["n16", "n64"])
def reference(request):
    return Reference(request.param)


@pytest.fixture(params=["q8", "q6"])
def which(request):
    return request.param


def ids(reference, prompt, begun=()):
    """A prompt's ids as the reference holds them: -200 for the picture."""
    tokens = reference.backbone._tokenise(prompt, image=True, probe=None, begun=begun)
    return [*tokens.before, -200, *tokens.after]


def test_prompts_and_logits_of_polarity_and_emotions(reference, which):
    """The analysis, in a dialogue as the original writes it, and both questions up to the space in front of a digit."""
    oracle = reference.oracle
    answers, reads = reference.answers(which, cdvp=False)
    assert reference.backbone.answer_ids(["1"])[0][:-1] == oracle.meta["prefix_ids"]
    for i in range(3):
        written = reference.backbone._tokenizer.decode(oracle[f"analysis_ids/{i}"].tolist()).strip()
        assert answers[i].evidence.analysis == written
        assert answers[i].evidence.written == len(oracle[f"analysis_ids/{i}"])
    for stage, (prompts, how, reading) in zip("cf", reads[1:], strict=True):
        for i in range(3):
            assert ids(reference, prompts[i], how["begun"]) == oracle[f"{which}/{stage}/input_ids/{i}"].tolist()
            np.testing.assert_allclose(reading.logits[i], oracle[f"{which}/{stage}/logits/{i}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant(reference, which, variant):
    oracle, labels = reference.oracle, reference.oracle.meta["questions"][which]["options"]
    answers, reads = reference.answers(which, **VARIANTS[variant])
    deciding = [row for row in range(3) if len(answers[row].evidence.candidates) > 1]
    for i, answer in enumerate(answers):
        name, evidence = f"{which}/{variant}", answer.evidence
        assert evidence.p_positive == pytest.approx(oracle[f"{which}/p/{i}"][0], abs=1e-5)
        assert list(evidence.scores) == labels
        np.testing.assert_allclose(list(evidence.scores.values()), oracle[f"{name}/s_hat/{i}"], atol=1e-5, rtol=0)
        assert evidence.candidates == tuple(labels[one] for one in oracle[f"{name}/S/{i}"])
        assert answer.label == labels[int(oracle[f"{name}/label/{i}"])]
        assert (answer.text, answer.letter) == (answer.letter, answer.letter)
        if i not in deciding:
            assert (evidence.discrepancy, evidence.dropped) == (None, ())
            continue
        np.testing.assert_allclose(evidence.discrepancy, oracle[f"{name}/delta/{i}"], atol=1e-6, rtol=0)
        gap = oracle.meta["cases"][f"{which}/{i}"][variant]["gap_at_cut"]
        swapped = set(evidence.dropped) ^ set(oracle[f"{name}/dropped/{i}"].tolist())
        assert len(swapped) <= (0 if gap > 1e-6 else 2)
        assert [place for place, kept in enumerate(answer.kept) if not kept] == list(evidence.dropped)
        prompts, how, reading = reads[-1]
        row = deciding.index(i)
        assert ids(reference, prompts[row], how["begun"]) == oracle[f"{name}/d/input_ids/{i}"].tolist()
        if not swapped:
            np.testing.assert_allclose(reading.logits[row], oracle[f"{name}/d/logits/{i}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["main", "layers_last", "layers_first3", "layers_all"])
def test_attention_of_each_contrast(reference, which, variant):
    """The mean over the tokens of the question itself, in the layers that are named."""
    oracle = reference.oracle
    answers, reads = reference.answers(which, **VARIANTS[variant])
    contrasts = [read for read in reads if "probe" in read[1]]
    for place, (prompts, how, reading) in enumerate(contrasts):
        rows = [i for i in range(3) if len(answers[i].evidence.candidates) > max(place, 1)]
        for i, prompt, phrase, seen in zip(rows, prompts, how["probe"], reading.probe_attention, strict=True):
            np.testing.assert_allclose(seen, oracle[f"{which}/{variant}/A/{i}"][place], atol=1e-6, rtol=0)
            assert ids(reference, prompt) == oracle[f"{which}/ctr{place}/input_ids/{i}"].tolist()
            probed = reference.backbone._tokenise(prompt, image=True, probe=phrase).probed
            assert probed == oracle[f"{which}/ctr{place}/rows/{i}"].tolist()


def same(one, other):
    """Answers that differ by rounding at most."""
    assert (one.label, one.prompts) == (other.label, other.prompts)
    few = {"discrepancy": None, "scores": None, "p_positive": 0, "p_negative": 0, "confidence": 0}
    assert dataclasses.replace(one.evidence, **few) == dataclasses.replace(other.evidence, **few)
    for name in ("option_probabilities", "scores"):
        pair = [getattr(answer if name[0] == "o" else answer.evidence, name) for answer in (one, other)]
        np.testing.assert_allclose(*(list(values.values()) for values in pair), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options", [{}, {"beta": 0.0}, {"contrast_in_context": True}, {"scene": False, "object": False}]
)
def test_reading_the_picture_once_or_anew_is_the_same(reference, which, options, monkeypatch):
    once, reads = reference.answers(which, **options)
    assert sum("prefix" not in how and "keep" not in how for _, how, _ in reads) == 1
    monkeypatch.setattr(reference.backbone, "supports", reference.backbone.supports - {"reuse"})
    anew, reads = reference.answers(which, **options)
    assert not any("prefix" in how for _, how, _ in reads)
    for one, other in zip(once, anew, strict=True):
        same(one, other)
        assert sum(one.tokens_read) < sum(other.tokens_read)


def test_batches_and_shared_readings(reference, which):
    questions = reference.questions(which)
    together = reference.method().answer(questions, reference.backbone)
    shared = Shared(reference.backbone)
    for options in ({"gate": "hard"}, {}, {"contrast_in_context": True}, {}):
        found = reference.method(**options).answer(questions, shared)
        for one, other in zip(found, reference.method(**options).answer(questions, reference.backbone), strict=True):
            same(one, other)
    for question, one in zip(questions, together, strict=True):
        same(one, reference.method().answer(question, reference.backbone))
    for one, other in zip(together, reference.method().answer(questions[::-1], reference.backbone)[::-1], strict=True):
        same(one, other)


# Numbers.


@pytest.fixture(scope="module")
def digitwise():
    with np.load(ORACLES / "dan" / "numbers.npz") as arrays:
        return dict(arrays)


class Digits:
    """A backbone whose tokenizer writes digits one by one, behind a space of its own, and whose logits are given."""

    name, supports = "digits", frozenset({"reuse"})

    def __init__(self, arrays, cases):
        self._arrays, self._cases = arrays, cases
        self.digits = arrays["digit_ids"].tolist()

    def answer_ids(self, texts):
        return [[3, *(self.digits[int(digit)] for digit in text)] for text in texts]

    def read(self, prompts, visual, *, begun=(), **how):
        assert begun[0] == 3
        digits = [self.digits.index(token) for token in begun[1:]]
        rows = []
        for case in self._cases:
            found = self._arrays[f"{case}/{('first', 'second', 'third')[len(digits)]}_logits"]
            rows.append(torch.from_numpy(found if not digits else found[int("".join(map(str, digits)))]))
        return type("Reading", (), {"logits": torch.stack(rows), "probe_attention": None})()


def test_whole_numbers_where_digits_are_written_one_by_one(digitwise):
    cases = [case for case in range(10) if f"{case}/probability" in digitwise]
    count = int(digitwise["n_options"])
    _, found = numbered.read_numbers(Digits(digitwise, cases), ["Which?"] * len(cases), None, [count] * len(cases))
    for case, row in zip(cases, found, strict=True):
        np.testing.assert_allclose(row, digitwise[f"{case}/probability"], atol=1e-9, rtol=0)
    assert [int(row.argmax()) + 1 for row in found] == [5, 12, 25, 1]


def test_numbers_of_one_digit_are_read_once_whatever_stands_beside_them(digitwise):
    """Nine options in a batch with 25: what they get is what they get alone, the softmax over their digits."""
    backbone = Digits(digitwise, [0, 1])
    _, (few, many) = numbered.read_numbers(backbone, ["Few?", "Many?"], None, [9, 25])
    expected = torch.from_numpy(digitwise["0/first_logits"]).double()[backbone.digits[1:10]].softmax(-1)
    torch.testing.assert_close(few, expected)
    np.testing.assert_allclose(many, digitwise["1/probability"], atol=1e-9, rtol=0)
    assert numbered.Numbers.of(backbone, 9).begun == [()]


def test_numbers_of_one_token_each(digitwise):
    class Whole(Digits):
        def answer_ids(self, texts):
            return [[int(text)] for text in texts]

    numbers = numbered.Numbers.of(Whole(digitwise, [0]), 25)
    assert (numbers.lead, numbers.begun) == ((), [()])
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(numbers.probabilities({(): logits}, 25), logits[1:26].double().softmax(-1))


def test_numbers_that_cannot_be_read_off(digitwise):
    class Mixed(Digits):
        def answer_ids(self, texts):
            return [[int(text)] if int(text) < 20 else [2, int(text[-1])] for text in texts]

    with pytest.raises(ValueError, match="neither with one token each nor digit by digit"):
        numbered.Numbers.of(Mixed(digitwise, [0]), 25)


# Equations, by hand.


def test_the_gate():
    question = Question(Image.new("RGB", (2, 2)), ("joy", "fear", "awe"))
    scores, pair = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.75])
    soft = torch.tensor([0.125, 0.225, 0.05])
    torch.testing.assert_close(gated(scores, pair, question, "soft"), soft / soft.sum())
    torch.testing.assert_close(gated(scores, pair, question, "hard"), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(gated(scores, pair, question, "none"), scores)
    even = gated(scores, torch.tensor([0.5, 0.5]), question, "hard")  # p+ >= p- is positive
    torch.testing.assert_close(even, torch.tensor([5 / 7, 0.0, 2 / 7]))


@pytest.mark.parametrize(
    ("scores", "alpha", "k", "expected"),
    [
        ([0.1, 0.6, 0.3], 0.125, 2, [1, 2]),  # i goes to min(k + 1, N - 1)
        ([0.1, 0.6, 0.25, 0.05], 0.125, 2, [1, 2, 0]),
        ([0.1, 0.6, 0.25, 0.05], 0.125, 1, [1, 2]),
        ([0.03, 0.9, 0.05, 0.02], 0.125, 2, [1]),
        ([0.25, 0.25, 0.25, 0.25], 0.125, 2, [0, 1, 2]),  # equal ones in the question's order
        ([0.75, 0.25, 0.0, 0.0], 0.0625, 2, [0]),  # a variance equal to alpha is not below it
        ([0.6, 0.4], 0.125, 1, [0]),
    ],
)
def test_candidates(scores, alpha, k, expected):
    assert pick_candidates(torch.tensor(scores, dtype=torch.float64), alpha, k) == expected


def test_discrepancy():
    rows = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.0])]
    torch.testing.assert_close(discrepancy(rows), torch.tensor([0.75 + 0.75 + 0.0, 0.0]))


# Around it.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0: use a whole number from 1"),
        ({"gate": "medium"}, r"gate='medium': use one of \['soft', 'hard', 'none'\]"),
        ({"layers": "first"}, "layers='first': use one of"),
        ({"analysis_tokens": 0}, "analysis_tokens=0: use a whole number from 1"),
    ],
)
def test_options_that_are_not_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        get_method("dan", **options)

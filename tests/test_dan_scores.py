"""What DAN reckons with: how probable a number is, the gate, the candidates, the discrepancy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import ORACLES
from PIL import Image

from sepm_eval import Question
from sepm_eval.methods import numbered
from sepm_eval.methods.dan_case import discrepancy, gated, pick_candidates

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

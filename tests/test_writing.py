"""The cache that an answer is written behind: what a reading read, what was written, and no other row's."""

from __future__ import annotations

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from sepm_eval.backbone.writing import SHORT, Behind


def layer(rows, length, width=4):
    return torch.randn(rows, 2, length, width), torch.randn(rows, 2, length, width)


@pytest.mark.parametrize("step", [1, 3, SHORT + 3])
@pytest.mark.parametrize("choices", [{}, {2: [2, 0]}, {SHORT + 20: [1]}, {2: [2, 0], 50: [0]}])
def test_it_holds_what_a_cache_of_its_own_would(step, choices):
    read = layer(3, 5)
    before = [part.clone() for part in read]
    found, own, rows = Behind(*read), DynamicLayer(), 3
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
    one, other = Behind(*read), Behind(*read)
    for _ in range(3 * SHORT):
        first, second = layer(1, 1), layer(1, 1)
        keys, _ = one.update(*first)
        others, _ = other.update(*second)
        assert torch.equal(keys[:, :, -1:], first[0])
        assert torch.equal(others[:, :, -1:], second[0])


def test_a_short_answer_copies_no_reading():
    """A batch of letters is read one step further, and needs no second cache for it."""
    read = layer(1, 5)
    found = Behind(*read)
    for _ in range(SHORT):
        found.update(*layer(1, 1))
    assert found._held[0] is read[0]
    found.update(*layer(1, 1))
    assert found._held[0].shape[-2] > found.get_seq_length()

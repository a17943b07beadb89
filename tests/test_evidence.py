"""Eq. 3, 4, 9 and 10 by hand."""

import pytest
import torch

from sepm_eval.backbone.probe import mean_attention
from sepm_eval.methods.evidence import answer_probabilities, confidence, is_sure
from sepm_eval.methods.selection import count_to_drop, keep_most_significant


def test_probabilities_are_over_the_whole_vocabulary():
    logits = torch.tensor([[0.8, 0.1, 0.1]]).log()
    torch.testing.assert_close(answer_probabilities(logits, [1, 2]), torch.tensor([[0.1, 0.1]]))


def test_confidence_of_paper_and_code():
    """Eq. 4 is ((p_A - p_B) / 2)^2; torch.var of the pair is twice that."""
    pair = torch.tensor([[0.9, 0.1], [1.0, 0.0], [0.5, 0.5]])
    torch.testing.assert_close(confidence(pair, unbiased=False), torch.tensor([0.16, 0.25, 0.0]))
    torch.testing.assert_close(confidence(pair, unbiased=True), torch.tensor([0.32, 0.5, 0.0]))


def test_the_threshold_itself():
    at = torch.tensor([0.25, 0.26])
    assert is_sure(at, 0.25, at_threshold=False).tolist() == [False, True]
    assert is_sure(at, 0.25, at_threshold=True).tolist() == [True, True]


@pytest.mark.parametrize(
    ("beta", "tokens", "count"),
    [(0.2, 576, 115), (0.1, 576, 57), (0.29, 100, 29), (0, 576, 0), (0.1, 9, 0), (0.7, 10, 7)],
)
def test_how_many_are_dropped(beta, tokens, count):
    assert count_to_drop(beta, tokens) == count


def test_the_least_significant_go_and_ties_break_by_position():
    keep = keep_most_significant(torch.tensor([0.3, 0.1, 0.1, 0.5, 0.1]), 0.4)
    assert keep.tolist() == [True, False, False, True, True]
    keep = keep_most_significant(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]), 0.4)
    assert keep.tolist() == [True, True, True, False, False]


def test_the_significance_is_the_mean_over_heads_of_the_weighted_mean_over_the_rows():
    attention = torch.tensor([[[[0.2, 0.4], [0.6, 0.8]], [[0.4, 0.0], [0.2, 0.4]]]])  # (1, 2 heads, 2 rows, 2 tokens)
    found = mean_attention(attention, torch.tensor([[1, 1]]))
    torch.testing.assert_close(found, torch.tensor([[0.35, 0.4]]))
    torch.testing.assert_close(mean_attention(attention, torch.tensor([[0, 1]])), torch.tensor([[0.4, 0.6]]))

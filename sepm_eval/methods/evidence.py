"""Eq. 3 and 4 of SEPM on tensors: the answer probabilities and the confidence of stage 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def answer_probabilities(logits: Tensor, ids: list[int]) -> Tensor:
    """Probability of each answer token at the first generated position (Eq. 3).

    The softmax runs over the whole vocabulary and is not renormalised to the options.

    Args:
        logits: [B, V] for B prompts, over the model's true vocabulary of V tokens.
        ids: the token id of each letter.

    Returns:
        [B, len(ids)] float32.
    """
    return logits.float().softmax(-1)[:, ids]


def confidence(pair: Tensor, *, unbiased: bool) -> Tensor:
    """Variance of the pair (p_A, p_B), [B, 2] -> [B].

    Eq. 4 is the population variance ((p_A - p_B) / 2)^2, at most 0.25. The public code calls ``torch.var``, the sample
    variance, which is twice that (``unbiased=True``, at most 0.5).
    """
    return pair.var(-1, correction=1 if unbiased else 0)


def is_sure(confidence: Tensor, alpha: float, *, at_threshold: bool) -> Tensor:
    """Whether stage 1 is sure enough to narrow the list of emotions, [B] bool: C > alpha (Algorithm 1).

    The public code calls a sample ambiguous if C < alpha, so C = alpha counts as sure there (``at_threshold=True``).
    """
    return confidence >= alpha if at_threshold else confidence > alpha

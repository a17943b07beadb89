"""Eq. 3 and 4 of SEPM as functions of tensors: how sure stage 1 is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def answer_probabilities(logits: Tensor, ids: list[int]) -> Tensor:
    """Probability of each answer token at the first generated position (Eq. 3).

    logits: [B, V] over the true vocabulary; ids: token id of each letter. Returns [B, len(ids)], float32. The softmax
    runs over the whole vocabulary and is not renormalised to the options.
    """
    return logits.float().softmax(-1)[:, ids]


def confidence(pair: Tensor, *, unbiased: bool) -> Tensor:
    """Variance of (p_A, p_B), [B, 2] -> [B].

    Eq. 4 is the population variance ((p_A - p_B) / 2)^2, at most 0.25. The public code calls ``torch.var``, the sample
    variance, which is twice that (``unbiased=True``, at most 0.5).
    """
    return pair.var(-1, correction=1 if unbiased else 0)


def is_sure(confidence: Tensor, alpha: float, *, at_threshold: bool) -> Tensor:
    """Whether stage 1 may narrow the list, [B] bool: C > alpha (Algorithm 1).

    The public code calls a sample ambiguous when C < alpha, so C = alpha is sure there (``at_threshold=True``).
    """
    return confidence >= alpha if at_threshold else confidence > alpha

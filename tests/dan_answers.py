"""When two answers of DAN are the same."""

from __future__ import annotations

import dataclasses

import numpy as np


def same(one, other):
    """Answers that differ by rounding at most."""
    assert (one.label, one.prompts) == (other.label, other.prompts)
    few = {"discrepancy": None, "scores": None, "p_positive": 0, "p_negative": 0, "confidence": 0}
    assert dataclasses.replace(one.evidence, **few) == dataclasses.replace(other.evidence, **few)
    for name in ("option_probabilities", "scores"):
        pair = [getattr(answer if name[0] == "o" else answer.evidence, name) for answer in (one, other)]
        np.testing.assert_allclose(*(list(values.values()) for values in pair), atol=1e-5, rtol=0)

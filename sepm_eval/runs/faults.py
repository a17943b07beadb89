"""Faults that concern a single question and do not affect the others; any other exception stops the run."""

from __future__ import annotations

from sepm_eval.images import UnreadableImage


class UnsupportedQuestion(ValueError):
    """This kind of model cannot be asked the question, for example because it has several pictures."""


ITEM_FAULTS = (UnreadableImage, UnsupportedQuestion, OSError, SyntaxError, FloatingPointError)

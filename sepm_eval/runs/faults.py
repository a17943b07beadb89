"""What can be wrong with one question and leaves the others alone; anything else is a fault of the run and stops it."""

from __future__ import annotations

from sepm_eval.images import UnreadableImage


class UnsupportedQuestion(ValueError):
    """A question that this kind of model cannot be asked, such as one with several pictures."""


ITEM_FAULTS = (UnreadableImage, UnsupportedQuestion, OSError, SyntaxError, FloatingPointError)

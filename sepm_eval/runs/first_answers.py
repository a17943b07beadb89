"""Whether a model answers with a letter, looked at once a run: one that begins otherwise is asked in vain for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

LOOKED_AT = 8
LEAST = 0.5
_SHOWN = 3  # different beginnings of answers
_LONGEST = 40  # characters of one


def letter_mass(option_probabilities: Mapping[str, float]) -> float:
    """The share of the first token's probability that lies on the options' letters.

    Args:
        option_probabilities: by label, the probability of its letter (``Answer.option_probabilities``).
    """
    return sum(option_probabilities.values())


def beginnings(texts: Iterable[str]) -> str:
    """The first characters of the first few answers that differ, quoted; "nothing" for one that has none."""
    shown = [repr(text[:_LONGEST] + "..." * (len(text) > _LONGEST)) if text else "nothing" for text in texts]
    return ", ".join(list(dict.fromkeys(shown))[:_SHOWN])


class FirstAnswers:
    """Looks at the first answers of a run, and warns once if they are not letters.

    What is looked at is the probability of the options' letters as first token, over the whole vocabulary.
    """

    def __init__(self, model: str, wanted: bool = True) -> None:
        """Begin a run.

        Args:
            model: what it and the method are called, for the warning.
            wanted: whether the method asks for a letter at once; if not, nothing is looked at.
        """
        self._model, self._open = model, wanted
        self._found: list[tuple[float, str]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a journal record; those of failed questions and of foreign tasks do not count."""
        if not self._open or not record.get("option_probabilities"):
            return
        self._found.append((letter_mass(record["option_probabilities"]), record["text"]))
        if len(self._found) == LOOKED_AT:
            self.judge()

    def judge(self) -> None:
        """Look at what there is so far, unless that was done before or there is nothing."""
        if not self._open or not self._found:
            return
        self._open = False
        mean = sum(mass for mass, _ in self._found) / len(self._found)
        if mean < LEAST:
            logger.warning(
                "%s: in the first %d answers the letters of the options have %.0f %% of the next-token probability "
                "(%.0f %% or more is usual); the answers begin with %s. They are written out and read as ever, but "
                "probabilities of options mean little here: `sepm-eval check-model` shows what the model does",
                *(self._model, len(self._found), 100 * mean, 100 * LEAST, beginnings(text for _, text in self._found)),
            )

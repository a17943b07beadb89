"""A check, once a run, whether the model begins its answers with an option letter; otherwise a warning is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

LOOKED_AT = 8  # number of answers that are checked
LEAST = 0.5  # smallest mean probability of the option letters that gives no warning
_SHOWN = 3  # number of different beginnings of answers that are shown
_LONGEST = 40  # characters shown of each beginning


def letter_mass(option_probabilities: Mapping[str, float]) -> float:
    """Total probability of the option letters as the first token.

    Args:
        option_probabilities: by label, the probability of its letter (``Answer.option_probabilities``).
    """
    return sum(option_probabilities.values())


def beginnings(texts: Iterable[str]) -> str:
    """The beginnings of the first few different answers, quoted and joined; "nothing" stands for an empty answer."""
    shown = [repr(text[:_LONGEST] + "..." * (len(text) > _LONGEST)) if text else "nothing" for text in texts]
    return ", ".join(list(dict.fromkeys(shown))[:_SHOWN])


class FirstAnswers:
    """Looks at the first answers of a run, and warns once if they do not begin with an option letter.

    The criterion is the probability, over the whole vocabulary, that the first token is one of the option letters.
    """

    def __init__(self, model: str, wanted: bool = True) -> None:
        """Begin a run.

        Args:
            model: what the model and the method are called, for the warning.
            wanted: whether the method asks for a letter at once; if not, nothing is checked.
        """
        self._model, self._open = model, wanted
        self._found: list[tuple[float, str]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a journal record; one without option probabilities (failed, or plain generation) does not count."""
        if not self._open or not record.get("option_probabilities"):
            return
        self._found.append((letter_mass(record["option_probabilities"]), record["text"]))
        if len(self._found) == LOOKED_AT:
            self.judge()

    def judge(self) -> None:
        """Check the answers counted so far, unless that was done before or there are none."""
        if not self._open or not self._found:
            return
        self._open = False
        mean = sum(mass for mass, _ in self._found) / len(self._found)
        if mean < LEAST:
            logger.warning(
                "%s: in the first %d answers the letters of the options have %.0f %% of the next-token probability "
                "(%.0f %% or more is usual); the answers begin with %s. They are written out and parsed as usual, but "
                "probabilities of options mean little here: `sepm-eval check-model` shows what the model does",
                *(self._model, len(self._found), 100 * mean, 100 * LEAST, beginnings(text for _, text in self._found)),
            )

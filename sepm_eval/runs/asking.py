"""What a harness asks, and which of its questions go to the method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from PIL.Image import Image

from sepm_eval import emotions
from sepm_eval.emotions import Polarity
from sepm_eval.parsing import Options, half_known, parse_question
from sepm_eval.types import Question

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A question as a harness asks it.

    Attributes:
        task: the harness's name of the task.
        doc_id: the document's number in the task.
        load: returns the question's text and pictures. It is called in a loader thread, shortly before the question is
            asked, so that few pictures are in memory at a time.
        max_new_tokens: limit for plain generation.
        until: texts at which plain generation ends.
        target: the right label, shown in the running accuracy and written to the journal; no answer depends on it.
        item: benchmark and item id, only for documents of our benchmarks; ``Runner.keys`` maps them to the journal
            record of the answer.
        options: the options that the question offers, only for documents of our benchmarks; by default they are parsed
            from the text.
        picture: the picture's file, only for documents of our benchmarks; written to the journal for its readers.
    """

    task: str
    doc_id: int
    load: Callable[[], tuple[str, Sequence[Image]]]
    max_new_tokens: int
    until: tuple[str, ...] = ()
    target: str | None = None
    item: tuple[str, str] | None = None
    options: Options | None = None
    picture: str | None = None


@dataclass
class QuestionMaker:
    """Separates emotion questions, which go to the method, from all others.

    If a question looks like an emotion question but cannot go to the method, the reason is logged once.

    Attributes:
        method: the method's name, for messages.
        needs_polarities: whether the method can only answer questions that offer both positive and negative emotions.
        polarity: by label, a polarity that replaces the known one (``emotions.POLARITY``).
    """

    method: str
    needs_polarities: bool
    polarity: Mapping[str, Polarity]
    _warned: set[tuple[str, tuple[str, ...]]] = field(init=False, repr=False, default_factory=set)

    def question(self, asked: Asked, text: str, images: Sequence[Image]) -> Question | None:
        """The question for the method, or None if plain generation is to answer it."""
        options = asked.options or parse_question(text)
        if options is None or len(images) != 1:
            self._warn_of_half_known(asked.task, text)
            return None
        positive, both = sides(options.labels, self.polarity)
        if self.needs_polarities and not both:
            self._warn_of_polarity(asked.task, options.labels)
            return None
        return Question(images[0], options.labels, options.names, text, positive)

    def _warn_of_half_known(self, task: str, text: str) -> None:
        """Warn, once for each task and set of options, that some but not all options are known emotions."""
        unknown = half_known(text)
        if unknown and (task, unknown) not in self._warned:
            self._warned.add((task, unknown))
            logger.warning(
                "%s: options %s are no known emotions, so the question is answered by plain generation, not by %s",
                task,
                list(unknown),
                self.method,
            )

    def _warn_of_polarity(self, task: str, labels: tuple[str, ...]) -> None:
        """Warn, once for each task and set of labels, that the method cannot be asked about them.

        Its first stage decides between positive and negative, so it needs labels of known polarity, of both kinds.
        """
        if (task, labels) not in self._warned:
            self._warned.add((task, labels))
            unknown = [label for label in labels if label not in emotions.POLARITY]
            logger.warning(
                "%s: emotions %s have %s polarity and %s needs both, so the question is answered by plain generation",
                task,
                unknown or list(labels),
                "no known" if unknown else "one",
                self.method,
            )


def sides(labels: Sequence[str], polarity: Mapping[str, Polarity] | None = None) -> tuple[frozenset[str], bool]:
    """Which labels are positive, and whether a method that needs both polarities can be asked about them.

    Args:
        labels: the labels that a question offers; a benchmark of another package may have labels that ``emotions`` does
            not know.
        polarity: by label, a polarity that replaces the known one (``emotions.POLARITY``).

    Returns:
        The labels known to be positive; and True if the polarity of every label is known and both polarities occur.
    """
    known = {**emotions.POLARITY, **(polarity or {})}
    positive = frozenset(label for label in labels if known.get(label) == "positive")
    return positive, all(label in known for label in labels) and 0 < len(positive) < len(labels)

"""Finished runs as values: who answered, the outcome of every item, and the names under which runs are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sepm_eval.methods import kind_of
from sepm_eval.parsing import Options
from sepm_eval.runs.identity import Identity, exam_digest
from sepm_eval.runs.item_sets import Marks, item_set_digest, tied_questions, votes_digest
from sepm_eval.scoring import Score
from sepm_eval.types import Block

PLAINLY = "plain answering"  # marks a run in which plain generation answered questions in the method's place


def lost_tokens(dropped: Sequence[int] | None, left: float | None, whole: int | None) -> bool | None:
    """Whether the model was given fewer visual tokens than the picture has.

    Args:
        dropped: indices of the dropped visual tokens.
        left: number of visual tokens that a decoder layer was given with the last prompt, as a mean over the layers.
        whole: number of visual tokens of the picture.

    Returns:
        True or False; None if it is not known.
    """
    if dropped:
        return True
    return None if left is None or whole is None else left < whole


@dataclass(frozen=True, slots=True)
class Record:
    """What a report needs from the journal record of one answer, besides the answer's text.

    Attributes:
        visual_tokens: number of visual tokens of the picture as shown with the last prompt, before any was dropped;
            None if the question had no picture.
        tokens_read: number of visual tokens read with each prompt; empty if the journal does not say.
        p_positive: probability of "positive" in stage 1. This field and the next four are None for methods without a
            stage 1.
        p_negative: probability of "negative" in stage 1.
        confidence: confidence of stage 1.
        polarity: the polarity that stage 1 chose.
        ambiguous: whether stage 1 was not confident enough, so that stage 2 was shown all labels.
        dropped: indices of the visual tokens that the model did not see in its last stage.
        blocks: where the visual tokens lie in the picture; empty if the journal does not say.
        error: what went wrong, for a failed question; None for an answered one.
        tokens_left: number of visual tokens that a decoder layer was given with the last prompt, as a mean over the
            layers; None if the journal does not say.
        labels: the labels for which the journal has a probability; empty if it has none.
        probabilities: for each of these labels the probability, over the whole vocabulary, that its letter is the first
            token of the answer; for a method that weights them, the weighted values by which it chose.
        seconds: time that the model spent on the question: the time of its batch, divided equally among its questions;
            None if the journal does not say (version 0.3.0 and before did not record it).
    """

    visual_tokens: int | None
    tokens_read: tuple[int, ...]
    p_positive: float | None
    p_negative: float | None
    confidence: float | None
    polarity: str | None
    ambiguous: bool | None
    dropped: Sequence[int]
    blocks: tuple[Block, ...]
    error: str | None
    tokens_left: float | None = None
    labels: tuple[str, ...] = ()
    probabilities: Sequence[float] = ()
    seconds: float | None = None

    @property
    def pruned(self) -> bool | None:
        """See ``lost_tokens``."""
        return lost_tokens(self.dropped, self.tokens_left, self.visual_tokens)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one item: its question, the output and the score.

    Attributes:
        item: the item's id in the benchmark.
        doc_id: its number in the task.
        target: its label.
        question: the question as the harness asked it.
        options: the options that the question offers.
        output: the model's output, or ``scoring.failure_text``.
        score: right, wrong, unparsed or failed.
        logged: whether lmms-eval counted the output as right during the run; None if it did not score it.
        picture: the picture's file; None if the log does not name one.
        sha256: SHA-256 of the picture's file; "" if the log does not say.
        record: the journal record of the answer; None if none was found.
        own_question: whether each item of the benchmark has its own question.
        plain: whether plain generation answered the question, because the method could not be asked it.
        votes: by label, how many people chose it, or which share of them; None if nobody voted on the item.
        marks: what metrics use of the item besides its label, see ``item_sets.marks_of``.
    """

    item: str
    doc_id: int
    target: str
    question: str
    options: Options
    output: str
    score: Score
    logged: bool | None
    picture: str | None
    sha256: str
    record: Record | None
    own_question: bool = False
    plain: bool = False
    votes: Mapping[str, float] | None = None
    marks: Marks = ()


@dataclass(frozen=True)
class Run:
    """One model's answers to one task.

    Attributes:
        identity: the model and the method that answered, with their settings.
        model: name of the model among the runs that were read together: its checkpoint, and, if another model has the
            same checkpoint, the settings in which they differ. Runs whose models differ in any setting have different
            names.
        task: the task's name.
        column: name of the set of items among the runs that were read together: the task, and, if there are runs over
            several sets of its items, which set. Runs over different items, labels, pictures or questions have
            different columns.
        item_list: name of the benchmark's item list.
        outcomes: one outcome for each item, sorted by doc_id.
        asked: number of items that lmms-eval was to ask.
        available: number of items that the task has; more than ``asked`` under --limit.
        offset: number of the task's items that were skipped before the first one asked.
        date: when the answers were scored.
        defaults: default values of the method's options.
        host_version: version of lmms-eval; "" if not recorded.
        source: the results file.
        superseded: other logs of the same run over the same items, which do not count.
        weights: the weights that the method itself loaded, if another run differs from this one only in them; otherwise
            "".
        drops: whether the method, with its options, is to drop visual tokens.
        named: the method's title for people ("SEPM"), without its options; by default its name.
        called: the title with all options that differ from their defaults, and always with a budget: "SEPM, beta=0.1",
            "DivPrune, 192 tokens". Different variants have different titles. Pages show ``called``; files for programs
            have ``variant``.
    """

    identity: Identity
    task: str
    item_list: str
    outcomes: tuple[Outcome, ...]
    asked: int
    available: int
    date: datetime
    offset: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    host_version: str = ""
    source: Path = Path()
    model: str = ""
    column: str = ""
    superseded: tuple[Path, ...] = ()
    weights: str = ""
    drops: bool = False
    named: str = ""
    called: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model or self.identity.checkpoint)
        object.__setattr__(self, "column", self.column or self.task)
        object.__setattr__(self, "called", self.called or ", ".join([self.named or self.method, *self._told_options()]))

    @property
    def entry(self) -> str:
        """The harness's name of the model."""
        return self.identity.entry

    @property
    def method(self) -> str:
        """Our method's name; for a host's own model its entry."""
        return self.identity.method or self.identity.entry

    @property
    def is_control(self) -> bool:
        """Whether the method is a baseline that others have to beat (see ``Method.kind``)."""
        return kind_of(self.method) == "control"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The method's options; empty for a host's own model."""
        return self.identity.options

    @cached_property
    def variant(self) -> str:
        """The method with the options that differ from their defaults and polarities set by hand: "sepm (beta=0.1)".

        A run in which plain generation answered in the method's place is marked here, so that it never appears under
        the method's name alone.
        """
        changed = [f"{key}={value}" for key, value in self._changed().items()]
        changed += self._told_polarities()
        changed += self._told_others()
        return f"{self.method} ({', '.join(changed)})" if changed else self.method

    def _changed(self) -> dict[str, Any]:
        return {key: value for key, value in self.settings.items() if self.defaults.get(key) != value}

    def _told_polarities(self) -> list[str]:
        return [f"{label} is {side}" for label, side in sorted(self.identity.polarity.items())]

    def _told_options(self) -> list[str]:
        """The options in words: a budget always, with its unit, and other options if they are not the defaults."""
        budget = self.settings.get("budget")
        told = [f"{budget} tokens"] if isinstance(budget, int) else []
        told += [f"{budget:.4g} of the tokens"] if isinstance(budget, float) else []
        told += [f"{key}={value}" for key, value in self._changed().items() if key != "budget" or value is None]
        return [*told, *self._told_polarities(), *self._told_others()]

    def _told_others(self) -> list[str]:
        return [told for told in (self.weights, PLAINLY if self.plain else "") if told]

    @property
    def title(self) -> str:
        """Names of the model and the variant."""
        return f"{self.model}: {self.variant}"

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that the run was made with, as far as they are recorded."""
        return {**self.identity.versions, **({"lmms-eval": self.host_version} if self.host_version else {})}

    @cached_property
    def plain(self) -> int:
        """How many questions plain generation answered, because the method could not be asked them."""
        return sum(outcome.plain for outcome in self.outcomes)

    @cached_property
    def exam(self) -> str:
        """Digest of what was asked: task, item list, every item with its label and picture, and the questions."""
        items = item_set_digest((one.item, one.target, one.sha256) for one in self.outcomes)
        asked = tied_questions((one.item, one.question, one.marks) for one in self.outcomes)
        return exam_digest(self.task, self.item_list, items, asked)

    @cached_property
    def votes(self) -> str:
        """Digest of the people's votes on all items; "" if nobody voted."""
        return votes_digest((one.item, one.votes) for one in self.outcomes)

    @cached_property
    def scored(self) -> tuple[Outcome, ...]:
        """The outcomes that count: all but the failed ones."""
        return tuple(outcome for outcome in self.outcomes if outcome.score.status != "failed")

    @cached_property
    def right(self) -> int:
        """How many answers are right."""
        return sum(outcome.score.correct for outcome in self.scored)

    @property
    def accuracy(self) -> float | None:
        """Share of the scored outcomes that are right, in percent; None if nothing was scored."""
        return 100 * self.right / len(self.scored) if self.scored else None

    def count(self, status: str) -> int:
        """How many outcomes are "answered", "unparsed" or "failed"."""
        return self._counts[status]

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(outcome.score.status for outcome in self.outcomes)

    @cached_property
    def pruned(self) -> tuple[int, int]:
        """Number of scored outcomes with a dropped visual token, and of those for which the journal records this."""
        told = Counter(one.record.pruned for one in self.scored if one.record is not None)
        return told[True], told[True] + told[False]

    @property
    def missing(self) -> int:
        """Number of items that lmms-eval was to ask but that have no outcome."""
        return max(self.asked - len(self.outcomes), 0)

    @property
    def answered_all(self) -> bool:
        """Whether every item that was to be asked has an outcome, and none failed."""
        return not self.missing and not self.count("failed")

    @property
    def complete(self) -> bool:
        """Whether every item of the task was asked and answered."""
        return self.answered_all and self.asked == self.available

    @property
    def part(self) -> str:
        """Which of the task's items were to be asked, in words: "all 594", "items 9 to 16 of 594"."""
        if self.asked == self.available:
            return f"all {self.available}"
        return f"items {self.offset + 1} to {self.offset + self.asked} of {self.available}"

    @property
    def options(self) -> Options:
        """The options of the question; if every item has its own question, all labels that occur in any of them.

        Raises:
            ValueError: the items were asked different questions, though the benchmark has one.
        """
        if self.outcomes and all(outcome.own_question for outcome in self.outcomes):
            labels = tuple(dict.fromkeys(label for one in self.outcomes for label in one.options.labels))
            return Options(tuple(sorted(labels)), tuple(sorted(labels)))
        questions = {outcome.question for outcome in self.outcomes}
        if len(questions) != 1:
            raise ValueError(f"{self.source}: the items of {self.task} were asked {len(questions)} different questions")
        return self.outcomes[0].options

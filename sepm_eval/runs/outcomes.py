"""Finished runs as values: who answered, what became of every item, and what each run is called beside others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sepm_eval.parsing import Options
from sepm_eval.runs.identity import Identity, exam_digest
from sepm_eval.runs.item_sets import item_set_digest
from sepm_eval.scoring import Score
from sepm_eval.types import Block

PLAINLY = "plain answering"  # of a run whose method could not be asked: plain generation answered for it


def lost_tokens(dropped: Sequence[int] | None, left: float | None, whole: int | None) -> bool | None:
    """Whether the model was given fewer visual tokens than the picture has.

    Args:
        dropped: indices of those left out.
        left: how many a decoder layer was given with the last prompt, on average.
        whole: how many the picture has.

    Returns:
        None if that is not known.
    """
    if dropped:
        return True
    return None if left is None or whole is None else left < whole


@dataclass(frozen=True, slots=True)
class Record:
    """What a journal tells of one answer besides its text; a report over many items needs no more.

    Attributes:
        stages: how many prompts the model was shown.
        visual_tokens: of the picture as the last prompt showed it, before any was dropped; None if the question went
            without.
        tokens_read: how many visual tokens were read with each prompt; none if the journal does not say.
        p_positive: probability of "positive" in stage 1; None of methods without one, as are the following.
        p_negative: of "negative".
        confidence: of stage 1.
        polarity: the one stage 1 chose.
        ambiguous: whether stage 2 was shown all labels.
        dropped: indices of the visual tokens left out in stage 2.
        blocks: where the visual tokens lie in the picture; none if the journal does not say.
        error: what went wrong, of a question that failed.
        tokens_left: how many visual tokens a decoder layer was given with the last prompt, on average; None if the
            journal does not say.
        labels: those that the journal has a probability of; none if it has none.
        probabilities: of each of them, that its letter is the answer's first token, over the whole vocabulary; of a
            method that weighs them, what it chose by.
        seconds: that the model spent on it: of its batch, shared equally; None if the journal does not say, as those
            of version 0.3.0 and before do not.
    """

    stages: int
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
    """What became of one item.

    Attributes:
        item: its id in the benchmark.
        doc_id: its number in the task.
        target: its label.
        question: the question as the harness asked it.
        options: what it offers.
        output: what the model answered, or ``scoring.failure_text``.
        score: right, wrong, unparsed or failed.
        logged: whether lmms-eval counted it as right when it ran; None if it did not count it.
        picture: the file, where the log names one.
        sha256: of the picture's file; "" if the log does not say.
        record: the journal's record, where a journal was found.
        own_question: the benchmark asks every item another question.
        plain: the method could not be asked this question, and plain generation answered it.
        votes: how many people chose each label, or which share of them; None of an item that nobody voted on.
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


@dataclass(frozen=True)
class Run:
    """One model's answers to one task.

    Attributes:
        identity: who answered, and how.
        model: what the model is called beside the other runs read with it: its checkpoint, and in what it differs from
            another of that name. Runs that differ in anything of the model have different names.
        task: the task's name.
        column: what its items are called beside the other runs: the task, and if there are runs over several sets of
            its items, which one. Runs over different items, labels, pictures or questions have different columns.
        item_list: which list of the benchmark's items.
        outcomes: one an item, by doc_id.
        asked: how many items lmms-eval was to ask.
        available: how many the task has; more than ``asked`` under --limit.
        offset: how many items of the task come before the first.
        date: when the answers were scored.
        defaults: the options the method has unless told otherwise.
        host_version: of lmms-eval; "" if not recorded.
        source: the results file.
        superseded: other logs of the same run over the same items, which do not count.
        weights: which weights of its own the method had, beside a run that is alike but for these; "" if there is none.
        drops: whether the method, with its options, is to drop visual tokens.
        named: what people call the method ("SEPM"), without its options; by default its name.
        called: the same with the options that are not its defaults, and a budget in any case: "SEPM, beta=0.1",
            "DivPrune, 192 tokens". No two variants are called the same. Pages show it; files for programs have
            ``variant``.
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
        """Our method's name; of a stock model its entry."""
        return self.identity.method or self.identity.entry

    @property
    def settings(self) -> Mapping[str, Any]:
        """The method's options; none of a stock model."""
        return self.identity.options

    @cached_property
    def variant(self) -> str:
        """The method, the options that are not its defaults, and polarities set by hand: "sepm (beta=0.1)".

        Answers that plain generation gave in the method's place do not stand under its bare name.
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
        """The options for people: a budget in its unit, whatever it is, and others where they are not the defaults."""
        budget = self.settings.get("budget")
        told = [f"{budget} tokens"] if isinstance(budget, int) else []
        told += [f"{budget:.4g} of the tokens"] if isinstance(budget, float) else []
        told += [f"{key}={value}" for key, value in self._changed().items() if key != "budget" or value is None]
        return [*told, *self._told_polarities(), *self._told_others()]

    def _told_others(self) -> list[str]:
        return [told for told in (self.weights, PLAINLY if any(one.plain for one in self.outcomes) else "") if told]

    @property
    def title(self) -> str:
        """Model and variant."""
        return f"{self.model}: {self.variant}"

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages it was made with, as far as they are recorded."""
        return {**self.identity.versions, **({"lmms-eval": self.host_version} if self.host_version else {})}

    @cached_property
    def exam(self) -> str:
        """A digest of what it was asked: task, item list, every item with its label and picture, and the questions."""
        items = item_set_digest((one.item, one.target, one.sha256) for one in self.outcomes)
        return exam_digest(self.task, self.item_list, items, (one.question for one in self.outcomes))

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
        """Share of the scored outcomes that are right, in percent; None if there are none."""
        return 100 * self.right / len(self.scored) if self.scored else None

    def count(self, status: str) -> int:
        """How many outcomes are "answered", "unparsed" or "failed"."""
        return self._counts[status]

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(outcome.score.status for outcome in self.outcomes)

    @cached_property
    def pruned(self) -> tuple[int, int]:
        """How many scored outcomes lost a visual token of their picture, and how many say whether they did."""
        told = Counter(one.record.pruned for one in self.scored if one.record is not None)
        return told[True], told[True] + told[False]

    @property
    def missing(self) -> int:
        """How many items lmms-eval was to ask and that have no outcome at all."""
        return max(self.asked - len(self.outcomes), 0)

    @property
    def answered_all(self) -> bool:
        """Whether nothing is missing and nothing failed of what was to be asked."""
        return not self.missing and not self.count("failed")

    @property
    def complete(self) -> bool:
        """Whether every item of the task was asked and answered."""
        return self.answered_all and self.asked == self.available

    @property
    def part(self) -> str:
        """Which of the task's items were to be asked: "all 594", "items 9 to 16 of 594"."""
        if self.asked == self.available:
            return f"all {self.available}"
        return f"items {self.offset + 1} to {self.offset + self.asked} of {self.available}"

    @property
    def options(self) -> Options:
        """The labels on offer; where every item has its own question, all labels that any of them offers.

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

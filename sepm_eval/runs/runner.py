"""The runner: answers a harness's questions in batches, keeps the journal, and handles a lack of memory."""

from __future__ import annotations

import dataclasses
import glob
import logging
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import platformdirs
from PIL.Image import Image

from sepm_eval import emotions
from sepm_eval.backbone.interface import Backbone
from sepm_eval.backbone.memory import is_out_of_memory, release
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import Polarity
from sepm_eval.methods import Method
from sepm_eval.methods.common import check_finite
from sepm_eval.methods.needs import other_weights
from sepm_eval.plurals import counted
from sepm_eval.runs.answer_fields import of_answer, of_fault, of_text
from sepm_eval.runs.asking import Asked, QuestionMaker
from sepm_eval.runs.batching import AHEAD, alike, shortest_first
from sepm_eval.runs.environment import decisive_versions, versions
from sepm_eval.runs.faults import ITEM_FAULTS, UnsupportedQuestion
from sepm_eval.runs.first_answers import FirstAnswers
from sepm_eval.runs.identity import OUR_ENTRIES, Identity, digest_of
from sepm_eval.runs.journal import Journal, question_key
from sepm_eval.runs.loading_ahead import Loaded, load_ahead
from sepm_eval.runs.method_checks import PruningCounter
from sepm_eval.runs.progress import PlanBar, progress
from sepm_eval.runs.tally import Tally
from sepm_eval.scoring import failure_text, is_failure
from sepm_eval.types import Question

logger = logging.getLogger(__name__)

PLAIN = "generate"  # replaces the method's name in the journal if plain greedy generation answered the question


@dataclass(frozen=True)
class _Pending:
    """A loaded question to which the journal has no answer."""

    index: int
    asked: Asked
    text: str
    images: tuple[Image, ...]
    question: Question | None  # the question for the method; None: plain generation answers it
    record: dict[str, Any]  # the fields of its journal record that are known so far
    visual_tokens: int


@dataclass
class Runner:
    """Answers questions with one method on one backbone.

    Multiple-choice questions about emotions with one picture go to the method; if the method needs both polarities,
    only those that offer both. All other questions are answered by plain greedy generation.

    Attributes:
        backbone_name: name of the architecture, for the journal.
        backbone: the loaded model.
        method_name: name of the method, for the journal.
        method: the method that answers emotion questions.
        batch_size: number of questions read at once.
        journal_path: file of the journal; None means a file for this model and method in the user's state folder.
        resume: whether answers that the journal already has are reused.
        polarity: by label, a polarity that replaces the known one (``emotions.POLARITY``).
        shard: text added to the journal's file name if several processes share a run.
        entry: the host's name of the model; by default its name in lmms-eval.
        identity: everything that decides the answers, including the settings above that matter.
        keys: by benchmark and item, the key of the journal record that holds the answer; filled in as answers arrive.
        facts: by benchmark and item, filled in likewise: ``confidence``, the answered option's share of the options'
            total probability; or ``plain``, if the method could not be asked and plain generation answered.
        dropping: counts whether the method has dropped visual tokens.
    """

    backbone_name: str
    backbone: Backbone
    method_name: str
    method: Method
    batch_size: int = 1
    journal_path: Path | None = None
    resume: bool = True
    polarity: Mapping[str, Polarity] = field(default_factory=dict)
    shard: str = ""
    entry: str = ""
    journal: Journal = field(init=False)
    tally: Tally = field(init=False)
    identity: Identity = field(init=False)
    keys: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    facts: dict[tuple[str, str], dict[str, Any]] = field(init=False, default_factory=dict)
    dropping: PruningCounter = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Identity(
            entry=self.entry or f"{OUR_ENTRIES}{self.backbone_name}",
            checkpoint=self.backbone.name,
            revision=self.backbone.revision,
            model=dict(self.backbone.settings),
            method=self.method_name,
            options=dataclasses.asdict(self.method),
            polarity={label: side for label, side in self.polarity.items() if side != emotions.POLARITY[label]},
            versions=decisive_versions(),
            weights=other_weights(self.method),
        )
        self._about = {
            "run": self.identity.digest,
            "model": {
                "backbone": self.backbone_name,
                "pretrained": self.backbone.name,
                "revision": self.backbone.revision,
                **self.backbone.settings,
            },
            "versions": versions(),
        }
        self._of_method = {"name": self.method_name, **dataclasses.asdict(self.method)}
        if self.identity.polarity:
            self._of_method["polarity"] = dict(self.identity.polarity)
        if self.identity.weights:
            self._of_method["weights"] = dict(self.identity.weights)
        self._maker = QuestionMaker(self.method_name, self.method.needs_polarities, self.polarity)
        self.tally = Tally()
        about = f"{self.method_name} on {self.backbone.name}"
        self._first = FirstAnswers(about, wanted=getattr(self.method, "begins_with_letter", True))
        self.dropping = PruningCounter(about, wanted=getattr(self.method, "drops", False))
        self._at_once = self.batch_size
        self._ahead = 1  # how many batches of questions are loaded before a batch is chosen from them
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()  # records still to be written, in question order
        path = self.journal_path or self._default_journal()
        mine = path.with_name(f"{path.stem}{self.shard}{path.suffix}")
        shards = sorted(path.parent.glob(f"{glob.escape(path.stem)}.rank*{glob.escape(path.suffix)}"))
        self.journal = Journal(mine, [other for other in (path, *shards) if other != mine])

    def answer(
        self,
        questions: Sequence[Asked],
        *,
        quiet: bool = False,
        more_to_come: bool = False,
        plan_bar: PlanBar | None = None,
    ) -> list[str]:
        """The output for each question, in order; for a failed question it is ``scoring.failure_text``.

        Args:
            questions: the questions.
            quiet: show no progress.
            more_to_come: whether more questions of the same run follow in another call.
            plan_bar: the plan's progress bar, used instead of a bar for this call.
        """
        outputs: dict[int, str] = {}
        with progress(len(questions), f"{self.method_name} on {self.backbone.name}", quiet, plan_bar) as show:
            ahead = load_ahead(questions, self.backbone, self.batch_size, lambda: self._ahead * self.batch_size)
            with closing(ahead) as loaded:
                pending = self._pending(zip(questions, loaded, strict=True), outputs)
                try:
                    while taken := list(islice(pending, self._ahead * self._at_once)):
                        for batch in self._batches(taken):  # empties ``taken``, so that pictures can be freed
                            self._answer_batch(batch, outputs)
                            self._journal(outputs)
                            show(len(outputs), str(self.tally))
                            batch.clear()
                finally:
                    self._journal(outputs, all_answered=True)
            show(len(outputs), str(self.tally))
        if not more_to_come:
            self._first.judge()
            if flaw := self.dropping.flaw():
                logger.error("%s", flaw)
        failed = sum(map(is_failure, outputs.values()))
        if failed:
            asked = counted(len(questions), "question")
            logger.error("%d of %s could not be asked; each counts as failed", failed, asked)
        return [outputs[index] for index in range(len(questions))]

    def _batches(self, taken: list[_Pending]) -> Iterator[list[_Pending]]:
        """Yield batches of loaded questions that are read at once; the list of questions is emptied."""
        counts = [item.visual_tokens for item in taken]
        if min(counts) < max(counts):
            self._ahead = AHEAD  # pictures differ in size: from now on load more, to choose batches among them
        left = [taken[index] for index in shortest_first(counts)]
        taken.clear()
        while left:
            size = alike([item.visual_tokens for item in left], self._at_once)
            batch, left = left[:size], left[size:]
            yield batch

    def _answer_batch(self, batch: Sequence[_Pending], outputs: dict[int, str]) -> None:
        """Ask a batch, and put the answers into ``outputs`` and into the items' records."""
        for item, answer in self._ask(batch):
            item.record.update(of_fault(answer) if isinstance(answer, Exception) else answer)
            self._count(item.asked, item.record)
            outputs[item.index] = failure_text(answer) if isinstance(answer, Exception) else answer["text"]

    def _journal(self, outputs: Mapping[int, str], all_answered: bool = False) -> None:
        """Append the records of answered questions to the journal, in the order of the questions.

        Args:
            outputs: the answers so far.
            all_answered: also write answers that still wait for an earlier question, because the run ends here.
        """
        ready = []
        while self._waiting and (all_answered or self._waiting[0][0] in outputs):
            index, record = self._waiting.popleft()
            if index in outputs:
                ready.append(record)
        if ready:
            self.journal.append(ready)

    def _pending(
        self, questions: Iterable[tuple[Asked, Loaded | Exception]], outputs: dict[int, str]
    ) -> Iterator[_Pending]:
        """Yield the questions that the model has to answer.

        A question to which the journal has an answer, or that could not be loaded, gets its output here.
        """
        for index, (asked, loaded) in enumerate(questions):
            about = {"task": asked.task, "doc_id": asked.doc_id, **self._about}
            if asked.item is not None:
                told = {"item": asked.item[1], "target": asked.target, "picture": asked.picture}
                about |= {name: value for name, value in told.items() if value is not None}
            if isinstance(loaded, Exception):
                logger.error("%s, document %d: %s", asked.task, asked.doc_id, loaded)
                key = digest_of([self.identity.digest, asked.task, asked.doc_id, asked.item, "not loaded"])
                self._note(asked, key)
                self.journal.append([{"key": key, **about, **of_fault(loaded)}])
                outputs[index] = failure_text(loaded)
                continue
            text, images, sha256 = loaded.text, loaded.images, loaded.sha256
            question = self._maker.question(asked, text, images)
            method = self._of_method
            if question is None:
                method = {"name": PLAIN, "max_new_tokens": asked.max_new_tokens, "until": list(asked.until)}
            key = question_key(
                images=sha256,
                text=text,
                method=method,
                model=self.identity.of_model.content(),
            )
            self._note(asked, key)
            known = self.journal.find(key) if self.resume else None
            if known is not None:
                outputs[index] = known["text"]
                self._count(asked, known)
                again = {**known, **about}  # the answer may be from another run or have another document number
                self.journal.append([again])
                continue
            record = {"key": key, **about, "method": method, "question": text, "image_sha256": sha256}
            self._waiting.append((index, record))
            yield _Pending(index, asked, text, images, question, record, loaded.visual_tokens)

    def _count(self, asked: Asked, record: Mapping[str, Any]) -> None:
        self.tally.add(asked, record)
        self._first.add(record)
        if asked.item is not None:
            self.facts[asked.item] = _facts(record)
        self.dropping.add(record)

    def _note(self, asked: Asked, key: str) -> None:
        if asked.item is not None:
            self.keys[asked.item] = key

    def _ask(self, batch: Sequence[_Pending]) -> Iterator[tuple[_Pending, dict[str, Any] | Exception]]:
        """Yield each item of a batch with its answer, or with the exception by which it failed, once it is known.

        If the batch fails because of a single item, every item is asked alone to find out which. If memory does not
        suffice, the batch is asked in two halves, and the batches that follow are of the smaller size too.

        Raises:
            Exception: memory does not suffice for one item (see ``memory.is_out_of_memory``), or any other fault that
                is not one of ``ITEM_FAULTS``.
        """
        half, parts = len(batch) // 2, [[item] for item in batch]
        try:
            answers = self._answers(batch)
        except ITEM_FAULTS as fault:
            if not half:
                logger.error("%s, document %d: %s", batch[0].asked.task, batch[0].asked.doc_id, fault)
                yield batch[0], fault
                return
        except Exception as fault:
            if not is_out_of_memory(fault) or not half:
                raise
            parts = [list(batch[:half]), list(batch[half:])]
            self._at_once = min(self._at_once, half)
            logger.warning(
                "out of memory with %d questions at once; going on with %d at once", len(batch), self._at_once
            )
        else:
            yield from zip(batch, answers, strict=True)
            return
        release()  # behind the handlers, where the fault no longer holds any tensors
        for part in parts:
            yield from self._ask(part)

    def _answers(self, batch: Sequence[_Pending]) -> list[dict[str, Any]]:
        emotional = [item.question for item in batch if item.question is not None]
        begin = self._spent()
        answers = iter(self.method.answer(emotional, self.backbone) if emotional else [])
        took = {"seconds": round((self._spent() - begin) / max(len(emotional), 1), 6)}
        return [{**of_answer(next(answers)), **took} if item.question else self._generate(item) for item in batch]

    def _spent(self) -> float:
        """Seconds on a monotonic clock, plus the time that a ``Shared`` backbone saved by reusing earlier work."""
        saved = self.backbone.saved_seconds if isinstance(self.backbone, Shared) else 0.0
        return time.monotonic() + saved

    def _generate(self, item: _Pending) -> dict[str, Any]:
        if len(item.images) > 1:
            raise UnsupportedQuestion(f"{self.backbone.name} takes one picture a question, not {len(item.images)}")
        visual = self.backbone.see(item.images) if item.images else None
        reading = check_finite(self.backbone.read([item.text], visual))
        (text,) = map(str, self.backbone.write(reading, item.asked.max_new_tokens))
        for end in item.asked.until:
            text = text.split(end)[0]
        return of_text(text)

    def _default_journal(self) -> Path:
        checkpoint = re.sub(r"[^A-Za-z0-9.-]+", "-", self.backbone.name).strip("-")[-60:]
        folder = platformdirs.user_state_path("sepm_eval", appauthor=False) / "journals"
        return folder / f"{self.backbone_name}_{checkpoint}_{self.method_name}_{self.identity.digest[:12]}.jsonl"


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a journal record that are logged beside the answer (``Runner.facts``)."""
    if record.get("status") == "answered" and record.get("method", {}).get("name") == PLAIN:
        return {"plain": True}
    shares, label = record.get("option_probabilities") or {}, record.get("label")
    total = sum(shares.values())
    return {"confidence": shares[label] / total} if label in shares and total > 0 else {}

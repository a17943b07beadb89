"""From a harness's questions to answers: batches, the journal, and what to do about a picture that cannot be read."""

from __future__ import annotations

import dataclasses
import glob
import logging
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import platformdirs
from PIL.Image import Image
from tqdm import tqdm

from sepm_eval import emotions
from sepm_eval.backbone.interface import Backbone
from sepm_eval.backbone.memory import is_out_of_memory, release
from sepm_eval.backbone.shared import Shared
from sepm_eval.emotions import Polarity
from sepm_eval.images import UnreadableImage, image_sha256
from sepm_eval.methods import Method
from sepm_eval.methods.common import check_finite
from sepm_eval.parsing import half_known, parse_question
from sepm_eval.runs.environment import decisive_versions, versions
from sepm_eval.runs.identity import Identity, digest_of
from sepm_eval.runs.journal import Journal, question_key
from sepm_eval.scoring import failure_text, is_failure
from sepm_eval.types import Answer, Question

logger = logging.getLogger(__name__)


class UnsupportedQuestion(ValueError):
    """A question that this kind of model cannot be asked, such as one with several pictures."""


# What can be wrong with one item and leaves the others alone. Anything else is a fault of the run and stops it.
ITEM_FAULTS = (UnreadableImage, UnsupportedQuestion, OSError, SyntaxError, FloatingPointError)

LOADERS = 4  # threads that decode pictures while the model works


@dataclass(frozen=True)
class Asked:
    """A question as a harness asks it.

    Attributes:
        task: the harness's name of the task.
        doc_id: the document's number in it.
        load: gives the question's text and pictures; called shortly before its turn, in a thread beside others, so
            that few pictures are in memory.
        max_new_tokens: limit for plain generation.
        until: texts at which plain generation ends.
        target: the right label, for the running accuracy shown while it works; no answer or record depends on it.
        item: benchmark and item, of a document of ours; ``Runner.keys`` names the record of its answer.
    """

    task: str
    doc_id: int
    load: Callable[[], tuple[str, Sequence[Image]]]
    max_new_tokens: int
    until: tuple[str, ...] = ()
    target: str | None = None
    item: tuple[str, str] | None = None


@dataclass
class Tally:
    """The running accuracy of the task being worked on, for the eye only."""

    task: str = ""
    right: int = 0
    scored: int = 0

    def add(self, asked: Asked, record: Mapping[str, Any]) -> None:
        """Count an answer, if it is one and the right label is known; another task starts from nothing."""
        if asked.target is None or record["status"] == "failed":
            return
        if asked.task != self.task:
            self.task, self.right, self.scored = asked.task, 0, 0
        self.right += record.get("label") == asked.target
        self.scored += 1

    def __str__(self) -> str:
        return f"{self.task} acc {self.right / self.scored:.1%}" if self.scored else ""


@dataclass(frozen=True)
class _Loaded:
    """What a question turned out to be, and the digests of its pictures."""

    text: str
    images: tuple[Image, ...]
    sha256: list[str]


@dataclass(frozen=True)
class _Pending:
    """A question that has been loaded and that the journal does not answer."""

    index: int
    asked: Asked
    text: str
    images: tuple[Image, ...]
    question: Question | None  # None: not an emotion question
    record: dict[str, Any]  # what is known of its journal record so far


@dataclass
class Runner:
    """Answers questions with one method on one backbone.

    Emotion multiple-choice questions with one picture go to the method, if it needs both polarities only those that
    offer both; all others are answered by plain greedy generation.

    Attributes:
        backbone_name: the architecture, for the journal.
        backbone: the loaded model.
        method_name: the method, for the journal.
        method: how emotion questions are answered.
        batch_size: how many questions are read at once.
        journal_path: file of the journal; None is one for this model and method in the user's state folder.
        resume: answer from the journal what it has.
        polarity: polarity of labels for which the known one (``emotions.POLARITY``) is not wanted.
        shard: put into the journal's file name where several processes share a run.
        entry: the host's name of the model; by default the one it has in lmms-eval.
        identity: what decides the answers, of which all of the above that matters has become part.
        keys: by benchmark and item, the journal record that holds the answer; filled in as answers come.
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

    def __post_init__(self) -> None:
        self.identity = Identity(
            entry=self.entry or f"sepm_{self.backbone_name}",
            checkpoint=self.backbone.name,
            revision=self.backbone.revision,
            model=dict(self.backbone.settings),
            method=self.method_name,
            options=dataclasses.asdict(self.method),
            polarity={label: side for label, side in self.polarity.items() if side != emotions.POLARITY[label]},
            versions=decisive_versions(),
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
        self._warned: set[tuple[str, tuple[str, ...]]] = set()
        self.tally = Tally()
        self._at_once = self.batch_size
        path = self.journal_path or self._default_journal()
        mine = path.with_name(f"{path.stem}{self.shard}{path.suffix}")
        shards = sorted(path.parent.glob(f"{glob.escape(path.stem)}.rank*{glob.escape(path.suffix)}"))
        self.journal = Journal(mine, [other for other in (path, *shards) if other != mine])

    def answer(self, questions: Sequence[Asked], *, quiet: bool = False) -> list[str]:
        """The output for each question, in order. A question that failed gets ``scoring.failure_text``."""
        outputs: dict[int, str] = {}
        with tqdm(total=len(questions), desc=f"{self.method_name} on {self.backbone.name}", disable=quiet) as bar:
            with closing(self._loaded(questions)) as loaded:
                pending = self._pending(zip(questions, loaded, strict=True), outputs)
                while batch := list(islice(pending, self._at_once)):
                    for item, answer in self._ask(batch):
                        outputs[item.index] = failure_text(answer) if isinstance(answer, Exception) else answer["text"]
                        item.record.update(_failure(answer) if isinstance(answer, Exception) else answer)
                        self.tally.add(item.asked, item.record)
                    self.journal.append(item.record for item in batch)
                    bar.set_postfix_str(str(self.tally), refresh=False)
                    bar.update(len(outputs) - bar.n)
                    del batch, item  # no more than two batches of pictures are held: this one, and what is loaded ahead
            bar.set_postfix_str(str(self.tally), refresh=False)
            bar.update(len(outputs) - bar.n)
        failed = sum(map(is_failure, outputs.values()))
        if failed:
            logger.error("%d of %d questions could not be asked and count as failed", failed, len(questions))
        return [outputs[index] for index in range(len(questions))]

    def _loaded(self, questions: Sequence[Asked]) -> Generator[_Loaded | Exception, None, None]:
        """What each question turned out to be, or its fault, in order; threads load one batch ahead of the model."""
        coming: deque[Future[_Loaded | Exception]] = deque()
        with _loaders(self.batch_size) as pool:
            for asked in questions:
                coming.append(pool.submit(self._load, asked))
                if len(coming) > self.batch_size:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _load(self, asked: Asked) -> _Loaded | Exception:
        try:
            text, images = asked.load()
            loaded = _Loaded(text, tuple(images), [image_sha256(image) for image in images])
            for image in images:
                self.backbone.prepare(image)
        except Exception as fault:
            if not isinstance(fault, ITEM_FAULTS) and not is_out_of_memory(fault):  # too large a picture, alone
                raise
            return fault
        return loaded

    def _pending(
        self, questions: Iterable[tuple[Asked, _Loaded | Exception]], outputs: dict[int, str]
    ) -> Iterator[_Pending]:
        """Questions for the model; those the journal answers, or that could not be loaded, are settled here."""
        for index, (asked, loaded) in enumerate(questions):
            place = {"task": asked.task, "doc_id": asked.doc_id, **self._about}
            if asked.item is not None:
                place["item"] = asked.item[1]
            if isinstance(loaded, Exception):
                logger.error("%s, document %d: %s", asked.task, asked.doc_id, loaded)
                key = digest_of([self.identity.digest, asked.task, asked.doc_id, asked.item, "not loaded"])
                self._note(asked, key)
                self.journal.append([{"key": key, **place, **_failure(loaded)}])
                outputs[index] = failure_text(loaded)
                continue
            text, images, sha256 = loaded.text, loaded.images, loaded.sha256
            question = self._emotion_question(asked.task, text, images)
            method = self._of_method
            if question is None:
                method = {"name": "generate", "max_new_tokens": asked.max_new_tokens, "until": list(asked.until)}
            key = question_key(
                images=sha256,
                text=text,
                method=method,
                model=dataclasses.asdict(self.identity.of_model),
            )
            self._note(asked, key)
            known = self.journal.find(key) if self.resume else None
            if known is not None:
                outputs[index] = known["text"]
                self.tally.add(asked, known)
                again = {**known, **place}  # what was known of it under another document's number or run
                self.journal.append([again])
                continue
            record = {"key": key, **place, "method": method, "question": text, "image_sha256": sha256}
            yield _Pending(index, asked, text, images, question, record)

    def _note(self, asked: Asked, key: str) -> None:
        if asked.item is not None:
            self.keys[asked.item] = key

    def _emotion_question(self, task: str, text: str, images: Sequence[Image]) -> Question | None:
        options = parse_question(text)
        if options is None or len(images) != 1:
            self._warn_of_half_known(task, text)
            return None
        polarity = {**emotions.POLARITY, **self.polarity}
        positive = frozenset(label for label in options.labels if polarity[label] == "positive")
        if self.method.needs_polarities and not 0 < len(positive) < len(options.labels):
            self._warn_of_one_polarity(task, options.labels)
            return None
        return Question(images[0], options.labels, options.names, text, positive)

    def _warn_of_half_known(self, task: str, text: str) -> None:
        """Say once when a question looks like an emotion question but cannot go to the method."""
        unknown = half_known(text)
        if unknown and (task, unknown) not in self._warned:
            self._warned.add((task, unknown))
            logger.warning(
                "%s: options %s are no known emotions, so the question is answered by plain generation, not by %s",
                task,
                list(unknown),
                self.method_name,
            )

    def _warn_of_one_polarity(self, task: str, labels: tuple[str, ...]) -> None:
        """Say once that emotions of one polarity leave the method nothing to settle first."""
        if (task, labels) not in self._warned:
            self._warned.add((task, labels))
            logger.warning(
                "%s: emotions %s have one polarity and %s needs both, so the question is answered by plain generation",
                task,
                list(labels),
                self.method_name,
            )

    def _ask(self, batch: Sequence[_Pending]) -> list[tuple[_Pending, dict[str, Any] | Exception]]:
        """The answers of a batch.

        If it fails for a fault of one item, each is asked alone to find out which. If memory does not suffice, it is
        asked in halves, and so are the batches that follow.

        Raises:
            Exception: memory does not suffice for one item (see ``memory.is_out_of_memory``).
        """
        try:
            return list(zip(batch, self._answers(batch), strict=True))
        except ITEM_FAULTS as fault:
            if len(batch) > 1:
                return [pair for item in batch for pair in self._ask([item])]
            logger.error("%s, document %d: %s", batch[0].asked.task, batch[0].asked.doc_id, fault)
            return [(batch[0], fault)]
        except Exception as fault:
            if not is_out_of_memory(fault) or len(batch) == 1:
                raise
        half = len(batch) // 2
        self._at_once = min(self._at_once, half)
        logger.warning("out of memory with %d questions at once; going on with %d", len(batch), self._at_once)
        release()
        return self._ask(batch[:half]) + self._ask(batch[half:])

    def _answers(self, batch: Sequence[_Pending]) -> list[dict[str, Any]]:
        emotional = [item.question for item in batch if item.question is not None]
        answers = iter(self.method.answer(emotional, self.backbone) if emotional else [])
        return [_answered(next(answers)) if item.question else self._generate(item) for item in batch]

    def _generate(self, item: _Pending) -> dict[str, Any]:
        if len(item.images) > 1:
            raise UnsupportedQuestion(f"{self.backbone.name} takes one picture a question, not {len(item.images)}")
        visual = self.backbone.see(item.images) if item.images else None
        reading = check_finite(self.backbone.read([item.text], visual))
        (text,) = self.backbone.write(reading, item.asked.max_new_tokens)
        for end in item.asked.until:
            text = text.split(end)[0]
        return {"status": "answered", "text": text}

    def _default_journal(self) -> Path:
        checkpoint = re.sub(r"[^A-Za-z0-9.-]+", "-", self.backbone.name).strip("-")[-60:]
        folder = platformdirs.user_state_path("sepm_eval", appauthor=False) / "journals"
        return folder / f"{self.backbone_name}_{checkpoint}_{self.method_name}_{self.identity.digest[:12]}.jsonl"


def answer_variants(runners: Sequence[Runner], questions: Sequence[Asked], *, quiet: bool = False) -> list[list[str]]:
    """The outputs of several variants, picture by picture, so that they share what they ask of the model.

    Args:
        runners: one for each variant, all on one ``Shared`` backbone and with the same batch size.
        questions: as for ``Runner.answer``.
        quiet: show no progress.

    Returns for each runner what its ``answer`` would. Every variant has its journal, with the records of a run of its
    own: a harness that runs it later finds its answers there.

    Raises:
        ValueError: the runners do not share a backbone or a batch size.
    """
    shared = runners[0].backbone
    if not isinstance(shared, Shared) or any(runner.backbone is not shared for runner in runners):
        raise ValueError("variants share readings through one Shared(backbone); give it to every runner")
    size = runners[0].batch_size
    if any(runner.batch_size != size for runner in runners):
        raise ValueError(
            f"variants share batches: batch sizes {sorted({runner.batch_size for runner in runners})} differ"
        )
    outputs: list[list[str]] = [[] for _ in runners]
    later = [dataclasses.replace(asked, load=cache(asked.load)) for asked in questions[:size]]
    with (
        tqdm(total=len(questions), desc=f"{len(runners)} variants on {shared.name}", disable=quiet) as bar,
        _loaders(size) as pool,
    ):
        for start in range(0, len(questions), size):
            part, following = later, questions[start + size : start + 2 * size]
            later = [dataclasses.replace(asked, load=cache(asked.load)) for asked in following]
            for asked in later:
                pool.submit(runners[0]._load, asked)
            for found, runner in zip(outputs, runners, strict=True):
                found += runner.answer(part, quiet=True)
            shared.forget()
            best = max((runner.tally for runner in runners), key=lambda tally: tally.right)
            bar.set_postfix_str(f"best {best}" if best.scored else "", refresh=False)
            bar.update(len(part))
    return outputs


@contextmanager
def _loaders(batch_size: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to load pictures in; at the end what has not begun is dropped, and none is left."""
    pool = ThreadPoolExecutor(min(LOADERS, batch_size), thread_name_prefix="sepm_eval-loader")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _answered(answer: Answer) -> dict[str, Any]:
    """An answer as journal fields."""
    found: dict[str, Any] = {}
    if answer.evidence is not None:
        evidence = dataclasses.asdict(answer.evidence)
        evidence.pop("significance")  # N_v numbers a picture; the dropped indices are what the answer depends on
        found = evidence
    return {
        "status": "answered",
        "text": answer.text,
        "answer": answer.letter,
        "label": answer.label,
        "option_probabilities": answer.option_probabilities,
        "visual_tokens": answer.visual_tokens,
        "blocks": [dataclasses.asdict(block) for block in answer.blocks],
        "prompts": answer.prompts,
        "tokens_read": answer.tokens_read,
        **found,
    }


def _failure(fault: Exception) -> dict[str, Any]:
    return {"status": "failed", "error": f"{type(fault).__name__}: {fault}"}

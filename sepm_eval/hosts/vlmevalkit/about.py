"""Who gave the answers in a prediction file of VLMEvalKit, and to which questions. Imports nothing of VLMEvalKit.

VLMEvalKit reuses earlier answers by model name and item id alone. So a small JSON file beside each prediction file, the
about file, says what its answers belong to. It is written before the first answer, and compared before any is reused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from sepm_eval.datasets import Benchmark
from sepm_eval.emotions import Polarity
from sepm_eval.files import write_whole
from sepm_eval.methods import needs_polarities
from sepm_eval.runs.asking import sides
from sepm_eval.runs.exams import Exam
from sepm_eval.runs.identity import Identity, digest_of, exam_digest, from_json
from sepm_eval.runs.identity import differences as identity_differences
from sepm_eval.runs.item_sets import item_set_digest

SUFFIX = "_sepm_eval.json"


@dataclass(frozen=True)
class Questions:
    """What a data set of ours asks: the exam, and digests of its parts, so that a difference can be named.

    Attributes:
        exam: the exam, equal to that of the same items in lmms-eval.
        ids: digest of the items' ids.
        labels: digest of the ids with their labels.
        pictures: digest of the ids with the SHA-256 of their pictures.
        question: text of the question, which is the same for each picture.
    """

    exam: Exam
    ids: str
    labels: str
    pictures: str
    question: str


def questions_of(
    benchmark: Benchmark, item_list: str, rows: Sequence[tuple[str, str, str]], limit: int | None = None
) -> Questions:
    """The exam and the digests for the rows of a data set.

    Args:
        benchmark: the benchmark, which has the task's name and the question.
        item_list: name of the item list.
        rows: id, label and SHA-256 of the picture's file ("" if it cannot be read) of every item in the list, in order.
        limit: only the first ``limit`` rows are asked; None asks all.
    """
    asked = rows if limit is None else rows[:limit]
    question = benchmark.question()
    return Questions(
        exam=Exam(
            digest=exam_digest(benchmark.name, item_list, item_set_digest(asked), [question]),
            asked=len(asked),
            available=len(rows),
            item_list=item_list,
        ),
        ids=digest_of(sorted(key for key, _, _ in asked)),
        labels=digest_of(sorted([key, label] for key, label, _ in asked)),
        pictures=digest_of(sorted([key, picture] for key, _, picture in asked)),
        question=question,
    )


@dataclass(frozen=True)
class About:
    """What the answers of one model to one data set belong to.

    Attributes:
        identity: the identity of the model; None for a model that is not ours, of which only VLMEvalKit's name is
            known. Before the model is loaded, ``Identity.model`` is empty.
        arguments: arguments of the model as the user gave them, such as dtype and image_aspect_ratio; they can be
            compared before the model is loaded.
        questions: what the data set asks; None for a data set that is not ours.
    """

    identity: Identity | None
    arguments: Mapping[str, Any]
    questions: Questions | None

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values, in the form that ``from_file`` reads."""
        return {
            "identity": None if self.identity is None else self.identity.as_json(),
            "arguments": dict(self.arguments),
            "questions": None if self.questions is None else asdict(self.questions),
        }

    def answered_by(self, benchmark: Benchmark) -> str:
        """Who answered a benchmark, if it was not the method: plain generation, where the method could not be asked."""
        if self.identity is None or not self.identity.method:
            return ""
        _, both = sides(benchmark.options.labels, cast("Mapping[str, Polarity]", self.identity.polarity))
        return (
            ""
            if both or not needs_polarities(self.identity.method)
            else f"plain generation, not {self.identity.method}"
        )

    def columns(self) -> dict[str, str]:
        """A short form for tables and status files: item list, exam, checkpoint, revision and run; "" if not known."""
        exam = ("", "") if self.questions is None else (self.questions.exam.item_list, self.questions.exam.digest)
        who = ("", "", "")
        if self.identity is not None:
            who = (self.identity.checkpoint, self.identity.revision, self.identity.digest)
        return dict(zip(("item_list", "exam", "checkpoint", "revision", "run"), exam + who, strict=True))


def about_path(folder: Path, model: str, data: str) -> Path:
    """The path of the about file, which is beside the prediction file."""
    return folder / f"{model}_{data}{SUFFIX}"


def from_file(path: Path) -> About:
    """Read an about file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or was changed by hand.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        identity, arguments, asked = content["identity"], content["arguments"], content["questions"]
        if not isinstance(arguments, dict):
            raise ValueError(f"arguments is {arguments!r}")
        return About(
            identity=None if identity is None else from_json(identity),
            arguments=arguments,
            questions=None if asked is None else Questions(**{**asked, "exam": Exam(**asked["exam"])}),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} does not say whose answers these are ({error})") from error


def to_file(path: Path, about: About) -> None:
    """Write an about file in one step, so that an interruption leaves either the old file or the new one."""
    write_json(path, about.as_json())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def differences(former: About, now: About, *, answering: bool) -> list[str]:
    """What differs between earlier answers and those of this run, in words; empty if they belong to the same run.

    Args:
        former: what the earlier answers belong to.
        now: what the answers of this run belong to.
        answering: whether this run asks anything. If it only scores earlier answers, package versions are not compared,
            and weights only if they are known here.
    """
    return [*_of_models(former, now, answering), *_of_questions(former.questions, now.questions)]


def _of_models(former: About, now: About, answering: bool) -> list[str]:
    if former.identity is None or now.identity is None:
        return [] if former.identity is now.identity else ["only one of the two models is sepm_eval's"]
    skipped: tuple[str, ...] = () if answering else ("versions.",)
    if not answering and not now.identity.revision:
        skipped += ("revision", "weights.")
    loaded = former.identity.model and now.identity.model
    if not loaded:
        skipped += ("model.",)
    before, after = former.identity.fields(), now.identity.fields()
    found = [
        f"{name}: {before.get(name)}, now {after.get(name)}"
        for name in identity_differences([former.identity, now.identity])
        if not name.startswith(skipped)
    ]
    if not loaded:
        keys = dict.fromkeys([*former.arguments, *now.arguments])
        told = [(key, former.arguments.get(key, "default"), now.arguments.get(key, "default")) for key in keys]
        found += [f"{key}: {old}, now {new}" for key, old, new in told if old != new]
    return found


def _of_questions(former: Questions | None, now: Questions | None) -> list[str]:
    if former is None or now is None or former.exam.digest == now.exam.digest:
        return [] if (former is None) == (now is None) else ["the data set"]
    found = []
    if former.exam.item_list != now.exam.item_list:
        found.append(f"item list: {former.exam.item_list}, now {now.exam.item_list}")
    if former.ids != now.ids:
        counts = f"{former.exam.asked} of {former.exam.available}, now {now.exam.asked} of {now.exam.available}"
        return [*found, f"items asked: {counts}"]
    parts = (("labels", former.labels != now.labels), ("pictures", former.pictures != now.pictures))
    found += [name for name, other in (*parts, ("the question", former.question != now.question)) if other]
    return found or ["the exam"]


def former_answers(folder: Path, model: str, data: str) -> list[Path]:
    """All files in a folder whose answers VLMEvalKit reuses for this model and data set: predictions and pickles."""
    if not folder.is_dir():
        return []
    name = re.escape(f"{model}_{data}")
    file = re.compile(rf"{name}\.[^.]+|{name}_(PREV|checkpoint)\.pkl|\d+_{re.escape(data)}\.pkl")
    return sorted(path for path in folder.iterdir() if file.fullmatch(path.name) and not path.is_symlink())

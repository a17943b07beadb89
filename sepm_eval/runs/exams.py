"""The exam: what a task asks (items, labels, pictures, item list, questions), as a value that can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from sepm_eval.datasets import Benchmark
from sepm_eval.digests import readable_sha256s
from sepm_eval.methods.needs import check_question
from sepm_eval.parsing import Options
from sepm_eval.runs.asking import sides
from sepm_eval.runs.identity import exam_digest
from sepm_eval.runs.item_sets import item_set_digest, marks_of, tied_questions, votes_digest
from sepm_eval.types import Question


@dataclass(frozen=True)
class Exam:
    """What a run is to be asked.

    Attributes:
        digest: equals ``Run.exam`` of a run that was asked exactly this.
        votes: equals ``Run.votes`` of a run whose log has the same votes.
        asked: number of items to be asked.
        available: number of items in the item list.
        item_list: name of the item list.
    """

    digest: str
    asked: int
    available: int
    item_list: str
    votes: str = ""


def exam_of(benchmark: Benchmark, limit: int | None = None) -> Exam:
    """The exam of a benchmark with its present data and the item list that is set.

    Args:
        benchmark: the benchmark.
        limit: ask only the first ``limit`` items; None asks all.

    Raises:
        MissingData: the benchmark's data are not there.
        ValueError: its data or its item list are invalid.
    """
    chosen, items = benchmark.chosen_list(), benchmark.items()
    asked = items if limit is None else items[:limit]
    pictures = readable_sha256s([item.path for item in asked])
    rows = ((item.id, item.label, picture) for item, picture in zip(asked, pictures, strict=True))
    own, same = benchmark.own_questions, benchmark.question()
    questions = tied_questions(
        (item.id, benchmark.asked(item).text if own else same, marks_of(item.extra) if own else ()) for item in asked
    )
    return Exam(
        digest=exam_digest(benchmark.name, chosen, item_set_digest(rows), questions),
        votes=votes_digest((item.id, item.extra.get("votes")) for item in asked),
        asked=len(asked),
        available=len(items),
        item_list=chosen,
    )


def blank_question(offered: Options, text: str) -> Question:
    """A question with a blank picture, for checks and cost estimates that need no real picture.

    Args:
        offered: the question's options.
        text: the question word for word.
    """
    positive, _ = sides(offered.labels)
    return Question(Image.new("RGB", (1, 1)), offered.labels, offered.names, text, positive)


def check_asked(name: str, method: object, benchmarks: Iterable[Benchmark]) -> None:
    """Check that a method with its options can answer the questions of these benchmarks; no data are needed.

    Args:
        name: what the method is called, for the message.
        method: see ``check_question``.
        benchmarks: the benchmarks that the method is to answer.

    Raises:
        ValueError: the method cannot answer a benchmark's question; the message names the benchmark.
    """
    for benchmark in benchmarks:
        try:
            check_question(method, blank_question(benchmark.options, benchmark.question()))
        except ValueError as error:
            raise ValueError(f"{benchmark.name}, {name}: {error}") from None

"""The documents of our tasks: ``process_docs`` of the task EMOSET is ``sepm_eval.tasks.documents.EMOSET``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sepm_eval.datasets import Benchmark, OwnQuestion, find_benchmarks
from sepm_eval.digests import readable_sha256s

if TYPE_CHECKING:
    from datasets import Dataset


def documents(benchmark: Benchmark) -> Dataset:
    """A benchmark's items as lmms-eval documents.

    The column ``picture`` is the SHA-256 of the picture's file, or "" where it cannot be read: with id and label it
    says what a run was asked on (``item_sets.item_set_digest``). An unreadable picture is a failed question later.
    ``labels`` and ``names`` are what the question offers, so that nobody has to read it from the text; ``own_question``
    says that every item is asked another one.

    lmms-eval repeats this call five times and hides what it raises in a RetryError. So a problem travels as the one
    document of the set, and is raised when that is first looked at (``sepm_eval.tasks.functions``).
    """
    from datasets import Dataset

    try:
        chosen, items = benchmark.chosen_list(), benchmark.items()
    except (OSError, ValueError) as error:
        return Dataset.from_list([{"problem": str(error)}])
    about: dict[str, Any] = {"benchmark": benchmark.name, "item_list": chosen}
    about |= {"own_question": True} if benchmark.own_questions else _offered(benchmark.asked(items[0]))
    pictures = readable_sha256s([item.path for item in items])
    return Dataset.from_list(
        [
            {"id": i.id, "image": str(i.path), "label": i.label, "picture": picture, **about, **i.extra}
            | (_offered(i.question) if i.question else {})
            for i, picture in zip(items, pictures, strict=True)
        ]
    )


def _offered(asked: OwnQuestion) -> dict[str, Any]:
    """A question as columns of a document."""
    return {"question": asked.text, "labels": list(asked.options.labels), "names": list(asked.options.names)}


def process_docs(benchmark: Benchmark) -> Callable[[Any], Dataset]:
    """The function of a task's configuration that puts the benchmark's documents in the placeholder's place."""

    def in_its_place(_placeholder: Any) -> Dataset:
        return documents(benchmark)

    return in_its_place


def __getattr__(name: str) -> Callable[[Any], Dataset]:
    """What a task file names: the ``process_docs`` of the benchmark called so."""
    benchmarks = find_benchmarks()
    if name not in benchmarks:
        raise AttributeError(f"{__name__}: there is no benchmark {name!r}; there are {sorted(benchmarks)}")
    return process_docs(benchmarks[name])

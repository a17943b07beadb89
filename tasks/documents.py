"""The documents of our tasks; the task emoset, for example, has ``process_docs`` sepm_eval.tasks.documents.emoset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sepm_eval.datasets import Benchmark, OwnQuestion, find_benchmarks
from sepm_eval.digests import readable_sha256s

if TYPE_CHECKING:
    from datasets import Dataset


def documents(benchmark: Benchmark) -> Dataset:
    """Make the items of a benchmark into documents of lmms-eval.

    The column ``picture`` is the SHA-256 of the picture's file, or "" if the file cannot be read. Together with id and
    label it identifies the items of a run (``item_sets.item_set_digest``). A question with an unreadable picture fails
    later. ``labels`` and ``names`` are the options of the question, so that nobody has to parse them from its text.
    ``own_question`` marks a benchmark in which every item has a question of its own.

    lmms-eval repeats this call five times, and hides an error that it raises in a RetryError. So if the data set cannot
    be read, the error message is returned as the only document, and is raised when that document is first used
    (``sepm_eval.tasks.functions``). If there are fewer items than published, that is a warning.
    """
    from datasets import Dataset

    try:
        chosen, items = benchmark.chosen_list(), benchmark.items()
    except (OSError, ValueError) as error:
        return Dataset.from_list([{"problem": str(error)}])
    benchmark.warn_if_fewer(len(items))
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
    """The columns of a document that describe its question."""
    return {"question": asked.text, "labels": list(asked.options.labels), "names": list(asked.options.names)}


def process_docs(benchmark: Benchmark) -> Callable[[Any], Dataset]:
    """The ``process_docs`` function of a benchmark's task, which replaces the placeholder data set by the documents."""

    def in_its_place(_placeholder: Any) -> Dataset:
        return documents(benchmark)

    return in_its_place


def __getattr__(name: str) -> Callable[[Any], Dataset]:
    """Look up a name that a task file uses: the ``process_docs`` function of the benchmark with this name."""
    benchmarks = find_benchmarks()
    if name not in benchmarks:
        raise AttributeError(f"{__name__}: there is no benchmark {name!r}; there are {sorted(benchmarks)}")
    return process_docs(benchmarks[name])

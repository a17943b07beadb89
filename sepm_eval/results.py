"""Finished runs, read back from what lmms-eval logged (any model's) and from the journals beside it.

Nothing of what lmms-eval counted is taken over: every output is scored again, so that runs of different models and
versions are compared by one rule.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sepm_eval.journal import read_journal
from sepm_eval.parsing import Options, parse_question
from sepm_eval.scoring import Score, score

logger = logging.getLogger(__name__)

OUR_ENTRIES = "sepm_"
_RESULTS, _SAMPLES = "_results.json", "_samples_"
_JOURNAL_START = b'{"key": '


class NoResults(ValueError):
    """There is nothing to report on; the message says where was looked and for what."""


class DifferentItems(ValueError):
    """Two runs that answered different items were to be compared item by item."""


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: its id in the benchmark.
        doc_id: its number in the task.
        target: its label.
        question: the question as the harness asked it.
        output: what the model answered, or ``scoring.failure_text``.
        score: right, wrong, unparsed or failed.
        logged: whether lmms-eval counted it as right when it ran; None if it did not count it.
        picture: the file, where the log names one that is still there.
        record: the journal's record, where a journal was found.
    """

    item: str
    doc_id: int
    target: str
    question: str
    output: str
    score: Score
    logged: bool | None = None
    picture: Path | None = None
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """One model's answers to one task.

    Attributes:
        entry: the harness's name of the model ("sepm_llava", "llava_hf").
        model: the checkpoint.
        method: our method's name; for a stock model its entry.
        settings: the method's full settings; empty for a stock model.
        defaults: the settings it has unless told otherwise.
        task: the task's name.
        item_list: which list of the benchmark's items.
        outcomes: one an item, by doc_id.
        asked: how many items lmms-eval was to ask.
        available: how many the task has; more than ``asked`` under --limit.
        date: when lmms-eval wrote the results, as it writes it.
        versions: of the packages, from the journal.
        source: the results file.
    """

    entry: str
    model: str
    method: str
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any]
    task: str
    item_list: str
    outcomes: tuple[Outcome, ...]
    asked: int
    available: int
    date: str
    versions: Mapping[str, str] = field(default_factory=dict)
    source: Path = Path()

    @property
    def variant(self) -> str:
        """The method and the settings that are not its defaults: "sepm (beta=0.1)"."""
        changed = [f"{key}={value}" for key, value in self.settings.items() if self.defaults.get(key) != value]
        return f"{self.method} ({', '.join(changed)})" if changed else self.method

    @property
    def title(self) -> str:
        """Model and variant."""
        return f"{self.model}: {self.variant}"

    @cached_property
    def scored(self) -> tuple[Outcome, ...]:
        """The outcomes that count: all but the failed ones."""
        return tuple(outcome for outcome in self.outcomes if outcome.score.status != "failed")

    @property
    def right(self) -> int:
        """How many answers are right."""
        return sum(outcome.score.correct for outcome in self.scored)

    @property
    def accuracy(self) -> float | None:
        """Share of the scored outcomes that are right, in percent; None if there are none."""
        return 100 * self.right / len(self.scored) if self.scored else None

    def count(self, status: str) -> int:
        """How many outcomes are "answered", "unparsed" or "failed"."""
        return sum(outcome.score.status == status for outcome in self.outcomes)

    @property
    def missing(self) -> int:
        """How many items lmms-eval was to ask and that have no outcome at all."""
        return max(self.asked - len(self.outcomes), 0)

    @property
    def complete(self) -> bool:
        """Whether every item of the task was asked and answered."""
        return not self.missing and not self.count("failed") and self.asked == self.available

    @property
    def options(self) -> Options:
        """The labels on offer.

        Raises:
            ValueError: the items were asked different questions.
        """
        questions = {outcome.question for outcome in self.outcomes}
        if len(questions) != 1:
            raise ValueError(f"{self.source}: the items of {self.task} were asked {len(questions)} different questions")
        found = parse_question(questions.pop())
        assert found is not None  # every outcome was scored by it
        return found


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """All runs below some folders, sorted by task, model and method. Of a run that was repeated the latest counts.

    Raises:
        NoResults: there is none.
        ValueError: a file is damaged.
    """
    found: dict[tuple[str, ...], Run] = {}
    journals = _Journals(folders)
    for path in _files(folders, f"*{_RESULTS}"):
        for run in _runs(path, journals):
            key = (run.task, run.item_list, run.entry, run.model, run.variant)
            if key not in found or found[key].date < run.date:
                found[key] = run
    if not found:
        where = ", ".join(str(folder) for folder in folders)
        raise NoResults(
            f"no results of image-emotion tasks in {where}: give folders that `sepm-eval run` wrote, or that "
            "`lmms-eval --output_path FOLDER --log_samples` did"
        )
    order = {name: place for place, name in enumerate(_METHOD_ORDER)}
    return sorted(found.values(), key=lambda r: (r.task, r.model, order.get(r.method, len(order)), r.variant, r.entry))


_METHOD_ORDER = ("zero_shot", "zero_shot_cot", "sparsevlm", "random_drop", "query_drop", "downsample", "sepm")


def paired(first: Run, second: Run) -> list[tuple[Outcome, Outcome]]:
    """The items that both runs answered, side by side; a question that failed in either is left out.

    Raises:
        DifferentItems: the runs are over different tasks, item lists, items or labels.
    """
    for what in ("task", "item_list"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            raise DifferentItems(f"{first.title} and {second.title} differ in their {what}: {one!r} and {other!r}")
    ours = {outcome.item: outcome for outcome in first.outcomes}
    theirs = {outcome.item: outcome for outcome in second.outcomes}
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise DifferentItems(
            f"{first.title} and {second.title} were asked different items of {first.task}: {len(odd)} are only in one, "
            f"such as {odd[0]!r}. Run both over the same list, without --limit"
        )
    if odd := [item for item, outcome in ours.items() if outcome.target != theirs[item].target]:
        raise DifferentItems(f"{first.task}: {len(odd)} items have other labels in one run, such as {odd[0]!r}")
    pairs = [(outcome, theirs[item]) for item, outcome in ours.items()]
    return [pair for pair in pairs if all(outcome.score.status != "failed" for outcome in pair)]


def parse_model_args(text: str | Mapping[str, Any]) -> dict[str, str]:
    """lmms-eval's --model_args as a table of texts: "pretrained=demo,beta=0.1"."""
    if not isinstance(text, str):
        return {str(key): str(value) for key, value in text.items()}
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value for key, _, value in pairs}


def full_settings(method: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings of a method, and its defaults; only what is given where the method is not ours."""
    from sepm_eval.methods import get_method, method_options

    try:
        known = method_options(method)
    except ValueError:
        return dict(given), {}
    chosen = get_method(method, **{key: value for key, value in given.items() if key in known})
    return dataclasses.asdict(chosen), dataclasses.asdict(get_method(method))


def _runs(path: Path, journals: _Journals) -> list[Run]:
    """The runs of one results file.

    Raises:
        ValueError: it or a file beside it is not what lmms-eval writes; the message names the file.
    """
    try:
        return list(_read_results(path, journals))
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{path} or its samples are not as lmms-eval writes them ({error!r}); move it away") from error


def _read_results(path: Path, journals: _Journals) -> Iterable[Run]:
    results = _json(path)
    config = results.get("config", {})
    entry, arguments = str(config.get("model")), parse_model_args(config.get("model_args") or "")
    stamp = path.name.removesuffix(_RESULTS)
    for log in sorted(path.parent.glob(f"{glob.escape(stamp)}{_SAMPLES}*.jsonl")):
        task = log.name.removeprefix(f"{stamp}{_SAMPLES}").removesuffix(".jsonl")
        samples = _samples(log)
        if not samples:
            continue
        method = entry
        settings: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        model = arguments.get("pretrained") or str(results.get("model_name") or entry)
        if entry.startswith(OUR_ENTRIES):
            method = arguments.get("method", "sepm")
            given = {key: _value(value) for key, value in arguments.items()}
            try:
                settings, defaults = full_settings(method, given)
            except ValueError as error:
                raise ValueError(f"{path}: {error}; if it is of another version, move it away") from error
            model = arguments.get("pretrained") or _default_checkpoint(entry)
        records, versions = journals.of(arguments.get("journal"), task, model, {"name": method, **settings}, defaults)
        counts = results.get("n-samples", {}).get(task, {})
        outcomes = tuple(_outcome(sample, records) for sample in sorted(samples, key=lambda one: one["doc_id"]))
        _check_unique(log, outcomes)
        yield Run(
            entry=entry,
            model=model,
            method=method,
            settings=settings,
            defaults=defaults,
            task=task,
            item_list=str(samples[0]["item_list"]),
            outcomes=outcomes,
            asked=_whole(path, counts.get("effective", len(outcomes))),
            available=_whole(path, counts.get("original", len(outcomes))),
            date=str(results.get("date", stamp)),
            versions=versions,
            source=path,
        )


def _writable(text: Any) -> str:
    """A text that can be written as UTF-8: JSON lets through halves of a surrogate pair."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _whole(path: Path, count: Any) -> int:
    if type(count) is not int or count < 0:
        raise ValueError(f"{path} says that {count!r} items were asked; move it away")
    return count


def _is_there(picture: Path) -> bool:
    try:
        return picture.is_file()
    except OSError:  # what is logged is no path of this machine, such as one that is too long for it
        return False


def _check_unique(log: Path, outcomes: Sequence[Outcome]) -> None:
    """An item that is logged twice would be counted twice."""
    for what, keys in (("item", [one.item for one in outcomes]), ("doc_id", [one.doc_id for one in outcomes])):
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ValueError(f"{log} has several samples of {len(twice)} {what}s, such as {twice[0]!r}; move it away")


def _outcome(sample: Mapping[str, Any], records: Mapping[int, Mapping[str, Any]]) -> Outcome:
    options = parse_question(str(sample["input"]))
    assert options is not None  # samples of other tasks were left out
    output, target = _writable(_first(sample["filtered_resps"])), str(sample["label"])
    record = records.get(sample["doc_id"])
    if record is not None and record["status"] == "answered" and record["text"] != output:
        record = None  # of another run
    picture = next((Path(one) for one in sample.get("input_media") or [] if isinstance(one, str)), None)
    return Outcome(
        item=_writable(sample["item_id"]),
        doc_id=int(sample["doc_id"]),
        target=target,
        question=str(sample["input"]),
        output=output,
        score=score(output, target, options),
        logged=bool(sample["acc"]) if "acc" in sample else None,
        picture=picture if picture is not None and _is_there(picture) else None,
        record=record,
    )


def _samples(log: Path) -> list[dict[str, Any]]:
    """The samples of an image-emotion task; none if it is another kind of task."""
    samples = []
    for number, line in enumerate(log.read_bytes().splitlines(), start=1):
        where = f"{log}, line {number}"
        try:
            sample = json.loads(line)
            known = {"item_id", "item_list", "label", "doc_id", "filtered_resps"} <= sample.keys()
            options = parse_question(str(sample.get("input"))) if known else None
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise ValueError(f"{where} is no sample of lmms-eval ({error}); move the file away") from error
        if options is None:
            return []
        if flaw := _flaw(sample, options):
            raise ValueError(f"{where} is no sample of lmms-eval ({flaw}); move the file away")
        samples.append(sample)
    return samples


def _flaw(sample: Mapping[str, Any], options: Options) -> str:
    """What keeps a sample from being scored; "" if nothing does."""
    if type(sample["doc_id"]) is not int:
        return f"doc_id is {sample['doc_id']!r}, no number"
    if sample["label"] not in options.labels:
        return f"label is {sample['label']!r}, none of {list(options.labels)}"
    if not isinstance(_first(sample["filtered_resps"]), str):
        return f"filtered_resps is {sample['filtered_resps']!r}, no text"
    if "acc" in sample and sample["acc"] not in (0, 1):
        return f"acc is {sample['acc']!r}, neither 0 nor 1"
    return ""


class _Journals:
    """The journals below some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths = [path for path in _files(folders, "*.jsonl") if _is_journal(path)]
        self._read: dict[Path, list[dict[str, Any]]] = {}

    def of(
        self, named: str | None, task: str, model: str, method: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> tuple[dict[int, dict[str, Any]], dict[str, str]]:
        """The records of one run by doc_id, and the versions of the latest.

        Args:
            named: the journal the run was told to write, if it was.
            task: the run's task.
            model: its checkpoint.
            method: name and settings.
            defaults: settings of a record from before the method had them.
        """
        paths = self._paths
        if named is not None:
            stem = Path(named).stem
            paths = [path for path in paths if re.fullmatch(rf"{re.escape(stem)}(\.rank\d+)?", path.stem)]
        records: dict[int, dict[str, Any]] = {}
        versions: dict[str, str] = {}
        for path in paths:
            if path not in self._read:
                self._read[path] = _records(path)
            for record in self._read[path]:
                settings = {key: value for key, value in record.get("method", {}).items() if key != "polarity"}
                if record["task"] == task and record.get("model", {}).get("pretrained") == model:
                    if settings and {**defaults, **settings} == method:
                        records[record["doc_id"]] = record
                        versions = record["versions"]
                    elif record["status"] == "failed" and not settings:
                        records.setdefault(record["doc_id"], record)
        return records, versions


def _records(path: Path) -> list[dict[str, Any]]:
    """A journal's records, with all that a report takes from them.

    Raises:
        ValueError: a line is not a record, or lacks what every record has.
    """
    try:
        records = read_journal(path)
    except RecursionError as error:
        raise ValueError(f"{path} is no journal ({error}); move it away") from error
    for number, record in enumerate(records, start=1):
        whole = all(isinstance(record.get(key, {}), dict) for key in ("method", "model", "versions"))
        text = record.get("text") if record["status"] == "answered" else ""
        if not whole or "versions" not in record or not isinstance(text, str) or type(record["doc_id"]) is not int:
            raise ValueError(f"{path}, line {number} is not a journal record; move the file away")
    return records


def _is_journal(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_JOURNAL_START)) == _JOURNAL_START


def _files(folders: Sequence[Path], pattern: str) -> list[Path]:
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise NoResults(f"{folder} is no folder")
        files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
        found.update({path.resolve(): path for path in files})
    return list(found.values())


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no results file of lmms-eval: {error}; move it away") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no results file of lmms-eval; move it away")
    return content


def _default_checkpoint(entry: str) -> str:
    from sepm_eval.model_wrappers import default_checkpoint

    return default_checkpoint(entry.removeprefix(OUR_ENTRIES))


def _value(text: str) -> Any:
    """A value as lmms-eval reads it from --model_args."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.isnumeric():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, list) and output else output

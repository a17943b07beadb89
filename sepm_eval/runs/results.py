"""Finished runs, read back from what lmms-eval logged (any model's) and from the journals beside it.

Nothing of what lmms-eval counted is taken over: every output is scored again, so that runs of different models and
versions are compared by one rule. Who answered is read from the identity that stands in the log, never from the text of
an argument. Files are read line by line, and of a line only what a report needs is kept.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sepm_eval.parsing import Options, parse_question
from sepm_eval.runs.identity import Identity, decides, from_json
from sepm_eval.runs.journal_records import Place, journal_records
from sepm_eval.runs.outcomes import OUR_ENTRIES, DifferentItems, Outcome, Record, Run, arranged, paired
from sepm_eval.scoring import score

__all__ = ["DifferentItems", "NoResults", "Outcome", "Record", "Run", "paired", "read_runs"]

logger = logging.getLogger(__name__)

_RESULTS, _SAMPLES = "_results.json", "_samples_"
_HOST_ZONE = "Asia/Singapore"  # lmms-eval's clock unless --timezone says otherwise
_HOST_OFFSET = timezone(timedelta(hours=8))


class NoResults(ValueError):
    """There is nothing to report on; the message says where was looked and for what."""


@dataclass
class _Log:
    """One task of one results file, before its journal records are found.

    Attributes:
        path: the samples file.
        results: the results file.
        content: what it holds.
        task: the task.
        rows: one a sample: the outcome without its record, and the record's key.
        item_lists: the names of the lists in it.
        identity: as it stands in the log; None if it does not.
        digests: of the identities that its samples name.
        latest: when the last sample was scored.
    """

    path: Path
    results: Path
    content: Mapping[str, Any]
    task: str
    rows: list[tuple[Outcome, str]] = field(default_factory=list)
    item_lists: set[str] = field(default_factory=set)
    identity: Identity | None = None
    digests: set[str] = field(default_factory=set)
    latest: str = ""


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """All runs below some folders, named apart and sorted by task, model and method (see ``outcomes.arranged``).

    Raises:
        NoResults: there is none.
        ValueError: a file is damaged, or was written by a version whose answers were read otherwise.
    """
    logs = [log for path in _files(folders, f"*{_RESULTS}") for log in _logs(path)]
    if not logs:
        where = ", ".join(str(folder) for folder in folders)
        raise NoResults(
            f"no results of image-emotion tasks in {where}: give folders that `sepm-eval run` wrote, or that "
            "`lmms-eval --output_path FOLDER --log_samples` did"
        )
    identities = {log.identity.digest: log.identity for log in logs if log.identity is not None}
    wanted = {(key, log.task, outcome.doc_id): outcome.output for log in logs for outcome, key in log.rows if key}
    records = journal_records(_files(folders, "*.jsonl"), wanted) if wanted else {}
    runs = []
    for log in logs:
        with _as_written(log.results):
            runs.append(_run(log, identities, records))
    return arranged(runs)


def defaults_of(method: str) -> dict[str, Any]:
    """The options a method has unless told otherwise; none where this installation cannot make it."""
    from sepm_eval.methods import get_method

    try:
        return dataclasses.asdict(get_method(method))
    except ValueError:  # there is none of this name, its package is broken, or it has no defaults
        return {}


def parse_model_args(text: str | Mapping[str, Any]) -> dict[str, str]:
    """lmms-eval's --model_args as a table of texts, of a stock model: "pretrained=a/b,dtype=float16"."""
    if not isinstance(text, str):
        return {str(key): str(value) for key, value in text.items()}
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value for key, _, value in pairs}


def _logs(path: Path) -> list[_Log]:
    """What one results file and its samples hold.

    Raises:
        ValueError: it or a file beside it is not what lmms-eval writes; the message names the file.
    """
    with _as_written(path):
        return list(_read_results(path))


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Say which file is to blame where something else stands in it than lmms-eval writes."""
    try:
        yield
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{path} or its samples are not as lmms-eval writes them ({error!r}); move it away") from error


def _read_results(path: Path) -> Iterator[_Log]:
    content = _json(path)
    stamp = path.name.removesuffix(_RESULTS)
    for samples in sorted(path.parent.glob(f"{glob.escape(stamp)}{_SAMPLES}*.jsonl")):
        task = samples.name.removeprefix(f"{stamp}{_SAMPLES}").removesuffix(".jsonl")
        log = _Log(samples, path, content, task)
        for number, sample in _samples(samples):
            _add(log, sample, f"{samples}, line {number}")
        if not log.rows:
            continue
        _check_unique(samples, [outcome for outcome, _ in log.rows])
        if len(log.digests) > 1:
            raise ValueError(f"{samples} holds answers of {len(log.digests)} different runs; move it away")
        if len(log.item_lists) > 1:
            raise ValueError(f"{samples} holds items of the lists {sorted(log.item_lists)}; move it away")
        yield log


def _add(log: _Log, sample: Mapping[str, Any], where: str) -> None:
    """Take from a sample what is needed of it."""
    options = _options(str(sample["input"]))
    assert options is not None  # samples of other tasks were left out
    output, target = _writable(_first(sample["filtered_resps"])), str(sample["label"])
    question = log.rows[0][0].question if log.rows and log.rows[0][0].question == sample["input"] else sample["input"]
    outcome = Outcome(
        item=sys.intern(_writable(sample["item_id"])),
        doc_id=int(sample["doc_id"]),
        target=sys.intern(target),
        question=str(question),
        output=output,
        score=_scored(output, target, options),
        logged=bool(sample["acc"]) if "acc" in sample else None,
        picture=next((sys.intern(one) for one in sample.get("input_media") or [] if isinstance(one, str)), None),
        sha256=sys.intern(str(sample.get("picture") or "")),
        record=None,
    )
    log.rows.append((outcome, str(sample.get("record") or "")))
    log.item_lists.add(str(sample["item_list"]))
    log.latest = max(log.latest, str(sample.get("answered_at") or ""))
    if "run" in sample:
        log.digests.add(str(sample["run"]))
    if "identity" in sample:
        try:
            log.identity = from_json(sample["identity"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}; move the file away") from error


def _run(log: _Log, identities: Mapping[str, Identity], records: Mapping[Place, Record]) -> Run:
    content, task = log.content, log.task
    identity = _identity(log, identities)
    counts = content.get("n-samples", {}).get(task, {})
    rows = sorted(log.rows, key=lambda row: row[0].doc_id)
    outcomes = tuple(
        dataclasses.replace(outcome, record=records.get((key, task, outcome.doc_id))) if key else outcome
        for outcome, key in rows
    )
    return Run(
        identity=identity,
        task=task,
        item_list=next(iter(log.item_lists)),
        outcomes=outcomes,
        asked=_whole(log.results, counts.get("effective", len(outcomes))),
        available=_whole(log.results, counts.get("original", len(outcomes))),
        offset=_whole(log.results, content.get("config", {}).get("offset") or 0),
        date=_date(log),
        defaults=defaults_of(identity.method),
        host_version=str(content.get("lmms_eval_version") or ""),
        source=log.results,
    )


def _identity(log: _Log, identities: Mapping[str, Identity]) -> Identity:
    """Who answered.

    Raises:
        ValueError: a log of ours does not say, or some of its answers are not this run's.
    """
    config = log.content.get("config", {})
    entry = str(config.get("model"))
    generation = log.content.get("configs", {}).get(log.task, {}).get("generation_kwargs")
    if log.digests:
        digest = next(iter(log.digests))
        if digest not in identities:
            raise ValueError(f"{log.path} names the run {digest[:16]}, whose identity is in none of the logs")
        found = identities[digest]
        if found.entry != entry:
            raise ValueError(f"{log.results} is of {entry}, and its samples are of {found.entry}; move it away")
        if not found.entry.startswith(OUR_ENTRIES):
            return dataclasses.replace(found, model={**found.model, "generation_kwargs": generation})
        lacking = sum(not key for _, key in log.rows)
        if lacking:
            raise ValueError(
                f"{log.path}: {lacking} answers did not come from this run's model but from lmms-eval's --use_cache, "
                "which knows neither weights nor versions; run it again without"
            )
        return found
    if entry.startswith(OUR_ENTRIES):
        raise ValueError(
            f"{log.results} does not say who answered: it was written by sepm-eval 0.1, which read answers otherwise. "
            "Run it again, or move it away"
        )
    arguments = parse_model_args(config.get("model_args") or "")
    return Identity(
        entry=entry,
        checkpoint=arguments.get("pretrained") or str(log.content.get("model_name") or entry),
        model={
            **{key: value for key, value in arguments.items() if decides(key) and key != "pretrained"},
            "generation_kwargs": generation,
        },
    )


def _date(log: _Log) -> datetime:
    """When the last answer was scored, in UTC; of older logs what lmms-eval's local clock said."""
    try:
        if log.latest:
            return datetime.fromisoformat(log.latest).astimezone(timezone.utc)
        told = str(log.content.get("date", log.results.name.removesuffix(_RESULTS)))[:15]
        local = datetime.strptime(told, "%Y%m%d_%H%M%S")
    except ValueError as error:
        raise ValueError(f"{log.results} has no date that can be read ({error}); move it away") from error
    zone = str(log.content.get("config", {}).get("resolved_cli_args", {}).get("timezone") or _HOST_ZONE)
    try:
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    except (ZoneInfoNotFoundError, ValueError):  # no time zone data on this system
        return local.replace(tzinfo=_HOST_OFFSET).astimezone(timezone.utc)


def _writable(text: Any) -> str:
    """A text that can be written as UTF-8: JSON lets through halves of a surrogate pair."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _whole(path: Path, count: Any) -> int:
    if type(count) is not int or count < 0:
        raise ValueError(f"{path} says that {count!r} items were asked; move it away")
    return count


def _check_unique(log: Path, outcomes: Sequence[Outcome]) -> None:
    """An item that is logged twice would be counted twice."""
    for what, keys in (("item", [one.item for one in outcomes]), ("doc_id", [one.doc_id for one in outcomes])):
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ValueError(f"{log} has several samples of {len(twice)} {what}s, such as {twice[0]!r}; move it away")


def _samples(log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The samples of an image-emotion task, each with its line; none if it is another kind of task."""
    with log.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{log}, line {number}"
            try:
                sample = json.loads(line)
                known = {"item_id", "item_list", "label", "doc_id", "filtered_resps"} <= sample.keys()
                options = _options(str(sample.get("input"))) if known else None
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise ValueError(f"{where} is no sample of lmms-eval ({error}); move the file away") from error
            if options is None and number == 1:
                return
            flaw = _flaw(sample, options) if options is not None else "it asks for no emotion"
            if flaw:
                raise ValueError(f"{where} is no sample of lmms-eval ({flaw}); move the file away")
            yield number, sample


@lru_cache(maxsize=64)
def _options(question: str) -> Options | None:
    """``parse_question``, once for each wording."""
    return parse_question(question)


_scored = lru_cache(maxsize=4096)(score)  # most answers are one of a few letters


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


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, list) and output else output

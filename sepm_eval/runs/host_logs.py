"""Reading and checking lmms-eval's logs of a run: the results file and the samples files beside it.

The samples are read line by line, only the fields that a report needs are kept, and every output is scored again.
"""

from __future__ import annotations

import glob
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sepm_eval.parsing import Options, parse_question
from sepm_eval.runs.identity import Identity, from_json
from sepm_eval.runs.item_sets import marks_of
from sepm_eval.runs.lines import line_reader
from sepm_eval.runs.outcomes import Outcome
from sepm_eval.scoring import score

_read = line_reader(
    (
        *("doc_id", "filtered_resps", "input", "input_media", "item_id", "item_list", "label", "options", "acc"),
        *("picture", "record", "answered_at", "run", "identity", "own_question", "plain", "votes", "marks"),
    )
)

# File names: TIME_results.json, and beside it one TIME_samples_TASK.jsonl for each task.
RESULTS, SAMPLES = "_results.json", "_samples_"

_MOST_VOTES = 10**6  # for one label of one picture


@dataclass
class Log:
    """One task of one results file, before the journal records of its answers are looked up.

    Attributes:
        path: the samples file.
        results: the results file.
        content: the content of the results file.
        task: the task.
        rows: for each sample the outcome, still without its journal record, and the key of that record.
        item_lists: names of the item lists that occur in the samples.
        identity: the identity written in the log; None if the log has none.
        digests: digests of the identities that the samples name.
        latest: time at which the last sample was scored, in ISO format; "" if the log does not say.
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


def logs_of(path: Path) -> list[Log]:
    """Read one results file and its samples files, one ``Log`` for each image-emotion task.

    Raises:
        ValueError: one of these files is not as lmms-eval writes it; the message names the file.
    """
    with as_written(path):
        return list(_read_results(path))


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Turn errors from unexpected content of a log into a ValueError that names the results file."""
    try:
        yield
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{path} or its samples are not as lmms-eval writes them ({error!r}); move it away") from error


def _read_results(path: Path) -> Iterator[Log]:
    content = _json(path)
    stamp = path.name.removesuffix(RESULTS)
    for samples in sorted(path.parent.glob(f"{glob.escape(stamp)}{SAMPLES}*.jsonl")):
        task = samples.name.removeprefix(f"{stamp}{SAMPLES}").removesuffix(".jsonl")
        log = Log(samples, path, content, task)
        for number, sample, options in _samples(samples):
            _add(log, sample, options, f"{samples}, line {number}")
        if not log.rows:
            continue
        _check_unique(samples, [outcome for outcome, _ in log.rows])
        if len(log.digests) > 1:
            raise ValueError(f"{samples} holds answers of {len(log.digests)} different runs; move it away")
        if len(log.item_lists) > 1:
            raise ValueError(f"{samples} holds items of the lists {sorted(log.item_lists)}; move it away")
        own = all(outcome.own_question for outcome, _ in log.rows)
        if len(offered := {outcome.options for outcome, _ in log.rows}) > 1 and not own:
            raise ValueError(
                f"{samples} holds questions that offer {len(offered)} different sets of options; move it away"
            )
        yield log


def _add(log: Log, sample: Mapping[str, Any], options: Options, where: str) -> None:
    """Add a sample to a log as an outcome.

    Args:
        log: the log, which is changed.
        sample: the sample's fields.
        options: what its question offers.
        where: file and line, for messages.

    Raises:
        ValueError: the sample holds an invalid identity.
    """
    output, target = _writable(_first(sample["filtered_resps"])), str(sample["label"])
    question = log.rows[0][0].question if log.rows and log.rows[0][0].question == sample["input"] else sample["input"]
    outcome = Outcome(
        item=sys.intern(_writable(sample["item_id"])),
        doc_id=int(sample["doc_id"]),
        target=sys.intern(target),
        question=str(question),
        options=options,
        output=output,
        score=_scored(output, target, options),
        logged=bool(sample["acc"]) if "acc" in sample else None,
        picture=next((sys.intern(one) for one in sample.get("input_media") or [] if isinstance(one, str)), None),
        sha256=sys.intern(str(sample.get("picture") or "")),
        record=None,
        own_question=sample.get("own_question") is True,
        plain=sample.get("plain") is True,
        votes=sample.get("votes"),
        marks=marks_of(sample.get("marks") or {}),
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


def _writable(text: Any) -> str:
    """Make a text that can be encoded as UTF-8: JSON may contain half of a surrogate pair, which becomes an escape."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _check_unique(log: Path, outcomes: Sequence[Outcome]) -> None:
    """Check that no item is logged twice, because it would be counted twice.

    Raises:
        ValueError: an item or a document number occurs more than once.
    """
    for what, keys in (("item", [one.item for one in outcomes]), ("doc_id", [one.doc_id for one in outcomes])):
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ValueError(f"{log} has several samples of {len(twice)} {what}s, such as {twice[0]!r}; move it away")


def _samples(log: Path) -> Iterator[tuple[int, dict[str, Any], Options]]:
    """Yield the samples of an image-emotion task, each with its line number and options; none for any other task.

    Raises:
        ValueError: a line is not a sample as lmms-eval writes it.
    """
    with log.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{log}, line {number}"
            try:
                sample = _read(line)
                known = {"item_id", "item_list", "label", "doc_id", "filtered_resps"} <= sample.keys()
                options = _options(sample) if known else None
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise ValueError(f"{where} is no sample of lmms-eval ({error}); move the file away") from error
            if options is None and number == 1:
                return
            flaw = _flaw(sample, options) if options is not None else "it asks for no emotion"
            if options is None or flaw:
                raise ValueError(f"{where} is no sample of lmms-eval ({flaw}); move the file away")
            yield number, sample, options


def _options(sample: Mapping[str, Any]) -> Options | None:
    """The options of a sample's question, from the field ``options`` or, in logs of earlier versions, from its text.

    Raises:
        ValueError: the field ``options`` does not hold labels with their names.
    """
    told = sample.get("options")
    if told is None:
        return _in_text(str(sample.get("input")))
    if not isinstance(told, dict) or len(told) < 2 or not all(isinstance(name, str) for name in told.values()):
        raise ValueError(f"options is {told!r}, no labels with their names")
    return _of(tuple(told), tuple(told.values()))


_in_text = lru_cache(maxsize=64)(parse_question)  # each wording is parsed once
_of = lru_cache(maxsize=64)(Options)  # equal options share one object
_scored = lru_cache(maxsize=4096)(score)  # most answers are one of a few letters


def _flaw(sample: Mapping[str, Any], options: Options) -> str:
    """The reason why a sample cannot be scored; "" if it can."""
    if type(sample["doc_id"]) is not int:
        return f"doc_id is {sample['doc_id']!r}, no number"
    if sample["label"] not in options.labels:
        return f"label is {sample['label']!r}, none of {list(options.labels)}"
    if not isinstance(_first(sample["filtered_resps"]), str):
        return f"filtered_resps is {sample['filtered_resps']!r}, no text"
    if "acc" in sample and sample["acc"] not in (0, 1):
        return f"acc is {sample['acc']!r}, neither 0 nor 1"
    if not isinstance(sample.get("marks") or {}, dict):
        return f"marks is {sample['marks']!r}, no table"
    if "votes" in sample and not _are_votes(sample["votes"]):
        return f"votes is {sample['votes']!r}, no count or share of each label"
    return ""


def _are_votes(found: Any) -> bool:
    """Whether a value is a table of votes: by label a number that is not negative, and not all of them 0."""
    if not isinstance(found, dict) or not all(type(count) in (int, float) for count in found.values()):
        return False
    return all(0 <= count <= _MOST_VOTES for count in found.values()) and any(found.values())


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

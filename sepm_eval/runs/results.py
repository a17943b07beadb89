"""Reading finished runs from lmms-eval's logs, of any model, and from the journals beside them.

lmms-eval's own scores are not used: every output is scored again, so that runs of different models and versions are
compared by one rule. Who answered is read from the identity in the log. Only a log of a model that is not ours may lack
one; it is then identified by its arguments. Files are read line by line, and only fields that a report needs are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tqdm import tqdm

from sepm_eval.methods import get_method
from sepm_eval.runs.arranging import arranged
from sepm_eval.runs.host_logs import RESULTS, Log, as_written, logs_of
from sepm_eval.runs.identity import OUR_ENTRIES, Identity, decides
from sepm_eval.runs.journal_records import Wanted, fill_in, told_of
from sepm_eval.runs.outcomes import Outcome, Record, Run
from sepm_eval.runs.pairs import DifferentItems, paired

__all__ = ["DifferentItems", "NoResults", "Outcome", "Record", "Run", "paired", "read_runs"]

_HOST_ZONE = "Asia/Singapore"  # time zone of lmms-eval's dates unless --timezone names another
_HOST_OFFSET = timezone(timedelta(hours=8))


class NoResults(ValueError):
    """There are no runs to report on; the message says which folders were searched, and for what."""


def read_runs(folders: Sequence[Path | str], *, quiet: bool = True) -> list[Run]:
    """All runs below some folders, with unique names and sorted by task, model and method (see ``arranging.arranged``).

    Args:
        folders: the folders to search.
        quiet: show no progress.

    Raises:
        NoResults: the folders hold no runs, or one of them is not a folder.
        ValueError: a file is damaged, or was written by an old version that scored answers by other rules.
    """
    runs = _read([Path(folder) for folder in folders], None, quiet)
    if not runs:
        where = ", ".join(str(folder) for folder in folders)
        raise NoResults(
            f"no results of image-emotion tasks in {where}: give folders that `sepm-eval run` wrote, or that "
            "`lmms-eval --output_path FOLDER --log_samples` did"
        )
    return runs


def readable_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read runs like ``read_runs``, but skip files that cannot be read, because runs may still be being written.

    Returns:
        The runs, possibly none, and a sentence for each file that was skipped.

    Raises:
        NoResults: one of the paths is not a folder.
    """
    damaged: list[str] = []
    return _read(folders, damaged, quiet=True), damaged


def _read(folders: Sequence[Path], damaged: list[str] | None, quiet: bool) -> list[Run]:
    logs: list[Log] = []
    for path in tqdm(files_below(folders, f"*{RESULTS}"), "logs", unit="file", disable=quiet):
        with told_of(damaged):
            logs += logs_of(path)
    identities = {log.identity.digest: log.identity for log in logs if log.identity is not None}
    wanted: Wanted = {}
    for log in logs:
        for outcome, key in log.rows:
            if key:
                wanted.setdefault(log.task, {}).setdefault(key, []).append(outcome)
    journals = files_below(folders, "*.jsonl") if wanted else []
    fill_in(tqdm(journals, "journals", unit="file", disable=quiet), wanted, damaged)
    del wanted
    runs = []
    for log in logs:
        with told_of(damaged), as_written(log.results):
            runs.append(_run(log, identities))
        log.rows.clear()
    return arranged(runs)


def defaults_of(method: str) -> dict[str, Any]:
    """Default values of a method's options; empty if this installation cannot make the method with its defaults."""
    try:
        return dataclasses.asdict(get_method(method))
    except ValueError:  # there is none of this name, its package is broken, or it has no defaults
        return {}


def parse_model_args(text: str | Mapping[str, Any]) -> dict[str, str]:
    """Parse lmms-eval's --model_args of a model that is not ours, such as "pretrained=a/b,dtype=float16"."""
    if not isinstance(text, str):
        return {str(key): str(value) for key, value in text.items()}
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {key.strip(): value for key, _, value in pairs}


def _run(log: Log, identities: Mapping[str, Identity]) -> Run:
    content, task = log.content, log.task
    identity = _identity(log, identities)
    counts = content.get("n-samples", {}).get(task, {})
    outcomes = tuple(sorted((outcome for outcome, _ in log.rows), key=lambda outcome: outcome.doc_id))
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
        host_version=_host_version(content),
        source=log.results,
        drops=_drops(identity),
        named=called(identity),
    )


def _host_version(content: Mapping[str, Any]) -> str:
    """lmms-eval's version in a results file; "" if it holds branch and commit of the git folder it was started in."""
    told = str(content.get("lmms_eval_version") or "")
    return told if told[:1].isdigit() else ""


def _drops(identity: Identity) -> bool:
    """Whether a run's method is to drop visual tokens; False if this installation cannot make the method."""
    try:
        return bool(getattr(get_method(identity.method, **identity.options), "drops", False))
    except ValueError:  # there is none of this name, or its package is broken
        return False


def called(identity: Identity) -> str:
    """The title of a run's method; for a host's own model its entry."""
    from sepm_eval.methods import method_title

    return method_title(identity.method) if identity.method else identity.entry


def _identity(log: Log, identities: Mapping[str, Identity]) -> Identity:
    """The identity of the run in a log.

    Args:
        log: the log.
        identities: by digest, the identities found in all logs that are read together.

    Raises:
        ValueError: a log of our models does not name an identity, or some of its answers are not from this run.
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


def _date(log: Log) -> datetime:
    """When the last answer was scored, in UTC; for older logs the date that lmms-eval wrote in its local time.

    Raises:
        ValueError: the log has no date that can be read.
    """
    try:
        if log.latest:
            return datetime.fromisoformat(log.latest).astimezone(timezone.utc)
        told = str(log.content.get("date", log.results.name.removesuffix(RESULTS)))[:15]
        local = datetime.strptime(told, "%Y%m%d_%H%M%S")
    except ValueError as error:
        raise ValueError(f"{log.results} has no date that can be read ({error}); move it away") from error
    zone = str(log.content.get("config", {}).get("resolved_cli_args", {}).get("timezone") or _HOST_ZONE)
    try:
        return local.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    except (ZoneInfoNotFoundError, ValueError):  # no time zone data on this system
        return local.replace(tzinfo=_HOST_OFFSET).astimezone(timezone.utc)


def _whole(path: Path, count: Any) -> int:
    if type(count) is not int or count < 0:
        raise ValueError(f"{path} says that {count!r} items were asked; move it away")
    return count


def files_below(folders: Sequence[Path], pattern: str) -> list[Path]:
    """Files below some folders that match a pattern, each once, sorted within each folder.

    Raises:
        NoResults: one of the paths is not a folder.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise NoResults(f"{folder} is no folder")
        files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
        found.update({path.resolve(): path for path in files})
    return list(found.values())

"""Runs that are still being answered, read from their journals, because lmms-eval writes its logs only at the end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from sepm_eval.parsing import Options, parse_question
from sepm_eval.runs.environment import DECISIVE
from sepm_eval.runs.identity import OUR_ENTRIES, Identity
from sepm_eval.runs.journal_records import record_of
from sepm_eval.runs.outcomes import Outcome, Run
from sepm_eval.runs.results import called, defaults_of
from sepm_eval.scoring import Score, score
from sepm_eval.view.journals import Journals, RunTask

RUNNING = "running"
_NOBODY = Identity("", "", method=RUNNING)


@dataclass
class LiveRuns:
    """The unfinished runs in some journals: those with documents that no finished run has.

    Attributes:
        journals: the journals.
    """

    journals: Journals
    _outcomes: dict[RunTask, dict[int, Outcome]] = field(default_factory=dict, repr=False)
    _identities: dict[RunTask, Identity] = field(default_factory=dict, repr=False)

    def runs(self, finished: Sequence[Run]) -> list[Run]:
        """The unfinished runs, with the answers so far.

        Args:
            finished: the finished runs; a run is left out if they have all its documents.
        """
        done: dict[RunTask, set[int]] = {}
        for run in finished:
            known = done.setdefault((run.identity.digest, run.task), set())
            known.update(outcome.doc_id for outcome in run.outcomes)
        found = []
        for run_task, doc_ids in sorted(self.journals.documents().items()):
            if doc_ids <= done.get(run_task, set()):
                self._outcomes.pop(run_task, None)
                continue
            self._take_in(run_task, doc_ids)
            if self._outcomes[run_task]:
                found.append(self._run(run_task))
        return _named(found, finished)

    def _take_in(self, run_task: RunTask, doc_ids: set[int]) -> None:
        """Read the documents that are new, and those that failed before and may have been asked again."""
        known = self._outcomes.setdefault(run_task, {})
        for doc_id in sorted(doc_ids):
            if doc_id in known and known[doc_id].score.status != "failed":
                continue
            for content in _newest_answered_first(self.journals.records(*run_task, doc_id)):
                outcome = _outcome(content)
                if outcome is not None:
                    known[doc_id] = outcome
                    if self._identities.get(run_task, _NOBODY).method == RUNNING:
                        self._identities[run_task] = _identity(content)
                    break

    def _run(self, run_task: RunTask) -> Run:
        outcomes = self._outcomes[run_task]
        identity = self._identities[run_task]
        return Run(
            identity=identity,
            task=run_task[1],
            item_list="",
            outcomes=tuple(outcomes[doc_id] for doc_id in sorted(outcomes)),
            asked=len(outcomes),
            available=len(outcomes),
            date=datetime.now(timezone.utc),
            defaults=defaults_of(identity.method),
            column=f"{run_task[1]} ({RUNNING})",
            named=called(identity),
        )


def _newest_answered_first(records: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda content: content.get("status") != "answered")


_FAULTS = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def _outcome(content: Mapping[str, Any]) -> Outcome | None:
    """Make an outcome of a journal record; None if the record lacks what is needed, or its task is not ours.

    If a record says what was answered and is damaged elsewhere, the answer is used without the rest.
    """
    answered = content.get("status") == "answered"
    needed: dict[str, type] = {
        "item": str,
        "doc_id": int,
        "model": dict,
        "versions": dict,
        "text" if answered else "error": str,
    }
    if not all(type(content.get(name)) is kind for name, kind in needed.items()):
        return None
    question, target, offered = (content.get(name) for name in ("question", "target", "option_probabilities"))
    labels = tuple(offered) if isinstance(offered, dict) else ()
    options = parse_question(question if isinstance(question, str) else "") or Options(labels, labels)
    target = target if isinstance(target, str) else ""
    try:
        record = record_of(content)[2]
    except _FAULTS:
        record = None
    output = content["text" if answered else "error"]
    return Outcome(
        item=sys.intern(content["item"]),
        doc_id=content["doc_id"],
        target=sys.intern(target),
        question=question if isinstance(question, str) else "",
        options=options,
        output=output,
        score=score(output, target, options) if answered else Score("failed", None, False),
        logged=None,
        picture=content["picture"] if isinstance(content.get("picture"), str) else None,
        sha256="",
        record=record,
    )


def _identity(content: Mapping[str, Any]) -> Identity:
    """Who answered: equal to the identity that the log will hold, if this version of the package writes the log."""
    model = dict(content["model"])
    method: dict[str, Any] = {"name": RUNNING}  # a record of a picture that could not be loaded has none
    if isinstance(content.get("method"), dict):
        method = dict(content["method"])
    return Identity(
        entry=OUR_ENTRIES + str(model.pop("backbone", "")),
        checkpoint=str(model.pop("pretrained", "")),
        revision=str(model.pop("revision", "")),
        model=model,
        method=str(method.pop("name", "")),
        polarity=method.pop("polarity", None) or {},
        options=method,
        versions={name: number for name, number in content["versions"].items() if name in DECISIVE},
    )


def _named(live: Sequence[Run], finished: Sequence[Run]) -> list[Run]:
    """Give each live run the name that its model has among the finished runs, or else a name that no other has."""
    names = {run.identity.of_model.digest: run.model for run in finished}
    fresh = {run.identity.of_model.digest: run.identity.checkpoint for run in live}
    count = Counter([*names.values(), *(name for digest, name in fresh.items() if digest not in names)])
    for digest, checkpoint in fresh.items():
        names.setdefault(digest, checkpoint if count[checkpoint] == 1 else f"{checkpoint} [{digest[:8]}]")
    return [replace(run, model=names[run.identity.of_model.digest]) for run in live]

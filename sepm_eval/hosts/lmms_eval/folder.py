"""The folder of a plan: where the files of each part lie, what the plan was begun with, and which parts are done."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from filelock import Timeout

from sepm_eval.backbone.architecture import NOT_SWITCHABLE
from sepm_eval.datasets import list_settings
from sepm_eval.files import locked, write_whole
from sepm_eval.hosts.lmms_eval.processes import world_size
from sepm_eval.hosts.loading import read_settings
from sepm_eval.model_wrappers import option_defaults
from sepm_eval.plurals import counted
from sepm_eval.runs import environment
from sepm_eval.runs.exams import Exam
from sepm_eval.runs.host_logs import RESULTS, SAMPLES
from sepm_eval.runs.identity import Identity, decides, is_secret
from sepm_eval.runs.plan import ModelPlan, Plan, logged_options, method_key, split_method
from sepm_eval.runs.plan_changes import differing
from sepm_eval.runs.results import NoResults, Run, read_runs

PLAN, ENVIRONMENT = "plan.yaml", "environment.json"
SET_ASIDE = ".superseded"  # suffix of the names of results that no longer count


@dataclass(frozen=True)
class Part:
    """One model's answers to one task with one method: what lmms-eval would call a run.

    Attributes:
        model: the model's entry in the plan.
        method: the method as written in the plan; "" for a model that is not ours.
        task: the task.
        folder: the folder to which the results are written.
        journal: the method's journal; None for a model that is not ours.
    """

    model: ModelPlan
    method: str
    task: str
    folder: Path
    journal: Path | None

    def __str__(self) -> str:
        told = " ".join(
            f"{key}={value}" for key, value in self.model.args.items() if decides(key) and key != "pretrained"
        )
        checkpoint = str(self.model.args.get("pretrained", ""))
        return f"{' '.join(filter(None, (self.model.model, checkpoint, told, self.method)))}, {self.task}"

    @property
    def arguments(self) -> str:
        """The equivalent text for --model_args, for display only: nothing reads it back."""
        name, options = split_method(self.method) if self.method else ("", {})
        mine = {"method": name, **options, "journal": self.journal} if name else {}
        given = {key: value for key, value in self.model.args.items() if not is_secret(key)}
        return ",".join(f"{key}={value}" for key, value in {**given, **mine}.items())

    def find(self) -> Run | None:
        """The run in the part's folder; None if there is none.

        Raises:
            ValueError: the folder's files are damaged, or hold the answers of more than one run.
        """
        try:
            runs = read_runs([self.folder])
        except NoResults:
            return None
        if len(runs) > 1:
            raise ValueError(f"{self.folder} holds {len(runs)} different runs")
        return runs[0]

    def flaw(
        self,
        run: Run,
        exam: Exam | None,
        limit: int | None,
        revision: str,
        model: Identity | None,
        weights: Mapping[str, str] | None = None,
    ) -> str:
        """Why a run found in the part's folder is not what the plan asks for now; "" if it is.

        Args:
            run: the run.
            exam: what the task asks; None if the task is not one of ours.
            limit: the plan's limit.
            revision: present revision of the checkpoint; "" if it is not known.
            model: identity of the loaded model; None before a model is loaded.
            weights: what identifies the method's own weights at present; None if it is not known.
        """
        if not run.answered_all:
            return f"{counted(run.count('failed'), 'question')} failed, {run.missing} without an answer"
        wanted = exam.asked if exam else run.available if limit is None else min(limit, run.available)
        if run.asked != wanted:
            return f"{counted(run.asked, 'question')} asked, not {wanted}"
        if exam is not None and run.exam != exam.digest:
            return "it was asked other items, labels, pictures or questions than there are now"
        if exam is not None and run.votes != exam.votes:
            return "its log has other votes of people than there are now"
        who = run.identity
        if revision and who.revision and who.revision != revision:
            return f"it was answered by {who.checkpoint} at {who.revision}, which is now at {revision}"
        if weights is not None and dict(who.weights) != weights:
            return f"it was answered with {dict(who.weights)}, which is now {dict(weights)}"
        if self.method:
            name, _ = split_method(self.method)
            settings = read_settings(self.model.model, self.model.backbone, self.model.args)
            given = {**option_defaults(self.model.backbone), **settings.options, "dtype": settings.dtype}
            odd = [name for name, used in who.model.items() if not _is_met(given.get(name, "auto"), str(used))]
            if odd or dict(who.polarity) != settings.polarity:
                return "it was answered by a model with other settings"
            if (who.method, dict(who.options)) != (name, logged_options(self.method)) or who.entry != self.model.model:
                return f"it was answered by {who.method} with {dict(who.options)}"
            if who.versions != environment.decisive_versions():
                return f"it was answered with {dict(who.versions)}"
        if model is not None and who.of_model.digest != model.of_model.digest:
            return "it was answered by a model with other settings"
        return ""

    def set_aside(self, why: str) -> None:
        """Rename the part's results so that nothing reads them any more, and print the reason."""
        for path in sorted([*self.folder.rglob(f"*{RESULTS}"), *self.folder.rglob(f"*{SAMPLES}*.jsonl")]):
            path.replace(path.with_name(path.name + SET_ASIDE))
        print(f"{self}: results from before are set aside ({why})", file=sys.stderr)


def _is_met(given: Any, used: str) -> bool:
    """Whether the value that a run used, according to its identity, is what a setting asks for.

    Args:
        given: the setting; "auto" and None accept every value.
        used: the value in the run's identity.
    """
    if str(given) in ("auto", "None", used):
        return True
    return isinstance(given, bool) and used in (str(given).lower(), *(() if given else (NOT_SWITCHABLE,)))


def parts(plan: Plan, model: ModelPlan, tasks: Sequence[str], out: Path) -> dict[str, list[Part]]:
    """By task, the parts of a model's work in the order of its methods."""
    name = model.key
    return {
        task: [
            Part(
                model,
                method,
                task,
                out / "results" / name / (method_key(method) if method else "as-it-is") / task,
                out / "journals" / f"{name}_{method_key(method)}.jsonl" if method else None,
            )
            for method in plan.methods_of(model) or ("",)
        ]
        for task in tasks
    }


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Make the folder of a plan, and keep other runs from writing into it.

    Raises:
        ValueError: another run is writing into the folder.
        OSError: the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out / "run"))
        except Timeout:
            raise ValueError(
                f"another run is writing into {out}: wait until it ends, or name another folder with --out"
            ) from None
        yield


def begin(plan: Plan, out: Path, revisions: Mapping[str, str], exams: Mapping[str, Exam]) -> None:
    """Write plan and environment to a plan's folder; if it has answers, check first that both are unchanged.

    Args:
        plan: the plan.
        out: the folder; it exists.
        revisions: by the model's key, the revision of its checkpoint, as far as it is known.
        exams: by task, what the task asks, as far as its data are there.

    Raises:
        ValueError: the folder was begun with another plan, versions, commit, item lists or weights, or is damaged.
    """
    told = yaml.safe_dump(_without_secrets(plan), sort_keys=False)
    now: dict[str, Any] = {"versions": environment.versions(), "commit": environment.commit()}
    now["item_lists"] = list_settings()
    started = {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "devices": environment.devices(),
        "processes": world_size(),
        "command": ["sepm-eval", *sys.argv[1:]],
        "items": {task: {"asked": exam.asked, "digest": exam.digest} for task, exam in exams.items()},
    }
    before: dict[str, Any] = {"starts": [], "checkpoints": {}}
    if (out / PLAN).exists():
        former, found = _begun(out)
        odd = {"plan": differing(former, plan), "environment": _changes(found, now, revisions)}
        if _has_answers(out):
            _check_same(out, odd)
        if not any(odd.values()):
            before = found
    now["checkpoints"] = {**before.get("checkpoints", {}), **{key: one for key, one in revisions.items() if one}}
    write_whole(out / ENVIRONMENT, json.dumps({**now, "starts": [*before["starts"], started]}, indent=1) + "\n")
    write_whole(out / PLAN, told)  # written last, so that a folder with a plan has both files


def _has_answers(out: Path) -> bool:
    """Whether anything was answered in a folder: a journal has a line, or lmms-eval wrote results."""
    journals = any(path.stat().st_size for path in (out / "journals").glob("*.jsonl"))
    return journals or any(True for _ in (out / "results").rglob(f"*{RESULTS}"))


def _check_same(out: Path, odd: Mapping[str, Sequence[str]]) -> None:
    """Refuse a folder if anything differs from what it was begun with.

    Args:
        out: the folder.
        odd: by what was looked at, such as "plan", what differs.

    Raises:
        ValueError: something differs.
    """
    for what, found in odd.items():
        if found:
            raise ValueError(
                f"{out} was begun with another {what} ({'; '.join(found)}): name another folder with --out, or delete "
                "this one if you do not need its answers"
            )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], revisions: Mapping[str, str]) -> list[str]:
    """What changed of the environment and the checkpoints since a folder was begun."""
    odd = []
    for key, value in now.items():
        then = before.get(key)
        if isinstance(then, dict) and isinstance(value, dict):
            names = [name for name in {**then, **value} if then.get(name) != value.get(name)]
            odd += [f"{key}: {name} {then.get(name, 'none')}, now {value.get(name, 'none')}" for name in names]
        elif then != value:
            odd.append(f"{key}: {then}, now {value}")
    known = before.get("checkpoints", {})
    odd += [
        f"{key}: weights {known[key]}, now {revision}"
        for key, revision in revisions.items()
        if revision and known.get(key, revision) != revision
    ]
    return odd


def _begun(out: Path) -> tuple[Plan, dict[str, Any]]:
    """The plan that a folder was begun with, and its environment.

    Raises:
        ValueError: one of the two files is damaged.
    """
    try:
        plan = Plan.model_validate(yaml.safe_load((out / PLAN).read_text(encoding="utf-8")))
        before = json.loads((out / ENVIRONMENT).read_text(encoding="utf-8"))
        list(before["starts"])
        dict(before.get("checkpoints", {}))
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise ValueError(
            f"{out} was begun, but its {PLAN} or {ENVIRONMENT} is damaged ({error!r}): name another folder with --out"
        ) from error
    return plan, before


def _without_secrets(plan: Plan) -> dict[str, Any]:
    """A plan as values for YAML, without secret arguments such as access tokens."""
    content = plan.model_dump(mode="json", exclude_defaults=True)
    for model in content["models"]:
        args = {key: value for key, value in model.pop("args", {}).items() if not is_secret(key)}
        model.update({"args": args} if args else {})
    return content

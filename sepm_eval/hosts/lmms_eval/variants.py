"""The models of a plan, loaded: several methods on one backbone as one lmms-eval model, or one that is not ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lmms_eval import models
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms

from sepm_eval.backbone.shared import Shared
from sepm_eval.hosts.lmms_eval.folder import Part
from sepm_eval.hosts.lmms_eval.model import ChatModel
from sepm_eval.hosts.lmms_eval.processes import own_device, shard
from sepm_eval.hosts.loading import read_settings
from sepm_eval.runs.identity import Identity, answering, decides
from sepm_eval.runs.plan import ModelPlan, parse_method, split_method
from sepm_eval.runs.progress import PlanBar
from sepm_eval.runs.runner import Runner
from sepm_eval.runs.variants import answer_variants


class Variants(ChatModel):
    """Several methods on one backbone as one lmms-eval model: the first call answers for all, picture by picture.

    Attributes:
        runners: one a method, on one ``Shared`` backbone.
        bar: the plan's progress; None for a bar a task.
        active: which of them are to answer; set before the first call for a task.
        current: the one whose answers lmms-eval is given.
    """

    def __init__(self, runners: Sequence[Runner], bar: PlanBar | None = None) -> None:
        super().__init__()
        self.runners = list(runners)
        self.bar = bar
        self.active = list(range(len(runners)))
        self.current = 0
        self._outputs: dict[tuple[str, int], dict[int, str]] = {}

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer all requests, in their order."""
        questions = self._questions(requests)
        new = {(one.task, one.doc_id): one for one in questions if (one.task, one.doc_id) not in self._outputs}
        if new:
            chosen, asked, quiet = [self.runners[i] for i in self.active], list(new.values()), self._rank > 0
            if len(chosen) == 1:
                found = [chosen[0].answer(asked, quiet=quiet, plan_bar=self.bar)]
            else:
                found = answer_variants(chosen, asked, quiet=quiet, plan_bar=self.bar)
            for place_of, *texts in zip(new, *found, strict=True):
                self._outputs[place_of] = dict(zip(self.active, texts, strict=True))
        runner = self.runners[self.current]
        answering.start(runner.identity, runner.keys, runner.facts)
        return [self._outputs[one.task, one.doc_id][self.current] for one in questions]

    def start(self, active: Sequence[int]) -> None:
        """Begin with a task, for some of the methods."""
        self.active, self._outputs = list(active), {}

    def close(self) -> None:
        """Let go of the journals."""
        for runner in self.runners:
            runner.journal.close()


def load(model: ModelPlan, work: Sequence[Part], bar: PlanBar | None = None) -> lmms:
    """Load a model of a plan.

    Args:
        model: the model.
        work: its parts for one task, in the order of its methods.
        bar: where it shows its progress.

    Raises:
        ValueError: it is told something it does not know.
    """
    if not model.ours:
        return models.get_model(model.model)(**model.args, batch_size=model.batch_size)
    settings = read_settings(model.model, model.backbone, model.args)
    methods = [parse_method(part.method) for part in work]
    backbone = dataclasses.replace(settings, device=own_device(settings.device)).load(*methods)
    shared = backbone if len(work) == 1 else Shared(backbone)
    return Variants(
        [
            settings.runner(
                shared,
                (split_method(part.method)[0], method),
                batch_size=model.batch_size,
                journal=part.journal,
                shard=shard(),
            )
            for part, method in zip(work, methods, strict=True)
        ],
        bar,
    )


def stock_identity(model: ModelPlan, revision: str) -> Identity:
    """Who answers, of a model that is not ours: its name and all its arguments that may decide an answer."""
    given = {key: value for key, value in model.args.items() if decides(key) and key != "pretrained"}
    return Identity(model.model, str(model.args.get("pretrained", model.model)), revision, given)

"""Loading the models of a plan: several methods on one backbone as one lmms-eval model, or a model that is not ours."""

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
        runners: one runner for each method; several of them are on one ``Shared`` backbone.
        bar: the plan's progress bar; with None each task has its own bar.
        active: indices of the runners that are to answer; set before the first call for a task.
        current: index of the runner whose answers are returned to lmms-eval.
    """

    def __init__(self, runners: Sequence[Runner], bar: PlanBar | None = None) -> None:
        super().__init__()
        self.runners = list(runners)
        self.bar = bar
        self.active = list(range(len(runners)))
        self.current = 0
        self._outputs: dict[tuple[str, int], dict[int, str]] = {}

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """The answers of the current runner to all requests, in their order.

        The first call for a task asks all active runners; later calls return the answers that were kept from it.
        """
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
        """Begin a new task for the runners with these indices; earlier answers are forgotten."""
        self.active, self._outputs = list(active), {}

    def close(self) -> None:
        """Close the journals."""
        for runner in self.runners:
            runner.journal.close()


def load(model: ModelPlan, work: Sequence[Part], bar: PlanBar | None = None) -> lmms:
    """Load a model of a plan.

    Args:
        model: the model.
        work: the model's parts for one task, in the order of its methods.
        bar: the plan's progress bar.

    Raises:
        ValueError: a setting is unknown or invalid, or a method cannot work with the model.
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
    """The identity of a model that is not ours: its name and all arguments that may decide an answer."""
    given = {key: value for key, value in model.args.items() if decides(key) and key != "pretrained"}
    return Identity(model.model, str(model.args.get("pretrained", model.model)), revision, given)

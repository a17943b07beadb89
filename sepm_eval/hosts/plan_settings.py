"""Checks the models of a plan and their arguments when it is read, before anything is looked up or loaded."""

from __future__ import annotations

from sepm_eval.hosts.loading import read_settings
from sepm_eval.model_wrappers import backbone_names, find_backbone
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.plan import Plan


def check_models(plan: Plan) -> None:
    """Check that our models of a plan exist, and that their arguments do, with values that can be.

    Models of lmms-eval are not checked, nor is a backbone of another package that cannot be used: that ends only its
    own parts of the plan.

    Raises:
        ValueError: there are mistakes; the message has a line for each.
    """
    ours = backbone_names()
    faults = []
    for model in plan.models:
        if not model.ours:
            continue
        if model.backbone not in ours:
            names = ", ".join(f"{OUR_ENTRIES}{name}" for name in ours)
            faults.append(f"model: {model.model}: there is no such model; our models are {names}")
            continue
        try:
            find_backbone(model.backbone)
        except ValueError:
            continue
        try:
            read_settings(model.model, model.backbone, model.args)
        except ValueError as error:
            faults.append(f"args of {model.model}: {error}")
    if faults:
        raise ValueError("\n".join(faults))

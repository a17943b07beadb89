"""From what a user may set to a model that answers questions; the same for every host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sepm_eval.emotions import POLARITY, Polarity
from sepm_eval.methods import get_method, method_options
from sepm_eval.model_wrappers import backbone_options, load_backbone
from sepm_eval.runner import Runner


def load_runner(
    entry: str,
    own_arguments: Sequence[str],
    backbone: str,
    pretrained: str | None,
    method: str,
    *,
    device: str,
    dtype: str,
    batch_size: int,
    journal: str | None,
    resume: bool,
    polarity: str,
    shard: str,
    options: dict[str, Any],
) -> Runner:
    """Check all settings, load the checkpoint and open the journal.

    Args:
        entry: the host's name of the model, for messages.
        own_arguments: what the host's model takes besides options of the method and of the backbone.
        backbone: the architecture.
        pretrained: see ``load_backbone``.
        method: a method's name.
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
        batch_size: how many questions are read at once.
        journal: the journal's file; by default one for this model and method in the user's state folder.
        resume: answer from the journal what it has.
        polarity: labels whose polarity is to be another, such as "surprise:negative+confusion:positive".
        shard: see ``Runner``.
        options: those of the method and of the backbone, by name.

    Raises:
        ValueError: an unknown or impossible setting; the message names the allowed ones.
    """
    if not isinstance(resume, bool):
        raise ValueError(f"resume={resume!r}: use True or False")
    of_method, of_backbone = method_options(method), backbone_options(backbone)
    unknown = sorted(set(options) - {*of_method, *of_backbone})
    if unknown:
        raise ValueError(
            f"unknown model args {unknown}: {entry} takes {', '.join(own_arguments)}; "
            f"method {method!r} takes {', '.join(of_method)}; the backbone takes {', '.join(of_backbone)}"
        )
    chosen = get_method(method, **{key: value for key, value in options.items() if key in of_method})
    others = parse_polarity(polarity)
    loaded = load_backbone(
        backbone,
        None if pretrained is None else str(pretrained),
        device=device,
        dtype=str(dtype),
        **{key: value for key, value in options.items() if key in of_backbone},
    )
    return Runner(
        backbone_name=backbone,
        backbone=loaded,
        method_name=method,
        method=chosen,
        batch_size=batch_size,
        journal_path=Path(str(journal)).expanduser() if journal else None,
        resume=resume,
        polarity=others,
        shard=shard,
    )


def loaded_message(entry: str, runner: Runner) -> str:
    """What was loaded, for the host's log."""
    backbone = runner.backbone
    return (
        f"{entry}: {runner.method} on {backbone.name} ({backbone.revision}, {backbone.settings}); "
        f"journal {runner.journal.path}, {len(runner.journal)} answers from before"
    )


def parse_polarity(setting: str) -> dict[str, Polarity]:
    """Polarities set by hand, "surprise:negative+confusion:positive".

    Raises:
        ValueError: it is not of that form.
    """
    found: dict[str, Polarity] = {}
    for part in filter(None, setting.split("+")):
        label, _, side = part.partition(":")
        if label not in POLARITY or side not in ("positive", "negative"):
            raise ValueError(
                f"polarity={setting!r}: write label:positive or label:negative, joined by +, "
                f"with labels out of {sorted(POLARITY)}"
            )
        found[label] = "positive" if side == "positive" else "negative"
    return found

"""From what a user may set to a model that answers questions; the same for every host."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sepm_eval.backbone.checkpoints import find_checkpoint
from sepm_eval.emotions import POLARITY, Polarity
from sepm_eval.methods import get_method, method_options
from sepm_eval.methods.needs import check_needs
from sepm_eval.model_wrappers import backbone_options, default_checkpoint, load_backbone, supported
from sepm_eval.runs.environment import decisive_versions
from sepm_eval.runs.identity import Identity
from sepm_eval.runs.runner import Runner

MOST = 2**31 - 1  # a count: what torch numbers tokens and rows by on every device


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
    check_count("batch_size", batch_size)
    path = _journal_path(journal)
    of_method, of_backbone = _split(entry, own_arguments, backbone, method, options)
    chosen, others = get_method(method, **of_method), parse_polarity(polarity)
    check_needs(chosen, supported(backbone, None if pretrained is None else str(pretrained), of_backbone), backbone)
    loaded = load_backbone(
        backbone, None if pretrained is None else str(pretrained), device=str(device), dtype=str(dtype), **of_backbone
    )
    return Runner(
        backbone_name=backbone,
        backbone=loaded,
        method_name=method,
        method=chosen,
        batch_size=batch_size,
        journal_path=path,
        resume=resume,
        polarity=others,
        shard=shard,
    )


def expected_identity(
    entry: str,
    own_arguments: Sequence[str],
    backbone: str,
    pretrained: str | None,
    method: str,
    *,
    polarity: str,
    options: Mapping[str, Any],
    find: bool = True,
) -> tuple[Identity, dict[str, Any]]:
    """What is known of a model's identity before it is loaded: all but ``Identity.model``.

    Args:
        entry: see ``load_runner``, as the others.
        own_arguments: see there.
        backbone: see there.
        pretrained: see there.
        method: see there.
        polarity: see there.
        options: see there.
        find: look for the checkpoint (and have it downloaded, as loading would), to know its revision.

    Returns it and those options that are the backbone's.

    Raises:
        ValueError: an unknown or impossible setting.
        FileNotFoundError: there is no such checkpoint.
    """
    of_method, of_backbone = _split(entry, own_arguments, backbone, method, options)
    named = default_checkpoint(backbone) if pretrained is None else str(pretrained)
    others = parse_polarity(polarity)
    identity = Identity(
        entry=f"sepm_{backbone}",
        checkpoint=named,
        revision=find_checkpoint(named).revision if find else "",
        method=method,
        options=dataclasses.asdict(get_method(method, **of_method)),
        polarity={label: side for label, side in others.items() if side != POLARITY[label]},
        versions=decisive_versions(),
    )
    return identity, of_backbone


def check_count(name: str, value: object) -> None:
    """Check a setting that counts something.

    Raises:
        ValueError: it is no whole number, or is out of range.
    """
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"{name}={str(value)[:100]}: give a whole number from 1 to {MOST}")


def _split(
    entry: str, own_arguments: Sequence[str], backbone: str, method: str, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the method and those of the backbone.

    Raises:
        ValueError: there is no such method or backbone, or an option is neither's.
    """
    for name, value in (("backbone", backbone), ("method", method)):
        if not isinstance(value, str):
            raise ValueError(f"{name}={str(value)[:200]}: give a name")
    of_method, of_backbone = method_options(method), backbone_options(backbone)
    unknown = sorted(set(options) - {*of_method, *of_backbone})
    if unknown:
        raise ValueError(
            f"unknown model args {unknown}: {entry} takes {', '.join(own_arguments)}; "
            f"method {method!r} takes {', '.join(of_method)}; the backbone takes {', '.join(of_backbone)}"
        )
    return (
        {key: value for key, value in options.items() if key in of_method},
        {key: value for key, value in options.items() if key in of_backbone},
    )


def _journal_path(journal: object) -> Path | None:
    """The journal's file; None for the usual one.

    Raises:
        ValueError: it is no name of a file.
    """
    if journal is None or journal == "":
        return None
    if not isinstance(journal, (str, Path)) or "\0" in str(journal) or not str(journal).strip():
        raise ValueError(f"journal={str(journal)[:200]!r}: give a file's name, or leave it out for the usual one")
    path = Path(journal).expanduser()
    if path.is_dir():
        raise ValueError(f"journal={str(journal)!r} is a folder: give a file's name")
    return path


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
    if not isinstance(setting, str):
        raise ValueError(f"polarity={str(setting)[:200]}: {_POLARITY_FORM}")
    found: dict[str, Polarity] = {}
    for part in filter(None, setting.split("+")):
        label, _, side = part.partition(":")
        if label not in POLARITY or side not in ("positive", "negative"):
            raise ValueError(f"polarity={setting[:200]!r}: {_POLARITY_FORM}")
        if label in found:
            raise ValueError(f"polarity={setting[:200]!r} names {label} twice")
        found[label] = "positive" if side == "positive" else "negative"
    return found


_POLARITY_FORM = f"write label:positive or label:negative, joined by +, with labels out of {sorted(POLARITY)}"

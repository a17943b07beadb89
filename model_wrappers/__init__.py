"""One file per architecture, named as users type it: its BACKBONES table holds an ``Architecture`` or a plain ``load``.

Another package adds a backbone by an entry point of the group ``sepm_eval.backbones``: the entry point's name is the
backbone's name, its value the ``Architecture`` or the ``load``. A file or package is imported when its backbone is
asked for, so a broken one does not affect the others.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

from sepm_eval.backbone.abilities import ABILITIES
from sepm_eval.backbone.architecture import Architecture, KnownCheckpoint
from sepm_eval.backbone.interface import Backbone
from sepm_eval.plugins import entries, find_entry_point, origin_of

__all__ = [
    "backbone_names",
    "backbone_options",
    "default_checkpoint",
    "find_backbone",
    "find_backbones",
    "known_checkpoint",
    "load_backbone",
    "option_defaults",
    "plugin_backbones",
    "supported",
]

GROUP = "sepm_eval.backbones"


def backbone_names() -> list[str]:
    """The names of all backbones, those of other packages last; no backbone is imported."""
    return list(dict.fromkeys([*_ours(), *(point.name for point in entries(GROUP))]))


def find_backbone(name: str) -> Architecture:
    """The ``Architecture`` of a backbone, from this folder or from another package.

    Raises:
        ValueError: there is no backbone of this name, or more than one, or the package that has it is broken.
    """
    module = f"{__name__}.{name}"
    point = find_entry_point("backbone", name, GROUP, module if name in _ours() else None, backbone_names)
    if point is None:
        return _as_architecture(importlib.import_module(module).BACKBONES[name])
    try:
        return _as_architecture(point.load())
    except Exception as error:  # whatever another package raises when it is imported
        raise ValueError(
            f"backbone {name!r} cannot be used from {origin_of(point)}: {type(error).__name__}: {error}"
        ) from error


def find_backbones() -> Iterator[tuple[str, Architecture | ValueError]]:
    """Every backbone's name, with its ``Architecture`` or the reason why it cannot be used."""
    for name in backbone_names():
        try:
            yield name, find_backbone(name)
        except ValueError as error:
            yield name, error


def plugin_backbones() -> dict[str, str]:
    """The names of the backbones of other packages, and the package of each."""
    return {point.name: origin_of(point) for point in entries(GROUP)}


def known_checkpoint(named: str) -> KnownCheckpoint | None:
    """What is known of a checkpoint, by hub id or folder, whichever backbone loads it; None if nothing is."""
    usable = [one for _, one in find_backbones() if isinstance(one, Architecture)]
    return next((known for one in usable if (known := one.known(named)) is not None), None)


def load_backbone(
    name: str, pretrained: str | None = None, *, device: str = "auto", dtype: str = "auto", **options: Any
) -> Backbone:
    """Load a checkpoint behind the ``Backbone`` interface.

    Args:
        name: the architecture, one of ``backbone_names()``.
        pretrained: a folder, a hub id, or "demo" for the small model that ships with the package; by default the
            architecture's usual checkpoint on the hub.
        device: "auto" (cuda, then mps, then cpu) or a torch device.
        dtype: a torch dtype's name, or "auto": the checkpoint's own on a GPU, on a CPU float32, or bfloat16 if float32
            does not fit into memory.
        options: the architecture's own options, see ``backbone_options``.

    Raises:
        ValueError: an unknown architecture or option, or a checkpoint of another kind, damaged or incomplete.
        FileNotFoundError: no such checkpoint, or a file of it is missing.
        NotEnoughMemory: the weights do not fit into memory.
    """
    architecture = find_backbone(name)
    known = list(architecture.options())
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown options {unknown} for backbone {name!r}; it takes {known}")
    from sepm_eval.model_wrappers._loading import named_faults  # imports torch, which the rest of this file avoids

    pretrained = default_checkpoint(name) if pretrained is None else pretrained
    with named_faults(name, pretrained):
        backbone = architecture.load(pretrained=pretrained, device=device, dtype=dtype, **options)
        _try_out(backbone)
    return backbone


def _try_out(backbone: Backbone) -> None:
    """Ask one small question, because some damage to a configuration only shows when the model runs."""
    from PIL import Image

    backbone.read(["A"], backbone.see([Image.new("RGB", (3, 2))]))


def backbone_options(name: str) -> list[str]:
    """Names of the options that only this architecture takes."""
    return list(find_backbone(name).options())


def option_defaults(name: str) -> dict[str, Any]:
    """The options that only this architecture takes, with their defaults."""
    return find_backbone(name).options()


def default_checkpoint(name: str) -> str:
    """The checkpoint that an architecture loads by default.

    Raises:
        ValueError: the architecture has no default checkpoint, or see ``find_backbone``.
    """
    default = find_backbone(name).default_checkpoint()
    if default is None:
        raise ValueError(f"backbone {name!r} has no usual checkpoint: give pretrained=, a hub id or a folder")
    return default


def supported(name: str, pretrained: str | None, options: Mapping[str, Any]) -> frozenset[str]:
    """The value that ``Backbone.supports`` will have, known before any weights are loaded.

    Args:
        name: the architecture.
        pretrained: see ``load_backbone``.
        options: see ``load_backbone``.
    """
    asked = find_backbone(name).supported
    if asked is None:
        return ABILITIES
    return frozenset(asked(default_checkpoint(name) if pretrained is None else pretrained, options))


def _ours() -> list[str]:
    """The files of this folder that do not start with an underscore."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def _as_architecture(declared: Any) -> Architecture:
    return declared if isinstance(declared, Architecture) else Architecture(declared)

"""One file per architecture.

Each ends with a table by the name users type, BACKBONES: a function that loads it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from sepm_eval.backbone.interface import ABILITIES, Backbone

__all__ = [
    "backbone_names",
    "backbone_options",
    "default_checkpoint",
    "load_backbone",
    "option_defaults",
    "supported",
]


def backbone_names() -> list[str]:
    """The backbones there are: the files of this folder that do not start with an underscore."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def load_backbone(
    name: str, pretrained: str | None = None, *, device: str = "auto", dtype: str = "auto", **options: Any
) -> Backbone:
    """Load a checkpoint behind the ``Backbone`` interface.

    Args:
        name: the architecture, one of ``backbone_names()``.
        pretrained: a folder, a hub id, or "demo" for the small model that ships with the package; by default the
            architecture's usual checkpoint on the hub.
        device: "auto" (cuda, then mps, then cpu) or a torch device.
        dtype: "auto" (the checkpoint's own on a GPU, float32 on a CPU) or a torch dtype's name.
        options: the architecture's own, see ``backbone_options``.

    Raises:
        ValueError: an unknown architecture or option, or a checkpoint of another kind, damaged or incomplete.
        FileNotFoundError: no such checkpoint, or a file of it is missing.
    """
    known = backbone_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown options {unknown} for backbone {name!r}; it takes {known}")
    from sepm_eval.model_wrappers._loading import named_faults  # imports torch, which names do without

    pretrained = default_checkpoint(name) if pretrained is None else pretrained
    with named_faults(name, pretrained):
        backbone = _loader(name)(pretrained=pretrained, device=device, dtype=dtype, **options)
        _try_out(backbone)
    return backbone


def _try_out(backbone: Backbone) -> None:
    """One small question, because some damage to a configuration shows only when the model works."""
    from PIL import Image

    backbone.read(["A"], backbone.see([Image.new("RGB", (3, 2))]))


def backbone_options(name: str) -> list[str]:
    """Names of the options that only this architecture takes."""
    parameters = inspect.signature(_loader(name)).parameters
    return [key for key in parameters if key not in ("pretrained", "device", "dtype")]


def option_defaults(name: str) -> dict[str, Any]:
    """What the options that only this architecture takes are unless told otherwise."""
    parameters = inspect.signature(_loader(name)).parameters
    return {option: parameters[option].default for option in backbone_options(name)}


def default_checkpoint(name: str) -> str:
    """The checkpoint an architecture loads unless told otherwise."""
    return str(inspect.signature(_loader(name)).parameters["pretrained"].default)


def supported(name: str, pretrained: str | None, options: Mapping[str, Any]) -> frozenset[str]:
    """What ``Backbone.supports`` will say, known before any weights are loaded.

    A file of this folder whose backbones differ in it has a function ``supported(pretrained, options)``; those of the
    others support everything.

    Args:
        name: the architecture.
        pretrained: see ``load_backbone``.
        options: see ``load_backbone``.
    """
    asked = getattr(_module(name), "supported", None)
    if asked is None:
        return ABILITIES
    return frozenset(asked(default_checkpoint(name) if pretrained is None else pretrained, options))


def _loader(name: str) -> Any:
    return _module(name).BACKBONES[name]


def _module(name: str) -> ModuleType:
    if name not in backbone_names():
        raise ValueError(f"unknown backbone {name!r}; there are {backbone_names()}")
    return importlib.import_module(f"{__name__}.{name}")

"""What a backbone's file says of itself: how it is loaded, and what is known of its checkpoints before one is loaded.

Nothing here imports torch, and a file that imports it only inside its ``load`` can be asked all of this without torch:

    BACKBONES = {"name": Architecture(load, checkpoints=(KnownCheckpoint("owner/name", entry="name_7b"),))}

A plain ``load`` in place of the ``Architecture`` is enough for a backbone of which nothing more is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepm_eval.backbone.cost import Geometry
    from sepm_eval.backbone.interface import Backbone

NOT_SWITCHABLE = (
    "not switchable"  # what an identity says of an option that is True or False and has no effect on its model
)
_EVERYWHERE = ("pretrained", "device", "dtype")  # what every ``load`` takes


@dataclass(frozen=True)
class KnownCheckpoint:
    """A checkpoint of which something is known without a look at its files.

    Attributes:
        pretrained: what ``load_backbone`` takes: a hub id, or "demo".
        entry: its name among VLMEvalKit's models, which has METHOD_ENTRY for every method.
        names: parts of its name, in lower case, by which it is recognised on the hub and in folders.
        geometry: its shapes, from which a run is priced before it starts; None where they are not known.
        parameters: how many, as leaderboards write it ("7B"); "" where it is not known, as of the next two.
        language_model: such as "Vicuna-v1.5-7B".
        vision_model: such as "CLIP ViT-L/14-336".
    """

    pretrained: str
    entry: str
    names: tuple[str, ...] = ()
    geometry: Geometry | None = None
    parameters: str = ""
    language_model: str = ""
    vision_model: str = ""


@dataclass(frozen=True)
class Architecture:
    """A kind of model that can be loaded as a ``Backbone``.

    Attributes:
        load: takes pretrained, device and dtype (see ``load_backbone``) and the architecture's own options, all by
            name. The default of ``pretrained`` is the usual checkpoint; without one, users have to name theirs. Options
            must have defaults: a setting that is given as text is converted to its default's type.
        checkpoints: those that are known.
        shapes: reads the shapes of a checkpoint from its folder; it may return None. None: nobody knows how.
        supported: what a checkpoint will support (``Backbone.supports``), by ``pretrained`` and the options, known
            before weights are loaded; None: everything.
    """

    load: Callable[..., Backbone]
    checkpoints: tuple[KnownCheckpoint, ...] = ()
    shapes: Callable[[Path], Geometry | None] | None = None
    supported: Callable[[str, Mapping[str, Any]], Collection[str]] | None = None

    def __post_init__(self) -> None:
        if not callable(self.load):
            raise ValueError(f"load is {type(self.load).__name__}, not a function")
        parameters = inspect.signature(self.load).parameters
        lacks = [name for name in _EVERYWHERE if name not in parameters]
        bare = [name for name in self.options() if parameters[name].default is inspect.Parameter.empty]
        if lacks or bare:
            what = f"does not take {lacks}" if lacks else f"has no defaults for its options {bare}"
            raise ValueError(f"its load {what}")

    def options(self) -> dict[str, Any]:
        """The options that only this architecture takes, and what they are unless told otherwise."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.load).parameters.items()
            if name not in _EVERYWHERE and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        }

    def default_checkpoint(self) -> str | None:
        """The usual checkpoint; None if there is none."""
        default = inspect.signature(self.load).parameters["pretrained"].default
        return None if default in (None, inspect.Parameter.empty) else str(default)

    def known(self, named: str) -> KnownCheckpoint | None:
        """The checkpoint that a hub id or folder stands for; None if it is not a known one.

        Args:
            named: as users write it. The longest of ``KnownCheckpoint.names`` that is in it decides.
        """
        exact = [one for one in self.checkpoints if one.pretrained == named]
        found = [(len(part), one) for one in self.checkpoints for part in one.names if part in named.lower()]
        return exact[0] if exact else max(found, key=lambda pair: pair[0])[1] if found else None

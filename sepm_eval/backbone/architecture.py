"""What a backbone's file declares: how it is loaded, and what is known of its checkpoints before one is loaded.

Nothing here imports torch. If a backbone's file imports torch only inside its ``load``, all of this is available
without torch:

    BACKBONES = {"name": Architecture(load, checkpoints=(KnownCheckpoint("owner/name", entry="name_7b"),))}

If nothing more is known of a backbone, a plain ``load`` in place of the ``Architecture`` is enough.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepm_eval.backbone.geometry import Geometry
    from sepm_eval.backbone.interface import Backbone

NOT_SWITCHABLE = (
    "not switchable"  # what an identity records for an option that is True or False but has no effect on its model
)
POSITIONS = ("auto", "kept", "closed")
"""Values of the option ``positions``, by which our backbones say what dropping visual tokens does to the others."""
_EVERYWHERE = ("pretrained", "device", "dtype")  # what every ``load`` takes


@dataclass(frozen=True)
class KnownCheckpoint:
    """A checkpoint of which something is known without opening its files.

    Attributes:
        pretrained: what ``load_backbone`` takes: a hub id, or "demo".
        entry: its name in VLMEvalKit, where every method has a model METHOD_ENTRY, such as "sepm_llava_v1.5_7b".
        names: parts of a hub id or folder name, in lower case, by which the checkpoint is recognised.
        geometry: its shapes, from which the cost of a run is computed before it starts; None if they are not known.
        parameters: number of parameters as leaderboards write it ("7B"); "" if it is not known, as for the next two.
        language_model: name of the language model, such as "Vicuna-v1.5-7B".
        vision_model: name of the vision tower, such as "CLIP ViT-L/14-336".
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
        load: function that takes pretrained, device and dtype (see ``load_backbone``) and the architecture's own
            options, all by name. The default of ``pretrained`` is the usual checkpoint; without a default, users have
            to name a checkpoint. Options must have defaults: a setting given as text is converted to the type of the
            default.
        checkpoints: the known checkpoints.
        shapes: function that reads the shapes of a checkpoint from its folder, or returns None if it cannot; None if
            there is no such function.
        supported: function of ``pretrained`` and the options that says, before weights are loaded, what a checkpoint
            will support (``Backbone.supports``); None: everything.
        choices: by option, its only possible values, so that another one is refused before anything is loaded.
    """

    load: Callable[..., Backbone]
    checkpoints: tuple[KnownCheckpoint, ...] = ()
    shapes: Callable[[Path], Geometry | None] | None = None
    supported: Callable[[str, Mapping[str, Any]], Collection[str]] | None = None
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

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
        """The options that only this architecture takes, with their defaults."""
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
        """Find the known checkpoint that a hub id or folder stands for; None if there is none.

        Args:
            named: the hub id or folder as users write it. If it equals no ``KnownCheckpoint.pretrained``, the longest
                of ``KnownCheckpoint.names`` that it contains decides.
        """
        exact = [one for one in self.checkpoints if one.pretrained == named]
        found = [(len(part), one) for one in self.checkpoints for part in one.names if part in named.lower()]
        return exact[0] if exact else max(found, key=lambda pair: pair[0])[1] if found else None

"""From a user's settings to a loaded model that answers questions; every host and command uses this code.

Settings arrive as text (``--model_args``) or as typed values (a plan's YAML). ``read_settings`` is the one place that
converts and checks them, before anything is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter

from sepm_eval.backbone.checkpoints import find_checkpoint
from sepm_eval.backbone.interface import Backbone
from sepm_eval.datasets import Benchmark
from sepm_eval.emotions import POLARITY, Polarity
from sepm_eval.methods import Method, get_method, method_options
from sepm_eval.methods.needs import check_needs, other_weights
from sepm_eval.model_wrappers import default_checkpoint, find_backbone, load_backbone, supported
from sepm_eval.plurals import counted
from sepm_eval.runs.environment import decisive_versions
from sepm_eval.runs.exams import check_asked
from sepm_eval.runs.identity import OUR_ENTRIES, Identity

if TYPE_CHECKING:
    from sepm_eval.runs.runner import Runner

MOST = 2**31 - 1  # largest count: on every device torch can index tokens and rows up to it
OF_A_MODEL = ("pretrained", "device", "dtype", "polarity")  # settings that every host and plan takes for any backbone


@dataclasses.dataclass(frozen=True)
class Settings:
    """The checked settings of one of our models; nothing is loaded yet.

    Attributes:
        backbone: name of the architecture.
        pretrained: the checkpoint; the architecture's usual one if none was named.
        device: see ``load_backbone``.
        dtype: see ``load_backbone``.
        polarity: by label, a polarity set by hand.
        options: the backbone's own options that were set.
    """

    backbone: str
    pretrained: str
    device: str
    dtype: str
    polarity: Mapping[str, Polarity]
    options: Mapping[str, Any]

    def load(self, *methods: Method) -> Backbone:
        """Load the checkpoint.

        Args:
            methods: the methods that will use the model. Before any weights are loaded, the model is checked for what
                the methods need, and the methods' own weights are looked up.

        Raises:
            ValueError: a method cannot work with the model; or see ``load_backbone``.
            FileNotFoundError: weights that a method names do not exist; or see ``load_backbone``.
        """
        supports = supported(self.backbone, self.pretrained, self.options) if methods else frozenset()
        for method in methods:
            check_needs(method, supports, f"{OUR_ENTRIES}{self.backbone}")
            other_weights(method)
        return load_backbone(self.backbone, self.pretrained, device=self.device, dtype=self.dtype, **self.options)

    def runner(
        self,
        backbone: Backbone,
        method: tuple[str, Method],
        *,
        batch_size: int,
        journal: Path | None,
        resume: bool = True,
        shard: str = "",
    ) -> Runner:
        """Make a runner for one method; this opens its journal.

        Args:
            backbone: the backbone that ``load`` returned, or a ``Shared`` one around it.
            method: the method's name, and the method itself.
            batch_size: see ``Runner``.
            journal: see ``Runner.journal_path``.
            resume: see ``Runner``.
            shard: see ``Runner``.
        """
        from sepm_eval.runs.runner import Runner  # imports torch, which the checks of settings do without

        return Runner(
            backbone_name=self.backbone,
            backbone=backbone,
            method_name=method[0],
            method=method[1],
            batch_size=batch_size,
            journal_path=journal,
            resume=resume,
            polarity=self.polarity,
            shard=shard,
        )


def read_settings(
    entry: str,
    backbone: str,
    given: Mapping[str, Any],
    *,
    takes: Sequence[str] = OF_A_MODEL,
    of_method: Sequence[str] = (),
) -> Settings:
    """Check and convert the settings of a model.

    Args:
        entry: the host's name of the model, for messages.
        backbone: name of the architecture.
        given: settings by name: those in ``OF_A_MODEL`` and the backbone's own options; the others have their defaults.
        takes: settings, besides options, that an error message lists as allowed.
        of_method: names of the method's options, which may be among the given settings; they are not checked here.

    Raises:
        ValueError: a setting is unknown or has an invalid value; the message names what is allowed.
    """
    architecture = find_backbone(_name("backbone", backbone))
    own = architecture.options()
    unknown = sorted(given.keys() - {*OF_A_MODEL, *of_method, *own})
    if unknown:
        allowed = [f"{entry} takes {', '.join(takes)}"]
        allowed += [f"its method takes {', '.join(of_method)}"] if of_method else []
        allowed += [f"its backbone takes {', '.join(own)}"] if own else []
        raise ValueError(f"unknown model args {unknown}: {'; '.join(allowed)}")
    pretrained = given.get("pretrained")
    options = {name: _converted(name, given[name], default) for name, default in own.items() if name in given}
    for name, choices in architecture.choices.items():
        if name in options and options[name] not in choices:
            raise ValueError(f"{name}={str(options[name])[:200]!r}: use one of {', '.join(choices)}")
    return Settings(
        backbone=backbone,
        pretrained=default_checkpoint(backbone) if pretrained is None else str(pretrained),
        device=str(given.get("device", "auto")),
        dtype=str(given.get("dtype", "auto")),
        polarity=parse_polarity(given.get("polarity", "")),
        options=options,
    )


def load_runner(
    entry: str,
    takes: Sequence[str],
    backbone: str,
    method: str,
    given: Mapping[str, Any],
    *,
    asked: Sequence[Benchmark] = (),
    batch_size: int,
    journal: str | None,
    resume: bool,
    shard: str,
) -> Runner:
    """Check all settings of a model that has one method, load the checkpoint and open the journal.

    Args:
        entry: see ``read_settings``.
        takes: see ``read_settings``.
        backbone: see ``read_settings``.
        method: name of the method.
        given: the settings that ``read_settings`` takes, and the method's options.
        asked: the benchmarks that the model is to be asked, as far as they are known.
        batch_size: number of questions read at once.
        journal: the journal's file; by default one for this model and method in the user's state folder.
        resume: whether answers that the journal already has are reused.
        shard: see ``Runner``.

    Raises:
        ValueError: a setting is unknown, has an invalid value, or does not fit the benchmarks; the message names what
            is allowed.
    """
    if not isinstance(resume, bool):
        raise ValueError(f"resume={resume!r}: use True or False")
    check_count("batch_size", batch_size)
    path = _journal_path(journal)
    settings, chosen = _with_method(entry, takes, backbone, method, given)
    check_asked(method, chosen, asked)
    return settings.runner(
        settings.load(chosen), (method, chosen), batch_size=batch_size, journal=path, resume=resume, shard=shard
    )


def expected_identity(
    entry: str,
    takes: Sequence[str],
    backbone: str,
    method: str,
    given: Mapping[str, Any],
    *,
    asked: Sequence[Benchmark] = (),
    find: bool = True,
) -> tuple[Identity, Settings]:
    """The identity that a model will have, as far as it is known before loading: without ``Identity.model``.

    Args:
        entry: see ``load_runner``.
        takes: see ``load_runner``.
        backbone: see ``load_runner``.
        method: see ``load_runner``.
        given: see ``load_runner``.
        asked: see ``load_runner``.
        find: look up the checkpoint (downloading it, as loading would) and the method's own weights; without it the
            identity has no revision and no weights.

    Returns:
        The identity and the settings.

    Raises:
        ValueError: a setting is unknown, has an invalid value, or does not fit the benchmarks.
        FileNotFoundError: there is no such checkpoint.
    """
    settings, chosen = _with_method(entry, takes, backbone, method, given)
    check_asked(method, chosen, asked)
    identity = Identity(
        entry=f"{OUR_ENTRIES}{backbone}",
        checkpoint=settings.pretrained,
        revision=find_checkpoint(settings.pretrained).revision if find else "",
        method=method,
        options=dataclasses.asdict(chosen),
        polarity={label: side for label, side in settings.polarity.items() if side != POLARITY[label]},
        versions=decisive_versions(),
        weights=other_weights(chosen) if find else {},
    )
    return identity, settings


def check_count(name: str, value: object) -> None:
    """Check that a setting is a whole number from 1 to ``MOST``.

    Raises:
        ValueError: the value is not a whole number or is out of range.
    """
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"{name}={str(value)[:100]}: give a whole number from 1 to {MOST}")


def _with_method(
    entry: str, takes: Sequence[str], backbone: str, method: str, given: Mapping[str, Any]
) -> tuple[Settings, Method]:
    """The settings and the method, where ``given`` holds the options of both; see ``load_runner``."""
    names = method_options(_name("method", method))
    settings = read_settings(entry, backbone, given, takes=takes, of_method=names)
    return settings, get_method(method, **{name: value for name, value in given.items() if name in names})


def _name(what: str, value: object) -> str:
    """Return a name after checking that it is a text.

    Raises:
        ValueError: the value is not a text.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what}={str(value)[:200]}: give a name")
    return value


def _converted(name: str, value: Any, default: Any) -> Any:
    """Convert a backbone's option to the type of its default: text, number or bool; other types stay unchanged.

    Raises:
        ValueError: the value cannot be converted.
    """
    if type(default) not in _KINDS or type(value) is type(default):
        return value
    try:
        if isinstance(value, bool):  # pydantic would accept it as a number
            raise ValueError(f"{value} is none")
        return TypeAdapter(type(default), config=ConfigDict(coerce_numbers_to_str=True)).validate_python(value)
    except ValueError as error:  # pydantic's ValidationError is a ValueError too
        raise ValueError(f"{name}={str(value)[:200]}: give {_KINDS[type(default)]}, such as {default}") from error


_KINDS = {str: "text", bool: "True or False", int: "a whole number", float: "a number"}


def _journal_path(journal: object) -> Path | None:
    """The path of the journal; None for the usual file.

    Raises:
        ValueError: the value is not the name of a file.
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
    """A message for the host's log that says what was loaded."""
    backbone = runner.backbone
    return (
        f"{entry}: {runner.method} on {backbone.name} ({backbone.revision}, {backbone.settings}); "
        f"journal {runner.journal.path}, {counted(len(runner.journal), 'answer')} from before"
    )


def parse_polarity(setting: str) -> dict[str, Polarity]:
    """Read polarities set by hand, such as "surprise:negative+confusion:positive".

    Raises:
        ValueError: the text does not have this form.
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

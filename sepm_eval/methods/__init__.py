"""One file per method. Each ends with a METHODS table: the name users type -> a frozen dataclass of its options.

Another package adds a method by an entry point of the group ``sepm_eval.methods``: its name is the method's name, its
value the class. It is loaded when the method is asked for by name, so a package that is broken breaks nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload, runtime_checkable

from pydantic import ValidationError

from sepm_eval.backbone.cost import Geometry, Text, Work
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.options import in_words, takes_one
from sepm_eval.outside import by_name, entries, entry_named, home, in_folder, joined
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "Method",
    "Priced",
    "find_method",
    "find_methods",
    "get_method",
    "method_names",
    "method_options",
    "method_title",
]

GROUP = "sepm_eval.methods"
KINDS = ("plain", "pruning", "control", "emotion")
"""What a method can be to the others (``Method.kind``), in the order in which reports show them."""


class Method(Protocol):
    """A way to answer emotion questions. Its fields are its options; their defaults are the method's own.

    A class may say by ``title`` what people call it ("SEPM"); reports show that in place of its name.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    kind: ClassVar[str]
    """One of ``KINDS``: asks the plain question; prunes visual tokens for it; is what such methods have to be better
    than; or was made for emotions. It decides the place in a report; one that says nothing stands behind all others."""
    needs_polarities: ClassVar[bool]
    """Whether it can only answer questions that offer positive and negative emotions."""

    @property
    def needs(self) -> frozenset[str]:
        """What ``Backbone.supports`` must hold for it to work with its options."""

    @property
    def drops(self) -> bool:
        """Whether it drops visual tokens, with its options: a run in which it never did so is marked as flawed."""

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """What it loads besides the model, by the option that names it: a folder or hub id each."""

    @overload
    def answer(self, questions: Question, backbone: Backbone) -> Answer: ...
    @overload
    def answer(self, questions: Iterable[Question], backbone: Backbone) -> list[Answer]: ...
    def answer(self, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
        """Answer one question, or a batch of them.

        A method's file writes it for a ``Sequence[Question]`` only; ``options.method`` adds the rest.

        Args:
            questions: one question, or several.
            backbone: the model that is asked.

        Returns:
            One answer for one question; for several a list in their order, in which no answer depends on the others.
        """


@runtime_checkable
class Priced(Protocol):
    """What a method offers besides if its cost can be told before it runs. One without has no price."""

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompts it will most likely ask of a question, in order; the picture need not be the question's own."""

    def work(self, geometry: Geometry, text: Text) -> Work:
        """What one answer asks of a backbone, with prompts of these lengths."""


def find_methods() -> dict[str, type[Method]]:
    """The METHODS tables of every file in this folder, as one; ``method_names`` has those of other packages too.

    Raises:
        ValueError: two files name the same method.
    """
    return joined({"method": by_name}, in_folder(__name__, __path__, "METHODS"))


def method_names() -> list[str]:
    """The names of all methods, those of other packages last. No other package is loaded for it."""
    return list(dict.fromkeys([*find_methods(), *(point.name for point in entries(GROUP))]))


def find_method(name: str) -> type[Method]:
    """A method's class, from this folder or from another package.

    Raises:
        ValueError: there is none of this name, or more than one, or the package that has it is broken.
    """
    ours = find_methods()
    where = ours[name].__module__ if name in ours else None
    point = entry_named("method", name, GROUP, where, lambda: sorted(method_names()))
    return ours[name] if point is None else _load(point)


def get_method(name: str, **options: Any) -> Method:
    """A method by name, with some of its options set.

    Raises:
        ValueError: unknown name or option, a value out of range, or a package that cannot be loaded.
    """
    method = find_method(name)
    known = {field.name: field for field in dataclasses.fields(method)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown options {unknown} for method {name!r}; it takes {list(known)}")
    missing = [key for key, field in known.items() if key not in options and _is_required(field)]
    if missing:
        raise ValueError(f"method {name!r} needs the options {missing}: write {name},{missing[0]}=value")
    try:
        return method(**options)
    except ValidationError as error:  # of another package's pydantic dataclass
        raise ValueError(in_words(method, error)) from None


def kind_of(name: str) -> str:
    """What a method is to the others, one of ``KINDS``; "" if it says none, or this installation cannot load it."""
    try:
        kind = getattr(find_method(name), "kind", "")
    except ValueError:
        return ""
    return kind if kind in KINDS else ""


def method_options(name: str) -> list[str]:
    """Names of the options a method takes.

    Raises:
        ValueError: as ``find_method``.
    """
    return [field.name for field in dataclasses.fields(find_method(name))]


def method_title(name: str) -> str:
    """What people call a method: its class's own ``title``, not one that it inherits from the method it varies.

    Returns:
        The title; the name itself of a method that has none, or that this installation cannot load.
    """
    try:
        found = vars(find_method(name)).get("title")
    except ValueError:
        return name
    return found if isinstance(found, str) and found else name


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _load(point: EntryPoint) -> type[Method]:
    """The class that an entry point names.

    Raises:
        ValueError: it cannot be loaded, or is no method.
    """
    try:
        found = point.load()
    except Exception as error:  # whatever another package does when it is imported
        raise ValueError(
            f"method {point.name!r} cannot be loaded from {home(point)}: {type(error).__name__}: {error}"
        ) from error
    frozen = isinstance(found, type) and getattr(getattr(found, "__dataclass_params__", None), "frozen", False)
    lacks = [part for part in ("answer", "needs_polarities") if not hasattr(found, part)]
    if not frozen or lacks:
        what = f"it lacks {' and '.join(lacks)}" if lacks else "it is no frozen dataclass"
        raise ValueError(f"method {point.name!r} of {home(point)} is no method: {what}; see CONTRIBUTING.md")
    return takes_one(found)

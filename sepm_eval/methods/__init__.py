"""The methods, one file each. A file ends with a METHODS table: the name users type -> a frozen dataclass of options.

Another package adds a method by an entry point of the group ``sepm_eval.methods``: the entry point's name is the name
of the method, and its value is the class. It is loaded only when the method is requested by name, so that a broken
package does not affect other methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload, runtime_checkable

from pydantic import ValidationError

from sepm_eval.backbone.cost import Geometry, Text, Work
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.options import in_words, takes_one
from sepm_eval.plugins import built_in, by_name, entries, find_entry_point, merged, origin_of
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
"""The kinds of methods (see ``Method.kind``), in the order in which reports show them."""


class Method(Protocol):
    """A way to answer emotion questions. Its fields are its options, with default values.

    A class may have a ``title``, the method's common name ("SEPM"); reports show it instead of the name users type.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    kind: ClassVar[str]
    """One of ``KINDS``: "plain" asks the plain question; "pruning" asks it with fewer visual tokens; "control" is a
    baseline that other methods have to beat; "emotion" was made for emotions. The kind decides the place in a report;
    methods without a kind come last."""
    needs_polarities: ClassVar[bool]
    """Whether the method can only answer questions that offer both positive and negative emotions."""

    @property
    def needs(self) -> frozenset[str]:
        """The abilities that ``Backbone.supports`` must contain for the method with its present options."""

    @property
    def drops(self) -> bool:
        """Whether the method drops visual tokens with its options; a run without any dropped is marked as flawed."""

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """The checkpoints that the method loads besides the model: option name -> folder or hub id."""

    @overload
    def answer(self, questions: Question, backbone: Backbone) -> Answer: ...
    @overload
    def answer(self, questions: Iterable[Question], backbone: Backbone) -> list[Answer]: ...
    def answer(self, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
        """Answer one question, or a batch of them.

        A method's file defines this for a ``Sequence[Question]`` only; the decorator ``options.method`` adds the rest.

        Args:
            questions: one question, or several.
            backbone: the model that is asked.

        Returns:
            One answer for one question. For several questions, a list of answers in the order of the questions; no
            answer depends on the other questions.
        """


@runtime_checkable
class Priced(Protocol):
    """What a method must define in addition so that its cost can be computed before it runs."""

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """Predict the prompts for a question, in order; any picture will do in place of the question's own."""

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations that a backbone does for one answer, with prompts of these lengths."""


def find_methods() -> dict[str, type[Method]]:
    """Join the METHODS tables of all files in this folder; methods of other packages are not included.

    Raises:
        ValueError: two files define a method of the same name.
    """
    return merged({"method": by_name}, built_in(__name__, __path__, "METHODS"))


def method_names() -> list[str]:
    """The names of all methods, those of other packages last; no other package is loaded."""
    return list(dict.fromkeys([*find_methods(), *(point.name for point in entries(GROUP))]))


def find_method(name: str) -> type[Method]:
    """Find the class of a method, in this folder or in another package.

    Raises:
        ValueError: no method or more than one has this name, or the package that has it is broken.
    """
    ours = find_methods()
    where = ours[name].__module__ if name in ours else None
    point = find_entry_point("method", name, GROUP, where, lambda: sorted(method_names()))
    return ours[name] if point is None else _load(point)


def get_method(name: str, **options: Any) -> Method:
    """Make a method by its name, with some of its options set.

    Raises:
        ValueError: the name or an option is unknown, a required option is missing, a value is not allowed, or the
            package of the method cannot be loaded.
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
    except ValidationError as error:  # raised by a pydantic dataclass of another package
        raise ValueError(in_words(method, error)) from None


def kind_of(name: str) -> str:
    """The kind of a method, one of ``KINDS``; "" if it has none, or this installation cannot load it."""
    try:
        kind = getattr(find_method(name), "kind", "")
    except ValueError:
        return ""
    return kind if kind in KINDS else ""


def needs_polarities(name: str) -> bool:
    """Whether a method needs both polarities on offer; False if this installation cannot load it."""
    try:
        return bool(find_method(name).needs_polarities)
    except ValueError:
        return False


def method_options(name: str) -> list[str]:
    """List the names of the options that a method takes.

    Raises:
        ValueError: see ``find_method``.
    """
    return [field.name for field in dataclasses.fields(find_method(name))]


def method_title(name: str) -> str:
    """The common name of a method: the ``title`` of its class, but not one inherited from a base method.

    Returns:
        The title, or the given name if the method has no title or this installation cannot load it.
    """
    try:
        found = vars(find_method(name)).get("title")
    except ValueError:
        return name
    return found if isinstance(found, str) and found else name


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _load(point: EntryPoint) -> type[Method]:
    """Load the method class that an entry point names.

    Raises:
        ValueError: it cannot be loaded, or it is not a method.
    """
    try:
        found = point.load()
    except Exception as error:  # another package may raise anything when it is imported
        raise ValueError(
            f"method {point.name!r} cannot be loaded from {origin_of(point)}: {type(error).__name__}: {error}"
        ) from error
    frozen = isinstance(found, type) and getattr(getattr(found, "__dataclass_params__", None), "frozen", False)
    lacks = [part for part in ("answer", "needs_polarities") if not hasattr(found, part)]
    if not frozen or lacks:
        what = f"it lacks {' and '.join(lacks)}" if lacks else "it is no frozen dataclass"
        raise ValueError(f"method {point.name!r} of {origin_of(point)} is no method: {what}; see CONTRIBUTING.md")
    return takes_one(found)

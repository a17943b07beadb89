"""One file per method. Each ends with a METHODS table: the name users type -> a frozen dataclass of its options."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterable
from functools import wraps
from typing import Any, ClassVar, Protocol, overload

from sepm_eval.backbone.interface import Backbone
from sepm_eval.types import Answer, Question

__all__ = ["Method", "find_methods", "get_method", "method_options"]


class Method(Protocol):
    """A way to answer emotion questions. Its fields are its options; their defaults are the method's own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    needs_polarities: ClassVar[bool]
    """Whether it can only answer questions that offer positive and negative emotions."""

    @property
    def needs(self) -> frozenset[str]:
        """What ``Backbone.supports`` must hold for it to work with its options."""

    @overload
    def answer(self, questions: Question, backbone: Backbone) -> Answer: ...
    @overload
    def answer(self, questions: Iterable[Question], backbone: Backbone) -> list[Answer]: ...
    def answer(self, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
        """Answer one question, or a batch of them.

        A method's file writes it for a ``Sequence[Question]`` only; ``find_methods`` adds the rest.

        Args:
            questions: one question, or several.
            backbone: the model that is asked.

        Returns:
            One answer for one question; for several a list in their order, in which no answer depends on the others.
        """


def find_methods() -> dict[str, type[Method]]:
    """The METHODS tables of every file in this folder, as one."""
    found: dict[str, type[Method]] = {}
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        for name, method in getattr(importlib.import_module(info.name), "METHODS", {}).items():
            if name in found:
                raise ValueError(f"two methods are called {name!r}; the second is in {info.name}")
            found[name] = _takes_one(method)
    return found


def _takes_one(method: Any) -> type[Method]:
    """The same class; its ``answer``, written for a batch, now takes one question as well."""
    batch = method.answer
    if not getattr(batch, "takes_one", False):  # it is there if the class, or one it inherits from, was found before

        @wraps(batch)
        def answer(self: Any, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
            if isinstance(questions, Question):
                return batch(self, [questions], backbone)[0]
            return batch(self, list(questions), backbone)

        answer.takes_one = True  # type: ignore[attr-defined]
        method.answer = answer
    return method


def get_method(name: str, **options: Any) -> Method:
    """A method by name, with some of its options set.

    Raises:
        ValueError: unknown name or option, or a value out of range.
    """
    known = method_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown options {unknown} for method {name!r}; it takes {known}")
    return find_methods()[name](**options)


def method_options(name: str) -> list[str]:
    """Names of the options a method takes."""
    methods = find_methods()
    if name not in methods:
        raise ValueError(f"unknown method {name!r}; there are {sorted(methods)}")
    return [field.name for field in dataclasses.fields(methods[name])]

"""A method's options: pydantic checks them, and what it finds is said in one sentence."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import dataclass_transform

from sepm_eval.backbone.interface import Backbone
from sepm_eval.types import Answer, Question

LARGEST = 2**63 - 1  # what a journal's readers take for a whole number
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def method(cls: type[T]) -> type[T]:
    """Make a class a method: a frozen dataclass whose fields are its options, checked whenever one is made.

    pydantic checks each value against its field's annotation, strictly: True is not 1, "0.1" is no number, NaN and
    infinity are none either. A check that needs several options belongs into ``__post_init__``, as a ValueError. A bad
    value raises a ValueError with one sentence for each: the option, what was found, and what is allowed. ``answer`` is
    written for a batch of questions; it takes one question too.

    Numbers are best annotated as ``Annotated[float, Field(ge=0, lt=1), NUMBER]``.
    """
    made: Any = dataclass(frozen=True, config=_STRICT)(cls)
    checked = made.__init__

    @functools.wraps(checked)
    def __init__(self: Any, *args: Any, **options: Any) -> None:
        try:
            checked(self, *args, **options)
        except ValidationError as error:
            raise ValueError(in_words(made, error)) from None

    made.__init__ = __init__
    return takes_one(made)


def takes_one(cls: type[T]) -> type[T]:
    """The same class; its ``answer``, written for a batch of questions, now takes one question as well."""
    made: Any = cls
    batch = made.answer
    if not getattr(batch, "takes_one", False):  # an inherited one may already

        @functools.wraps(batch)
        def answer(self: Any, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
            if isinstance(questions, Question):
                return batch(self, [questions], backbone)[0]
            return batch(self, list(questions), backbone)

        answer.takes_one = True  # type: ignore[attr-defined]
        made.answer = answer
    return cls


def _number(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Equal numbers become one value, so that equal settings are written alike: 0, -0.0 and a numpy 0.0 are 0.0.

    Raises:
        PydanticCustomError: the value is no number of Python's, or a fraction where a whole number is due.
    """
    found = check(value)
    if not isinstance(value, (int, float) if isinstance(found, float) else type(found)):
        raise PydanticCustomError("number_kind", "Input should be a number of this kind")
    return found + 0.0 if isinstance(found, float) else found


NUMBER = WrapValidator(_number)
"""Annotates a number: pydantic alone takes whatever can be turned into one (a tensor, 192.0 for 192), even strictly."""


def in_words(cls: type, error: ValidationError) -> str:
    """What pydantic found in a method's options: "alpha=2: use a number from 0 up to, but not including, 0.5"."""
    names = [field.name for field in dataclasses.fields(cls)]
    told: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        if not fault["loc"]:
            return str(fault.get("ctx", {}).get("error", fault["msg"]))  # what __post_init__ found
        place = fault["loc"][0]
        option = names[place] if isinstance(place, int) and place < len(names) else str(place)
        if fault["type"].startswith("unexpected"):
            told[option] = f"there is no option {option!r}; {cls.__name__} takes {names}"
        else:
            told.setdefault(option, _sentence(option, fault, _allowed(_schema(cls).get(option, {}))))
    return "; ".join(told.values())


def _sentence(option: str, fault: ErrorDetails, allowed: str) -> str:
    """One finding in words; in pydantic's where there are no others, and in those of a validator that has its own."""
    if fault["type"] == "missing":
        return f"{option} is missing" + (f": use {allowed}" if allowed else "")
    reason = f"use {allowed}" if allowed else fault["msg"].replace("Input should be", "use", 1)
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
    return f"{option}={_shown(fault['input'])}: {reason}"


def _schema(cls: type) -> Mapping[str, Any]:
    """The JSON schema of each option; none if pydantic cannot write it."""
    try:
        return TypeAdapter(cls).json_schema().get("properties", {})
    except Exception:  # pydantic has no JSON schema for every type, and says so in several ways
        return {}


def _allowed(schema: Mapping[str, Any]) -> str:
    """What an option may be; "" where this has no words for it."""
    if "const" in schema or "enum" in schema:
        return f"one of {schema.get('enum', [schema.get('const')])}"
    if "anyOf" in schema:
        parts = [_allowed(part) for part in schema["anyOf"]]
        return ", or ".join(parts) if all(parts) else ""
    if schema.keys() - {"type", "title", "description", "default", *_BOUNDS}:
        return ""
    return _KINDS.get(schema.get("type", ""), "") + "".join(
        f" {how} {schema[key]:g}" if isinstance(schema[key], float) else f" {how} {schema[key]}"
        for key, how in _BOUNDS.items()
        if key in schema
    )


_KINDS = {
    "boolean": "True or False",
    "string": "a text",
    "null": "None",
    "integer": "a whole number",
    "number": "a number",
}
_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "up to, but not including,",
}


def _shown(value: object) -> str:
    """A value as it is written, or where that is too long, what it is."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        shown = ""
    return shown if 0 < len(shown) <= 80 else f"<{type(value).__name__}, too long to show>"

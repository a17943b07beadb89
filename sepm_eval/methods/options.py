"""The options of a method: pydantic checks them, and each error becomes one readable sentence."""

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

LARGEST = 2**63 - 1  # the largest whole number that the readers of a journal accept
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def method(cls: type[T]) -> type[T]:
    """Make a class a method: a frozen dataclass whose fields are its options and are checked when it is created.

    pydantic checks each value strictly against the annotation of its field: True is not accepted as 1, nor "0.1" as a
    number, and NaN and infinity are refused. A check that needs several options belongs in ``__post_init__`` and raises
    a ValueError. Bad values raise a ValueError with one sentence for each: the option, the value, and what is allowed.
    The class defines ``answer`` for a batch of questions only; the decorator makes it accept a single question, too.

    Annotate numbers like this: ``Annotated[float, Field(ge=0, lt=1), NUMBER]``.
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
    """Make the ``answer`` of a class, defined for a batch of questions, accept one question too; return the class."""
    made: Any = cls
    batch = made.answer
    if not getattr(batch, "takes_one", False):  # an inherited ``answer`` may accept one question already

        @functools.wraps(batch)
        def answer(self: Any, questions: Question | Iterable[Question], backbone: Backbone) -> Answer | list[Answer]:
            if isinstance(questions, Question):
                return batch(self, [questions], backbone)[0]
            asked = list(questions)
            return batch(self, asked, backbone) if asked else []

        answer.takes_one = True  # type: ignore[attr-defined]
        made.answer = answer
    return cls


def _number(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a number, and turn equal values of a float option into one: 0, -0.0 and a numpy 0.0 all become 0.0.

    So equal settings are recorded in the same way.

    Raises:
        PydanticCustomError: the value is not a Python number, or it is a float where a whole number is required.
    """
    found = check(value)
    if not isinstance(value, (int, float) if isinstance(found, float) else type(found)):
        raise PydanticCustomError("number_kind", "Input should be a number of this kind")
    return found + 0.0 if isinstance(found, float) else found


NUMBER = WrapValidator(_number)
"""Annotation of a numeric option that refuses what even strict pydantic would convert (a tensor, 192.0 for 192)."""


def in_words(cls: type, error: ValidationError) -> str:
    """Pydantic's errors in a method's options as text: "alpha=2: use a number from 0 up to, but not including, 0.5"."""
    names = [field.name for field in dataclasses.fields(cls)]
    told: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        if not fault["loc"]:
            return str(fault.get("ctx", {}).get("error", fault["msg"]))  # an error raised by __post_init__
        place = fault["loc"][0]
        option = names[place] if isinstance(place, int) and place < len(names) else str(place)
        if fault["type"].startswith("unexpected"):
            told[option] = f"there is no option {option!r}; {cls.__name__} takes {names}"
        else:
            told.setdefault(option, _sentence(option, fault, _allowed(_schema(cls).get(option, {}))))
    return "; ".join(told.values())


def _sentence(option: str, fault: ErrorDetails, allowed: str) -> str:
    """One error as a sentence: a validator's own text if it has one, else what is allowed, else pydantic's text."""
    if fault["type"] == "missing":
        return f"{option} is missing" + (f": use {allowed}" if allowed else "")
    reason = f"use {allowed}" if allowed else fault["msg"].replace("Input should be", "use", 1)
    if fault["type"] == "value_error":
        reason = str(fault["ctx"]["error"])
    return f"{option}={_shown(fault['input'])}: {reason}"


def _schema(cls: type) -> Mapping[str, Any]:
    """The JSON schema of each option; empty if pydantic cannot make one."""
    try:
        return TypeAdapter(cls).json_schema().get("properties", {})
    except Exception:  # pydantic lacks a JSON schema for some types, and raises several kinds of errors then
        return {}


def _allowed(schema: Mapping[str, Any]) -> str:
    """What values an option may have, in words; "" for a schema that this function does not cover."""
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
    """The ``repr`` of a value, or its type if the ``repr`` is too long."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # Python refuses to print integers of more than 4,300 digits
        shown = ""
    return shown if 0 < len(shown) <= 80 else f"<{type(value).__name__}, too long to show>"

"""docs/api.md says of every public name what the code says: its parameters, defaults, options and attributes."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest
from examples import ROOT

import sepm_eval
from sepm_eval import Answer, Backbone, Evidence, Explanation, Question, methods, model_wrappers
from sepm_eval.backbone.interface import PictureTokens
from sepm_eval.types import Block

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
_CALL = re.compile(r"`(\w+)\(([^`]*)\)(?: -> \w+)?`")


def sections() -> dict[str, str]:
    """The text below each heading of the page, by the first name in the heading."""
    found = {}
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        name = re.match(r"`?(\w+)", heading)
        assert name is not None
        found[name[1]] = text
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of all tables, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    ruled = {at for at, line in enumerate(lines) if set(line) <= set("|-: ")}
    kept = [line for at, line in enumerate(lines) if at not in ruled and at + 1 not in ruled]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in kept]


def named(cell: str) -> set[str]:
    """What stands in backquotes, of a call its name."""
    return {re.split(r"[(=]", word)[0] for word in re.findall(r"`([^`]+)`", cell)}


def parameters(call) -> str:
    """A signature as the page writes it: without types and self."""
    signature = inspect.signature(call)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(plain))[1:-1].replace("'", '"')


def calls() -> list[tuple[str, str, str]]:
    """Section, name and parameters of each call in a heading or the first column of a table."""
    found = [
        (name, name, text) for name, text in re.findall(r"^## `(\w+)\(([^`]*)\)(?: -> \w+)?`$", PAGE, re.MULTILINE)
    ]
    for section, text in sections().items():
        for first, *_ in rows(text):
            found += [(section, name, written) for name, written in _CALL.findall(first)]
    return found


@pytest.mark.parametrize(("section", "name", "written"), calls(), ids=lambda value: value[:20])
def test_a_call_is_written_with_its_parameters(section, name, written):
    home = {"Backbone": Backbone, "Block": Block}.get(section, sepm_eval)
    assert parameters(getattr(home, name)) == written


def test_every_public_name_stands_on_the_page():
    assert {name for name in sepm_eval.__all__ if not re.search(rf"[`> .]{name}[`(]", PAGE)} == set()
    functions = {name for name in sepm_eval.__all__ if inspect.isfunction(getattr(sepm_eval, name))}
    assert functions <= {name for _, name, _ in calls()}


def public(cls: type) -> set[str]:
    """Fields, properties and methods of a class that are for users."""
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    return (
        fields
        | set(inspect.get_annotations(cls))
        | {
            name
            for name, value in vars(cls).items()
            if not name.startswith("_") and (callable(value) or isinstance(value, property))
        }
    )


@pytest.mark.parametrize("cls", [Question, Answer, Evidence, Explanation, Backbone, PictureTokens, Block])
def test_a_table_has_every_attribute_and_no_other(cls):
    section = sections()["explain" if cls is Explanation else cls.__name__]
    written = {name for row in rows(section) for name in named(row[0])}
    assert written == public(cls)


def options_of(cell: str) -> dict[str, str]:
    """Option and default, of a cell such as "those of `sepm`, `seed=0`"."""
    found = {}
    for other in re.findall(r"those of `(\w+)`", cell):
        found |= options_of(dict(row[:2] for row in rows(sections()["get_method"]))[f"`{other}`"])
    return found | dict(re.findall(r"`(\w+)=([^`]+)`", cell))


def defaults(call) -> dict[str, str]:
    found = inspect.signature(call).parameters.items()
    return {name: repr(parameter.default).replace("'", '"') for name, parameter in found}


def test_every_method_is_listed_with_its_options():
    listed = {row[0].strip("`"): options_of(row[1]) for row in rows(sections()["get_method"])}
    assert listed == {name: defaults(method) for name, method in methods.find_methods().items()}


def test_every_backbone_is_listed_with_its_options_and_checkpoint():
    listed = {row[0].strip("`"): (options_of(row[1]), row[3].strip("`")) for row in rows(sections()["load_backbone"])}
    assert listed == {
        name: (
            {key: repr(value).replace("'", '"') for key, value in model_wrappers.option_defaults(name).items()},
            model_wrappers.default_checkpoint(name),
        )
        for name in model_wrappers.backbone_names()
    }


def test_the_readme_names_every_method_and_option():
    table = rows(README.split("## What works today")[1].split("\n\n")[1])
    sepm = set(methods.method_options("sepm"))
    listed = {}
    for first, _, options, *_ in table:
        for name in named(first):
            listed[name] = named(options) | (sepm if "SEPM's" in options else set())
    assert set(listed) == set(methods.find_methods())
    for name, options in listed.items():
        assert set(methods.method_options(name)) <= options, name

"""The plan of ``sepm-eval run``: a YAML file that is checked before anything is loaded.

```yaml
tasks: [emotion6, emoset]
methods: [zero_shot, "sepm,beta=0.1"]
models:
  - model: sepm_llava
    args: {pretrained: llava-hf/llava-1.5-7b-hf}
    batch_size: 8
  - model: llava_hf            # any other model of lmms-eval answers the question as it is asked
    args: {pretrained: llava-hf/llava-1.5-7b-hf, device_map: auto}
```
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from sepm_eval.methods import Method, get_method
from sepm_eval.runs.identity import OUR_ENTRIES, decides, digest_of

MOST_ITEMS = 2**31 - 1
_LONGEST_NAME = 80  # characters of a model's or method's name in a file name
_PLAIN = re.compile(r"\w+(,\w+=[A-Za-z0-9.]+)*")


class ModelPlan(BaseModel):
    """One model of a plan; it is loaded once for all its methods.

    Attributes:
        model: lmms-eval's name of the model, such as sepm_llava or llava_hf.
        args: the arguments that --model_args would take, except method, journal, batch_size and resume.
        batch_size: number of questions read at once.
        methods: methods that replace those of the plan; a model that is not ours has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    args: dict[str, str | int | float | bool] = Field(default_factory=dict)
    batch_size: int = Field(default=1, ge=1, strict=True)
    methods: tuple[str, ...] | None = None

    @property
    def ours(self) -> bool:
        """Whether the model is one of our backbones, not one of lmms-eval's own models."""
        return self.model.startswith(OUR_ENTRIES)

    @property
    def backbone(self) -> str:
        """The backbone's name, if the model is one of ours."""
        return self.model.removeprefix(OUR_ENTRIES)

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the answers besides the methods: the model's name and those arguments that can change them."""
        return {"model": self.model, "args": {k: v for k, v in sorted(self.args.items()) if decides(k)}}

    @property
    def key(self) -> str:
        """A name for the model's files; models that may answer differently have different keys."""
        name = slug(f"{self.model}_{Path(str(self.args.get('pretrained', 'default'))).name}")
        return f"{name[:_LONGEST_NAME]}-{digest_of(self.decisive)[:8]}"

    @model_validator(mode="after")
    def _check(self) -> ModelPlan:
        taken = sorted({"method", "journal", "batch_size", "resume"} & self.args.keys())
        if taken:
            raise ValueError(f"args of {self.model} must not hold {taken}: the run sets them")
        if not self.ours and self.methods is not None:
            raise ValueError(f"{self.model} is not one of our models, so it has no methods")
        return self


class Plan(BaseModel):
    """A whole plan: every task is asked with every method on every model.

    Attributes:
        tasks: lmms-eval's names of the tasks.
        methods: the methods for every model of ours, each as "name,option=value".
        models: the models.
        limit: ask only the first ``limit`` items of each task; None asks all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] = ()
    models: tuple[ModelPlan, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1, le=MOST_ITEMS, strict=True)

    @model_validator(mode="after")
    def _check(self) -> Plan:
        twice = sorted({task for task in self.tasks if self.tasks.count(task) > 1})
        if twice:
            raise ValueError(f"tasks {twice} are named twice")
        keys = [model.key for model in self.models]
        if again := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"models {again} are named twice: put their methods into one entry")
        for model in self.models:
            if model.ours and not self.methods_of(model):
                raise ValueError(f"{model.model} needs methods, such as methods: [zero_shot, sepm]")
            chosen = [(text.partition(",")[0].strip(), parse_method(text)) for text in self.methods_of(model)]
            if any(chosen.count(one) > 1 for one in chosen):
                raise ValueError(f"{model.model}: a method is named twice in {list(self.methods_of(model))}")
            files = [method_key(text) for text in self.methods_of(model)]
            if len(set(files)) < len(files):
                raise ValueError(
                    f"{model.model}: two methods would share their files in {list(self.methods_of(model))}"
                )
        return self

    def methods_of(self, model: ModelPlan) -> tuple[str, ...]:
        """The methods that a model is asked with; empty for a model that is not ours."""
        if not model.ours:
            return ()
        return self.methods if model.methods is None else model.methods


def load_plan(name: str) -> Plan:
    """Load a plan from a file, or one that ships with the package ("table1").

    Raises:
        ValueError: there is no such plan, or it is invalid; the message names every fault.
    """
    path = Path(name).expanduser()
    shipped = shipped_plans()
    if _is_file(path):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8 text: {error}") from error
    elif name in shipped:
        text = shipped[name]
    else:
        raise ValueError(f"no plan {name!r}: give a YAML file, or one that ships with the package: {sorted(shipped)}")
    try:
        content = yaml.safe_load(text)
        twice = _named_twice(yaml.compose(text, Loader=yaml.SafeLoader), set())
    except Exception as error:  # PyYAML raises KeyError, AttributeError and others for hostile tags
        raise ValueError(f"{name} is not YAML: {error or type(error).__name__}") from error
    if twice:
        raise ValueError(f"{name} is no plan: {twice[0]!r} stands twice in one place, and only the last would count")
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        found = [fault for fault in error.errors() if fault["type"] != "too_short" or not fault["input"]]
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'plan'}: {_in_words(fault)}" for fault in found]
        raise ValueError(f"{name} is no plan:\n" + "\n".join(faults)) from error


def _in_words(fault: ErrorDetails) -> str:
    """Describe a fault of a plan in terms of YAML, because pydantic's messages name Python types."""
    given = fault["input"]
    shown = repr(given)[:100]
    match fault["type"]:
        case "tuple_type":
            return f"found {shown}; write a list" + (f": [{given[:100]}]" if isinstance(given, str) else "")
        case "model_type" | "dict_type":
            return f"found {shown}; write names with values, such as model: sepm_llava"
        case "string_type":
            return f"found {shown}; write text"
        case "too_short":
            return "is empty; name at least one"
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return f"there is no such setting; found {shown}"
        case "value_error":  # a message of our own validators
            return fault["msg"].removeprefix("Value error, ")
    return f"found {shown}; " + fault["msg"].replace("Input should", "it should")


def _is_file(path: Path) -> bool:
    """Whether a path is a file; False for a text that cannot be a path."""
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _named_twice(node: yaml.Node | None, seen: set[int]) -> list[str]:
    """Keys that occur more than once in a mapping: YAML forbids this, but PyYAML silently keeps the last value.

    Args:
        node: the node to search, with everything below it.
        seen: ids of the nodes that were searched already; changed.
    """
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:  # an alias gives a node several parents
        return []
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [key for child in node.value for key in _named_twice(child, seen)]
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    inside = [key for pair in node.value for child in pair for key in _named_twice(child, seen)]
    return [key for key in keys if keys.count(key) > 1] + inside


def shipped_plans() -> dict[str, str]:
    """The plans that ship with the package, as text by name."""
    folder = resources.files("sepm_eval") / "plans"
    return {
        Path(file.name).stem: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def parse_method(text: str) -> Method:
    """Make a method from its text in a plan or on the command line: "sepm,alpha=0.2,cci=False".

    Raises:
        ValueError: an unknown method or option, or a value out of range.
    """
    name, options = split_method(text)
    return get_method(name, **options)


def logged_options(text: str) -> dict[str, Any]:
    """The options of a method from its text in a plan, all of them, as JSON values as a log holds them.

    Raises:
        ValueError: see ``parse_method``.
    """
    return json.loads(json.dumps(dataclasses.asdict(parse_method(text))))


def split_method(text: str) -> tuple[str, dict[str, Any]]:
    """Split the text of a method into its name and its options.

    Raises:
        ValueError: an option does not have the form name=value, or is given twice.
    """
    name, *settings = text.split(",")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no option: write name=value")
        if key.strip() in options:
            raise ValueError(f"{text!r} gives {key.strip()} twice")
        value = value.strip()
        if value.lower() in ("true", "false"):
            value = value.capitalize()
        try:
            options[key.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval may raise
            options[key.strip()] = value
    return name.strip(), options


def slug(text: str) -> str:
    """Make a text usable as a file name: "sepm,beta=0.1" -> "sepm_beta-0.1"."""
    parts = (re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") for part in text.split(","))
    return "_".join(parts)


def method_key(text: str) -> str:
    """A name for the files of a method: its text as ``slug`` writes it, and a digest if that would not be unique."""
    told = slug(text)
    if len(told) <= _LONGEST_NAME and _PLAIN.fullmatch(text):
        return told
    name, options = split_method(text)
    return f"{told[:_LONGEST_NAME]}-{digest_of([name, {key: str(value) for key, value in options.items()}])[:8]}"

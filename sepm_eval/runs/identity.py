"""One value for what decides a run's answers: who answers, and how.

It is made in one place when a model is ready to answer, travels with every answer (journal, sample log), and is asked
by everything that tells runs apart: result folders, journals, reports, comparisons, submissions, "is it done already".
A setting joins by standing in one of its fields. What it was asked (items, labels, pictures, wording) is the other half
and stands with the run (``Run.exam``); together they say whether two numbers may stand in one column.

``answering`` is how the half that a host knows nothing of reaches its logs: whoever lets a model answer says so there,
and the tasks' ``process_results`` writes it down beside each answer.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

Setting: TypeAlias = "str | int | float | bool | list[Any] | dict[str, Any] | None"

OUR_ENTRIES = "sepm_"  # how the hosts' names of our models begin; the backbone's follows

# Arguments of a model on which no answer depends: where and how fast it runs, and what is kept of it.
PLACEMENT = frozenset({"batch_size", "device", "device_map", "journal", "max_batch_size", "max_memory", "resume"})


_SECRET = re.compile(
    r"(\w*_)?(api_?key|access_?key|secret_?key|secret|password|credentials?|api_?token|auth_?token)|key|token"
    r"|(hf|hub|access|bearer|huggingface\w*)_?token",
    re.IGNORECASE,
)


def decides(argument: str) -> bool:
    """Whether an answer may depend on an argument of a model: not on those of ``PLACEMENT``, nor on a secret."""
    return argument not in PLACEMENT and not is_secret(argument)


def is_secret(argument: str) -> bool:
    """Whether an argument, such as api_key or hf_token, must not be written down or shown."""
    return _SECRET.fullmatch(argument) is not None


@dataclass(frozen=True)
class Identity:
    """Who answers.

    Attributes:
        entry: the host's name of the model ("sepm_llava", "llava_hf").
        checkpoint: as the user named it.
        revision: what identifies its weights: a hub commit or a digest of the files; "" if it is not known.
        model: every setting of the model that decides an answer (dtype, template, preprocessing ...), at its value; of
            a model that is not ours, its arguments and how it was told to generate.
        method: our method's name; "" for a model that is not ours.
        options: all options of the method, at their values.
        polarity: labels whose polarity was set by hand.
        versions: of the packages that decide an answer.
        weights: what identifies weights that the method loads besides the model's, by the option that names them.
    """

    entry: str
    checkpoint: str
    revision: str = ""
    model: Mapping[str, Setting] = field(default_factory=dict)
    method: str = ""
    options: Mapping[str, Setting] = field(default_factory=dict)
    polarity: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """What two runs share if and only if their identities are equal: 64 hexadecimal digits."""
        return digest_of(self.content())

    @cached_property
    def of_model(self) -> Identity:
        """The same without the method: whose runs belong into one table."""
        return Identity(self.entry, self.checkpoint, self.revision, self.model, versions=self.versions)

    @property
    def key(self) -> str:
        """A short form of the model's part, for names of files."""
        return self.of_model.digest[:8]

    def content(self) -> dict[str, Any]:
        """All of it as JSON has it. Of a method without weights of its own nothing is said of these."""
        found = asdict(self)
        return found if self.weights else {key: value for key, value in found.items() if key != "weights"}

    def as_json(self) -> dict[str, Any]:
        """The identity as JSON has it, with its digest."""
        return {**self.content(), "digest": self.digest}

    def fields(self) -> dict[str, Setting]:
        """Every single setting by name, "model.dtype" and so on: what two identities can differ in."""
        flat: dict[str, Setting] = {}
        for name, value in self.content().items():
            flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        return flat


def from_json(content: Any) -> Identity:
    """An identity read back from a log.

    Raises:
        ValueError: it is none, or it was changed: its digest does not fit.
    """
    texts = ("entry", "checkpoint", "revision", "method")
    tables = ["model", "options", "polarity", "versions"]
    tables += ["weights"] if isinstance(content, dict) and "weights" in content else []
    whole = isinstance(content, dict) and content.keys() == {*texts, *tables, "digest"}
    if not whole or not all(isinstance(content[k], str) for k in texts):
        raise ValueError(f"it is no identity of a run: {str(content)[:200]}")
    if not all(isinstance(content[key], dict) for key in tables):
        raise ValueError(f"it is no identity of a run: {str(content)[:200]}")
    found = Identity(**{key: content[key] for key in (*texts, *tables)})
    if found.digest != content["digest"]:
        raise ValueError(f"the identity of {found.checkpoint!r}, {found.method or found.entry}, was changed by hand")
    return found


def digest_of(value: Any) -> str:
    """SHA-256 of a value as canonical JSON.

    Raises:
        ValueError: it holds NaN or infinity, which are no JSON.
        TypeError: it holds something else that is no JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def exam_digest(task: str, item_list: str, items: str, questions: Iterable[str]) -> str:
    """What two runs share if and only if they were asked the same: the other half of what tells runs apart.

    Args:
        task: its name.
        item_list: the name of the list.
        items: ``item_sets.item_set_digest`` of ids, labels and pictures.
        questions: the questions asked, word for word.
    """
    return digest_of([task, item_list, items, sorted(set(questions))])


def differences(identities: list[Identity]) -> list[str]:
    """Names of the settings in which any two of these differ, as in ``Identity.fields``."""
    tables = [identity.fields() for identity in identities]
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if len({digest_of(table.get(name)) for table in tables}) > 1]


class _Answering:
    """Who answers in this process now, and what became of each document."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        self._keys: Mapping[tuple[str, str], str] = {}
        self._facts: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        self._told: set[tuple[str, str]] = set()

    def start(
        self,
        identity: Identity | None,
        keys: Mapping[tuple[str, str], str] | None = None,
        facts: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    ) -> None:
        """Say who answers from here on.

        Args:
            identity: None if it is not known.
            keys: by benchmark and item, the key of the journal record that holds the answer; filled in as answers come.
            facts: by benchmark and item, what else is to stand beside the answer (``Runner.facts``), likewise.
        """
        with self._lock:
            self._identity, self._keys, self._told = identity, keys if keys is not None else {}, set()
            self._facts = facts if facts is not None else {}

    def stamp(self, benchmark: str, item: str) -> dict[str, Any]:
        """What is to stand beside an answer in a log: whose it is, and which journal record it came from.

        The whole identity stands once in each process's share of a log; its digest everywhere.
        """
        with self._lock:
            if self._identity is None:
                return {}
            found: dict[str, Any] = {"run": self._identity.digest}
            if key := self._keys.get((benchmark, item)):
                found["record"] = key
            found |= self._facts.get((benchmark, item), {})
            if (self._identity.digest, benchmark) not in self._told:
                self._told.add((self._identity.digest, benchmark))
                found["identity"] = self._identity.as_json()
            return found


answering = _Answering()

"""The identity of a run: one value that holds everything about the model and the method that decides the answers.

The identity is made in one place, when a model is ready to answer, and is stored with every answer (journal, samples
log). Everything that has to tell runs apart uses it: result folders, journals, reports, comparisons, submissions, and
the check whether a run is already done. To make a new setting count, put it into one of the identity's fields. What a
run was asked (items, labels, pictures, wording) is not part of the identity but of the run (``Run.exam``); only
together do identity and exam decide whether two numbers may be compared in one column.

A host does not know the identity. So the code that lets a model answer registers it in ``answering``, and the tasks'
``process_results`` writes it into the host's log beside each answer.
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

OUR_ENTRIES = "sepm_"  # prefix of our models' names in the hosts; the backbone's name follows

# Model arguments that cannot change an answer: where and how fast the model runs, and what is recorded.
PLACEMENT = frozenset({"batch_size", "device", "device_map", "journal", "max_batch_size", "max_memory", "resume"})


_SECRET = re.compile(
    r"(\w*_)?(api_?key|access_?key|secret_?key|secret|password|credentials?|api_?token|auth_?token)|key|token"
    r"|(hf|hub|access|bearer|huggingface\w*)_?token",
    re.IGNORECASE,
)


def decides(argument: str) -> bool:
    """Whether an answer may depend on a model argument: true of all but secrets and those in ``PLACEMENT``."""
    return argument not in PLACEMENT and not is_secret(argument)


def is_secret(argument: str) -> bool:
    """Whether an argument is a secret, such as api_key or hf_token, which must not be written to a file or shown."""
    return _SECRET.fullmatch(argument) is not None


@dataclass(frozen=True)
class Identity:
    """The model and the method that answer, with all settings that decide an answer.

    Attributes:
        entry: the host's name of the model ("sepm_llava", "llava_hf").
        checkpoint: the checkpoint as the user named it.
        revision: identifies the checkpoint's weights: a hub commit or a digest of the files; "" if it is not known.
        model: values of all model settings that decide an answer (dtype, chat template, preprocessing ...); for a model
            that is not ours, its arguments and its generation settings.
        method: our method's name; "" for a model that is not ours.
        options: all options of the method with their values.
        polarity: by label, polarities that were set by hand.
        versions: by package, versions of the packages that can change an answer.
        weights: identifies the weights that the method loads besides the model's, by the option that names them.
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
        """SHA-256 of the identity, 64 hexadecimal digits; two identities are equal if and only if their digests are."""
        return digest_of(self.content())

    @cached_property
    def of_model(self) -> Identity:
        """This identity without the method and its settings; runs that share it belong in one table."""
        return Identity(self.entry, self.checkpoint, self.revision, self.model, versions=self.versions)

    @property
    def key(self) -> str:
        """The first 8 digits of the digest of ``of_model``, for file names."""
        return self.of_model.digest[:8]

    def content(self) -> dict[str, Any]:
        """All fields as JSON values; ``weights`` is left out if the method has no weights of its own."""
        found = asdict(self)
        return found if self.weights else {key: value for key, value in found.items() if key != "weights"}

    def as_json(self) -> dict[str, Any]:
        """The fields of ``content`` and the digest, as JSON values."""
        return {**self.content(), "digest": self.digest}

    def fields(self) -> dict[str, Setting]:
        """Every single setting by its full name, such as "model.dtype"; used to name what two identities differ in."""
        flat: dict[str, Setting] = {}
        for name, value in self.content().items():
            flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        return flat


def from_json(content: Any) -> Identity:
    """Read an identity back from a log.

    Raises:
        ValueError: the content is no identity, or its digest does not match because it was changed.
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
        ValueError: the value holds NaN or infinity, which JSON does not have.
        TypeError: the value holds something else that JSON cannot represent.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def exam_digest(task: str, item_list: str, items: str, questions: Iterable[str]) -> str:
    """Digest of what a run was asked: two runs have the same one if and only if they were asked the same.

    Args:
        task: the task's name.
        item_list: name of the item list.
        items: ``item_sets.item_set_digest`` of ids, labels and pictures.
        questions: ``item_sets.tied_questions`` of what was asked.
    """
    return digest_of([task, item_list, items, sorted(set(questions))])


def differences(identities: list[Identity]) -> list[str]:
    """Names, as in ``Identity.fields``, of the settings that are not the same in all of these identities."""
    tables = [identity.fields() for identity in identities]
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if len({digest_of(table.get(name)) for table in tables}) > 1]


class _Answering:
    """Holds which identity is answering in this process, and the journal keys and facts of its answers."""

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
        """Set which identity answers from now on.

        Args:
            identity: the identity; None if it is not known.
            keys: by benchmark and item, the key of the journal record that holds the answer; the caller fills it in
                while answers arrive.
            facts: by benchmark and item, more fields to log beside the answer (``Runner.facts``); filled in likewise.
        """
        with self._lock:
            self._identity, self._keys, self._told = identity, keys if keys is not None else {}, set()
            self._facts = facts if facts is not None else {}

    def stamp(self, benchmark: str, item: str) -> dict[str, Any]:
        """Fields to log beside an answer: who gave it, the key of its journal record, and its facts.

        The digest of the identity is logged with every answer, the whole identity only with the first answer that a
        process gives to a benchmark.
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

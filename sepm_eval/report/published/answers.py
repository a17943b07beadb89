"""Published answers and their verdicts, by the project's rule and by ours."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from sepm_eval import emotions
from sepm_eval.parsing import Options, parse_answer
from sepm_eval.scoring import is_failure

Tally = Mapping[str, tuple[int, int]]
"""For each group, the number of right answers and the number of questions."""

_WORDS_OF_PROSE = frozenset({"no"})  # read as an option only with a capital letter


@dataclass(frozen=True)
class Published:
    """An answer as a project published it.

    Attributes:
        item: the question's id.
        group: the question's group; the project's score is made of the accuracies of groups.
        text: what the model wrote.
        options: the texts of the options, from A on.
        target: letter of the right option.
        theirs: letter of the option that the project's rule reads; "" if it reads none, or only the verdict is known.
        right: the verdict of the project's rule.
        lettered: whether the question shows the options with letters, so that a letter is an answer.
        subject: what the question calls the thing that is judged, such as "statement"; in the text, our rule reads this
            word as "answer".
    """

    item: str
    group: str
    text: str
    options: tuple[str, ...]
    target: str
    theirs: str
    right: bool
    lettered: bool = True
    subject: str = ""

    @cached_property
    def ours(self) -> str | None:
        """Letter of the option that the text states by the grammar of docs/answers.md; None if it states none."""
        text = re.sub(rf"\b{self.subject}\b", "answer", self.text, flags=re.IGNORECASE) if self.subject else self.text
        found = _stated(text, self.options)
        if found is None or self.lettered:
            return found
        # With the options moved up by one letter, a name still means the same option, and a letter means another one.
        turned = _stated(text, (*self.options[1:], self.options[0]))
        name = self.options[ascii_uppercase.index(found)]
        same = turned is not None and (*self.options[1:], self.options[0])[ascii_uppercase.index(turned)] == name
        return found if same else None

    @property
    def status(self) -> str:
        """The verdict of our rule: "right", "wrong", "unparsed" (states no option) or "failed" (no answer at all)."""
        if is_failure(self.text):
            return "failed"
        return "unparsed" if self.ours is None else "right" if self.ours == self.target else "wrong"

    @property
    def disputed(self) -> bool:
        """Whether the two rules differ in the verdict, or in the option where both are known."""
        if self.right != (self.status == "right"):
            return True
        return bool(self.theirs) and self.theirs != (self.ours or "")


def _stated(text: str, options: Sequence[str]) -> str | None:
    """The letter of the option that a text states.

    Our grammar reads names of emotions. Any other option ("The second picture.", "No.") is first replaced by one word
    that means nothing, so that the words it is made of are not read on their own.
    """
    names = []
    for letter, option in zip(ascii_uppercase, options, strict=False):
        name = option.strip().rstrip(".").strip()
        if emotions.label_of(name) is None:
            word = f"option{letter.lower()}name"
            exact = re.escape(name.capitalize() if name.lower() in _WORDS_OF_PROSE else name)
            flags = 0 if name.lower() in _WORDS_OF_PROSE else re.IGNORECASE
            text = re.sub(rf"(?<!\w){exact}(?!\w)", word, text, flags=flags)
            name = word
        names.append(name)
    labels = tuple(emotions.label_of(name) or name for name in names)
    return parse_answer(text, Options(labels, tuple(names)))


@dataclass(frozen=True)
class AnswerFile:
    """One model's answers to one benchmark.

    Attributes:
        path: the file.
        model: what the project calls the model.
        benchmark: which questions were asked.
        answers: the model's answers to questions with options.
        score: a function that computes the project's figures from the right answers and questions of each group.
        left_out: how many of the answers do not count, such as those to questions without options.
    """

    path: Path
    model: str
    benchmark: str
    answers: tuple[Published, ...]
    score: Callable[[Tally], dict[str, float]] = field(repr=False)
    left_out: int = 0

    def figures(self) -> list[tuple[str, float, float]]:
        """Name, value by the project's rule and value by our rule, in percent, of each figure of the project's score.

        Our rule counts an unparsed answer as wrong, and leaves out a failed one.
        """
        theirs = self.score(self._tally(self.answers, lambda one: one.right))
        scored = [one for one in self.answers if one.status != "failed"]
        ours = self.score(self._tally(scored, lambda one: one.status == "right"))
        return [(name, 100 * value, 100 * ours.get(name, float("nan"))) for name, value in theirs.items()]

    def _tally(self, answers: Sequence[Published], right: Callable[[Published], bool]) -> Tally:
        groups = dict.fromkeys(one.group for one in answers)
        return {
            group: (
                sum(right(one) for one in answers if one.group == group),
                sum(one.group == group for one in answers),
            )
            for group in groups
        }

    def count(self, status: str) -> int:
        """How many answers are "right", "wrong", "unparsed" or "failed" by our rule."""
        return sum(one.status == status for one in self.answers)

    @property
    def disputed(self) -> list[Published]:
        """The answers on which the two rules differ."""
        return [one for one in self.answers if one.disputed]


def by_group(tally: Tally) -> dict[str, float]:
    """The accuracy of every group that has questions."""
    return {group: right / n for group, (right, n) in tally.items() if n}


def of_all(tally: Tally) -> float:
    """The accuracy over all questions."""
    return sum(right for right, _ in tally.values()) / sum(n for _, n in tally.values())


def groups_and_mean(tally: Tally) -> dict[str, float]:
    """The accuracy of every group, and their unweighted mean, "overall"."""
    groups = by_group(tally)
    return {**groups, "overall": mean(list(groups.values()))} if groups else {}


def mean(values: Sequence[float]) -> float:
    """The unweighted mean."""
    return sum(values) / len(values)


def json_files(folder: Path, pattern: str, project: str) -> Iterator[tuple[Path, Any]]:
    """Yield the JSON files of a project below a folder, each with its content.

    Raises:
        ValueError: there is no such file, or one is not JSON; the message says what was looked for and what is there.
    """
    paths = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    if not paths:
        there = sorted({path.name for path in folder.rglob("*") if path.is_file()})[:5] or "no files"
        raise ValueError(
            f"{folder} has no file {pattern!r}, which is how {project} names its answers; there are {there}"
        )
    for path in paths:
        try:
            yield path, json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error


def field_of(record: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Read a field of a published record.

    Raises:
        ValueError: the field is missing or has another type; the message names the file, the record and its fields.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected an object, found {_short(record)}")
    if not isinstance(record.get(key), kind):
        kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        found = f"it is {_short(record[key])}" if key in record else f"there are {sorted(record)}"
        raise ValueError(f"{where}: expected {key!r}, a {kinds}; {found}")
    return record[key]


def listed_options(found: Any) -> tuple[str, ...] | None:
    """Read options by letter, from A on, as EEmo-Bench lists them: a dictionary, or the text of a Python dictionary.

    Returns:
        Their texts; None if it is no such dictionary with at least two options.
    """
    try:
        options = ast.literal_eval(found) if isinstance(found, str) else found
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(options, dict) or [*options] != [*ascii_uppercase[: len(options)]] or len(options) < 2:
        return None
    return tuple(map(str, options.values()))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."

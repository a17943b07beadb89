"""MVEI_PLUS (Wu et al., 2026): the predictions in ``baselines/`` of wudq/MVEI_PLUS, of four benchmarks.

The layout and the graders are those of wdqqdw/EmObserver, ``evaluate/`` (commit d3f80b0); the published files
themselves could not be looked at. There is one JSON object for each model and benchmark,
``MODEL/Std_BENCHMARK_results.json``, which maps an id to the prompt, the ground truth, other information and what the
model wrote. The graders here are new code that does what the project's graders do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from sepm_eval.report.published.answers import (
    AnswerFile,
    Published,
    Tally,
    by_group,
    field_of,
    groups_and_mean,
    json_files,
    listed_options,
    mean,
    of_all,
)

PATTERN = "Std_*_results.json"
TARGET, TEXTS, ABOUT, PROMPT = "ground_truth", "generations", "other_info", "prompt"
CANDIDATES, TASK, QUESTION_TYPE, STATEMENT, CLASS = "candidates", "task", "question_type", "statement_meta", "class"
EEMO_LETTERS = "ABCD"
EEMO_TYPES = {"Yes-or-No": "yes or no", "What/How": "what or how"}
TASKS = {  # VECBench's tasks, by the kinds over which accuracies are averaged
    "in-domain emotions": ("EmoSet-8", "FI-8", "WebEmo-25", "WebEmo-7"),
    "in-domain polarity": ("FI-2", "WebEmo-2"),
    "out of domain": ("UnbiasedEmo-6", "Abstract-8", "Artphoto-8"),
}
MISSPELT = {"UnbaisedEmo-6": "UnbiasedEmo-6"}

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_BRACES = re.compile(r"\{[^{}]*\}")


def read(folder: Path) -> list[AnswerFile]:
    """Read the answers below a folder.

    Raises:
        ValueError: there are none, or they are in another layout.
    """
    return [_file(path, content) for path, content in json_files(folder, PATTERN, "MVEI_PLUS")]


def _file(path: Path, content: Any) -> AnswerFile:
    benchmark = path.name.removeprefix("Std_").removesuffix("_results.json")
    make, score = next((value for start, value in _BENCHMARKS.items() if benchmark.startswith(start)), (None, None))
    if make is None or score is None:
        raise ValueError(f"{path}: expected answers to one of {', '.join(_BENCHMARKS)}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object with one record an id, found a {type(content).__name__}")
    answers = [_answer(make, str(item), record, f"{path}, {item!r}") for item, record in content.items()]
    return AnswerFile(path, path.parent.name, benchmark.replace("_", " "), tuple(answers), score)


def _answer(make: Callable[..., Published], item: str, record: Any, where: str) -> Published:
    texts = field_of(record, TEXTS, list, where)
    if texts and not isinstance(texts[0], str):
        raise ValueError(f"{where}: {TEXTS} holds {type(texts[0]).__name__}s, not texts")
    text = texts[0] if texts else ""  # of several texts only the first is graded
    return make(item, record, text, field_of(record, TARGET, str, where), where)


def answer_part(text: str) -> tuple[str, bool]:
    """The part of a text that the graders read, and whether it was inside an answer tag that is closed."""
    if found := _ANSWER.search(text):
        return found[1], True
    tag = max(("<answer>", "</think>"), key=text.lower().rfind)
    start = text.lower().rfind(tag)
    return (text[start + len(tag) :], False) if start >= 0 else (text, False)


def _has_letter(letter: str, text: str) -> bool:
    """Whether the graders find a letter: the capital anywhere, or the small letter with no letter next to it."""
    small = rf"(?<![A-Za-z]){letter.lower()}(?![A-Za-z])"
    return letter in text or re.search(small, text) is not None


def _mvei(item: str, record: Any, text: str, target: str, where: str) -> Published:
    """Grade the judgement of a statement about a picture: A is "correct", B "incorrect".

    The grader looks for these two words, then for the letters A and B; a text with none of them is wrong.
    """
    said = answer_part(text)[0]
    lower = said.lower()
    if not said:
        theirs = ""
    elif "correct" in lower:
        theirs = "B" if "incorrect" in lower else "A"
    else:
        theirs = next((letter for letter in "AB" if _has_letter(letter, said)), "")
    about = field_of(field_of(record, ABOUT, dict, where), STATEMENT, dict, where)
    right = {"correct": "A", "incorrect": "B"}.get(target.strip().lower())
    if right is None:
        raise ValueError(f"{where}: {TARGET} is {target!r}, neither 'correct' nor 'incorrect'")
    group = field_of(about, CLASS, str, where)
    return Published(item, group, text, ("Correct", "Incorrect"), right, theirs, theirs == right, subject="statement")


def _eemo(item: str, record: Any, text: str, target: str, where: str) -> Published:
    """Grade a question with lettered options: the first letter found in the text, even inside a word; if none, A.

    An answer is right, whatever its letters, if its answer tag is closed and contains the text of the right option.
    """
    options = _options(field_of(record, PROMPT, str, where))
    letter = target.strip()
    if letter not in ascii_uppercase[: len(options)]:
        raise ValueError(f"{where}: {TARGET} is {target!r}, and the options are {list(options)}")
    said, tagged = answer_part(text)
    name = options[ascii_uppercase.index(letter)]
    theirs = next((one for one in EEMO_LETTERS if _has_letter(one, said)), "A")
    if tagged and name and name.lower() in said.lower():
        theirs = letter
    kind = field_of(field_of(record, ABOUT, dict, where), QUESTION_TYPE, str, where)
    if kind not in EEMO_TYPES:
        raise ValueError(f"{where}: {QUESTION_TYPE} is {kind!r}, none of {list(EEMO_TYPES)}")
    return Published(item, EEMO_TYPES[kind], text, options, letter, theirs, theirs == letter)


def _options(prompt: str) -> tuple[str, ...]:
    """The options in the last braces of a prompt, as a Python dictionary; without one, letters that have no names."""
    braces = _BRACES.findall(prompt)
    options = listed_options(braces[-1]) if braces else None
    return options or tuple(f"option {letter}" for letter in EEMO_LETTERS)


def _vecbench(item: str, record: Any, text: str, target: str, where: str) -> Published:
    """Grade a choice among names: the first candidate in the list whose name the text contains; if none, the first."""
    about = field_of(record, ABOUT, dict, where)
    names = tuple(map(str, field_of(about, CANDIDATES, list, where)))
    if target not in names:
        raise ValueError(f"{where}: {TARGET} is {target!r}, none of {list(names)}")
    said = answer_part(text)[0].lower()
    theirs = next((name for name in names if name.lower() in said), names[0])
    task = field_of(about, TASK, str, where)
    task = MISSPELT.get(task, task)
    if not any(task in tasks for tasks in TASKS.values()):
        raise ValueError(f"{where}: {TASK} is {task!r}, none of {[one for tasks in TASKS.values() for one in tasks]}")
    letters = dict(zip(names, ascii_uppercase, strict=False))
    return Published(item, task, text, names, letters[target], letters[theirs], theirs == target, lettered=False)


def _mvei_score(tally: Tally) -> dict[str, float]:
    return {"all": of_all(tally), **by_group(tally)} if tally else {}


def _vecbench_score(tally: Tally) -> dict[str, float]:
    """Accuracy of every task, unweighted mean of each kind of task, and mean of these means, for tasks with answers."""
    groups = by_group(tally)
    kinds = {kind: [groups[task] for task in tasks if task in groups] for kind, tasks in TASKS.items()}
    means = {kind: mean(values) for kind, values in kinds.items() if values}
    whole = {"all": mean(list(means.values()))} if means else {}
    return {**groups, **means, **whole}


_BENCHMARKS: dict[str, tuple[Callable[..., Published], Callable[[Tally], dict[str, float]]]] = {
    "MVEI": (_mvei, _mvei_score),
    "EEmo_Bench": (_eemo, groups_and_mean),
    "VECBench": (_vecbench, _vecbench_score),
}

READERS = {"mvei-plus": read}

"""EEmo-Bench (Gao et al., ACM Multimedia 2025): the answers in ``leaderboards/`` of workerred/EEmo-Bench.

The layout is that of commit e10bfa9, read from the files of image pairs. The files of single images are larger and
could not be looked at; they are assumed to be alike. There is one JSON list for each model and kind of question,
"EEmo-Bench(MODEL-pair).json". The project publishes its verdict on every answer but not its grader, so it is known
whether an answer was right for it, but not which option it read. The accuracies are those of its table (checked for
pairs, seven models).
"""

from __future__ import annotations

import re
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from sepm_eval.report.published.answers import (
    AnswerFile,
    Published,
    field_of,
    groups_and_mean,
    json_files,
    listed_options,
)

PATTERN = "EEmo-Bench(*).json"
KINDS = ("single", "pair")
QUESTION_TYPE, OPTIONS, TARGET, ITEM = "question_type", "options", "correct_answer", "id"
RESPONSE, VERDICT = "response({})", "eval_result({})"  # with a model's name, not always that of the file
CHOICE = {"Yes-or-No": "yes or no", "What/How": "what or how"}  # the question types with options, and their groups
OTHERS = ("Open_ended", "Ranking")
# In two files the verdict on this question is a list of marks from 0 to 2, as for a question without options.
NOT_IN_THE_TABLE = {("pair", 220)}

_RESPONSE = re.compile(r"response\((.*)\)")


def read(folder: Path) -> list[AnswerFile]:
    """Read the answers below a folder.

    Raises:
        ValueError: there are none, or they are in another layout.
    """
    return [_file(path, content) for path, content in json_files(folder, PATTERN, "EEmo-Bench")]


def _file(path: Path, content: Any) -> AnswerFile:
    kind = path.stem.removesuffix(")").rpartition("-")[2]
    if kind not in KINDS:
        raise ValueError(f"{path}: the name says neither {' nor '.join(KINDS)}: expected EEmo-Bench(MODEL-pair).json")
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: expected a list of questions, found a {type(content).__name__}")
    keys = content[0] if isinstance(content[0], dict) else {}
    model = next((found[1] for key in keys if (found := _RESPONSE.fullmatch(key))), None)
    if model is None:
        raise ValueError(
            f"{path}, question 1: expected an answer called {RESPONSE.format('MODEL')!r}; there are {[*keys]}"
        )
    answers, left_out = [], 0
    for number, record in enumerate(content, start=1):
        where = f"{path}, question {number}"
        asked = field_of(record, QUESTION_TYPE, str, where)
        if asked not in CHOICE and asked not in OTHERS:
            raise ValueError(f"{where}: {QUESTION_TYPE} is {asked!r}, none of {[*CHOICE, *OTHERS]}")
        marked = isinstance(record.get(VERDICT.format(model)), list)
        if asked in OTHERS or marked or (kind, record.get(ITEM)) in NOT_IN_THE_TABLE:
            left_out += 1
        else:
            answers.append(_answer(record, model, CHOICE[asked], where))
    return AnswerFile(path, model, f"EEmo-Bench, {kind}", tuple(answers), groups_and_mean, left_out)


def _answer(record: Any, model: str, group: str, where: str) -> Published:
    options = _options(field_of(record, OPTIONS, (str, dict), where), where)
    target = field_of(record, TARGET, str, where)
    if target not in ascii_uppercase[: len(options)]:
        raise ValueError(f"{where}: {TARGET} is {target!r}, and the options are {list(options)}")
    verdict = field_of(record, VERDICT.format(model), int, where)
    if verdict not in (0, 1):
        raise ValueError(f"{where}: {VERDICT.format(model)} is {verdict!r}, neither 0 nor 1")
    text = field_of(record, RESPONSE.format(model), str, where)
    return Published(str(record.get(ITEM)), group, text, options, target, "", bool(verdict))


def _options(found: str | dict[str, Any], where: str) -> tuple[str, ...]:
    """The texts of the options from A on, which are published as the text of a Python dictionary."""
    options = listed_options(found)
    if options is None:
        raise ValueError(f"{where}: expected options A, B, ... with their texts, found {found!r}")
    return options


READERS = {"eemo-bench": read}

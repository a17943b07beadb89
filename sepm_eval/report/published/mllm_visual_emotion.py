"""MLLMVisualEmotion (Su et al., "Reading Human Emotion Through Machine Eyes"): its model outputs.

The layout is that of the project's code (YushuoSu/MLLMVisualEmotion, commit 4f1a08f); the published files, in a data
set of the same name on the Hub, could not be looked at. There is one JSON object for each model and kind of question,
``MODEL/DATASET/images_*_results.json``, with the questions, what the model wrote, and counts. The project's rule reads
the last letter in round brackets; an answer without one is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from sepm_eval.report.published.answers import AnswerFile, Published, Tally, field_of, json_files, of_all

PATTERN = "*_results.json"
SAMPLES, ITEM, QUESTION, TARGET, TEXT = "samples", "idx", "query", "answer", "model_output"
READ, VERDICT, NOTHING_READ = "AI_answer", "accuracy", "Extraction failed"
LETTERS = ascii_uppercase[:10]  # the project looks for no others

_LETTER = re.compile(rf"\(([{LETTERS}])\)")
_OPTION = re.compile(rf"\(([{LETTERS}])\)[ \t]*([^\s()][^()\n]*)")
_NEXT_SENTENCE = re.compile(r"(?<=[.;])\s+(?=[A-Z])")


def read(folder: Path) -> list[AnswerFile]:
    """Read the answers below a folder.

    Raises:
        ValueError: there are none, or they are in another layout.
    """
    return [_file(path, content) for path, content in json_files(folder, PATTERN, "MLLMVisualEmotion")]


def score(tally: Tally) -> dict[str, float]:
    """Accuracy over all questions."""
    return {"all": of_all(tally)} if tally else {}


def _file(path: Path, content: Any) -> AnswerFile:
    records = field_of(content, SAMPLES, list, str(path))
    answers = [_answer(record, f"{path}, question {number}") for number, record in enumerate(records, start=1)]
    kind = path.name.removeprefix("images_").removesuffix("_results.json").replace("_", " ")
    return AnswerFile(path, path.parent.parent.name, f"{path.parent.name}, {kind}", tuple(answers), score)


def _answer(record: Any, where: str) -> Published:
    target, theirs = (_letter(record, key, where) for key in (TARGET, READ))
    verdict = field_of(record, VERDICT, (int, float), where)
    if verdict not in (0, 1):
        raise ValueError(f"{where}: {VERDICT} is {verdict!r}, neither 0 nor 1")
    options = options_of(field_of(record, QUESTION, str, where))
    if not target or target not in ascii_uppercase[: len(options)]:
        raise ValueError(f"{where}: {TARGET} is {record[TARGET]!r}, and the options are {list(options)}")
    text = field_of(record, TEXT, str, where)
    return Published(str(record.get(ITEM)), "all", text, options, target, theirs, bool(verdict))


def _letter(record: Any, key: str, where: str) -> str:
    """Read a letter in brackets from a field, as the project writes it; "" if the project read no letter."""
    found = field_of(record, key, str, where)
    letter = _LETTER.fullmatch(found.strip())
    if letter is None and (key == TARGET or found != NOTHING_READ):
        raise ValueError(f"{where}: {key} is {found!r}, no letter in brackets such as '(C)'")
    return letter[1] if letter else ""


def options_of(question: str) -> tuple[str, ...]:
    """The options that a question lists as "(A) anger", from A on; if it lists none like that, letters without names.

    The list may be on one line or on several. Letters that the question repeats after the list are no options, and a
    sentence after the last option is no part of its text.
    """
    found: list[str] = []
    for letter, name in _OPTION.findall(question):
        if letter == LETTERS[len(found) : len(found) + 1]:
            found.append(_NEXT_SENTENCE.split(name)[0].strip().strip(",;.").strip())
    return tuple(found) if len(found) > 1 else tuple(f"option {letter}" for letter in LETTERS)


READERS = {"mllm-visual-emotion": read}

"""EEmo-Bench, single pictures: questions on the emotions that a picture evokes (Gao et al., ACM MM 2025).

The release (hub Workerred/EEmo-Bench_single) is a JSON list of questions and a folder ``images``. These fields of an
entry are used: ``id``, ``image_url`` (the file's name), ``question``, ``options`` (a table of letters and texts, as a
Python literal), ``correct_answer`` (a letter), ``question_type`` and ``perceptual_dimension``, which may be absent.
The fields are known from the authors' published answers to the questions on pairs of pictures, and from the script that
asks the questions on single ones; we could not look at the list itself.

``eemo_single`` asks the perception questions of the types "Yes-or-No" and "What/How". Open questions have no options to
score, and are left out. If an entry has a text like "Ranking:{'Anger': 33, ...} ... Valence:5.33 Arousal:6.44
Dominance:5.44", its ranking of the three strongest emotions and its valence, arousal and dominance of the picture
become the columns ``ranking`` and ``vad`` of the item. Three benchmarks ask for them, for every picture that has them;
a picture is called by its path below ``images``, and entries that contradict each other are refused:

* ``eemo_emotion``: which of seven emotions is ranked first.
* ``eemo_ranking``: which is first, second and third, with a question for each. The authors instead let the model write
  three emotions in order.

  The order is that of the numbers. An emotion with the number 0 has no place. Where two emotions have the same number,
  their places have no single right answer, so these places are not asked, and a picture with two strongest emotions is
  not in ``eemo_emotion``.
* ``eemo_vad``: valence, arousal and dominance, with a question for each that offers three levels. The label is the
  third of the scale from 1 to 9 in which the mean of people's ratings lies; ``rating`` is this mean. The authors'
  README instead computes a number from the probabilities of three words ("Positive", "Neutral" and "Negative" for
  valence, with the values 1, 0.5 and 0) after a sentence that is begun for the model. Their words for arousal and
  dominance are in their paper, which we do not have; the outer levels here are from the README's description of the
  scales ("intense" to "calm", "powerful" to "helpless").

In ``eemo_single`` a letter stands for a different text in each question, so a label is the place of an option:
option_a, option_b ...
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from sepm_eval.datasets import Benchmark, HubCopy, Item, MissingData, OwnQuestion, read_text, safe_path, whole
from sepm_eval.emotions import EEMO
from sepm_eval.parsing import Options

LETTERS = "ABCD"
LABELS = {f"option_{letter.lower()}": letter for letter in LETTERS}
TYPES = {"Yes-or-No": "yes_or_no", "What/How": "what_how"}
OPEN = "Open_ended"
_LEVELS = {"low": "Low", "medium": "Medium", "high": "High"}
_SCALES = {  # dimension -> how its levels are shown
    "valence": ("Negative", "Neutral", "Positive"),
    "arousal": ("Calm", "Neutral", "Intense"),
    "dominance": ("Helpless", "Neutral", "Powerful"),
}
_LEAST, _MOST = 1.0, 9.0  # range of a rating: the nine points of the Self-Assessment Manikin
_PLACES = ("first", "second", "third")
_RANKING = re.compile(r"\bRanking\s*:\s*(\{[^{}]*\})?", re.IGNORECASE)
_DIMENSION = re.compile(r"(Valence|Arousal|Dominance)\s*:\s*", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)[,;.]?(?=\s|$|Valence|Arousal|Dominance)", re.IGNORECASE)


def read(folder: Path) -> list[Item]:
    """Read the perception questions, in the release's order.

    Raises:
        MissingData: there is no list of questions.
        ValueError: there are several lists of questions, or an entry is not as described; the message names it.
    """
    found = sorted(folder.glob("*.json"))
    if not found:
        raise MissingData(
            f"{folder} has no .json file with the questions: it is not the EEmo-Bench release, or its preparation was "
            "interrupted; prepare the set again"
        )
    if len(found) > 1:
        raise ValueError(f"{folder}: expected one .json file with the questions, found {[path.name for path in found]}")
    (path,) = found
    try:
        entries = json.loads(read_text(path, "the EEmo-Bench release"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path} is not a list of questions")
    asked = [(f"{path}, entry {number}", entry) for number, entry in enumerate(entries)]
    return [_item(folder, where, entry) for where, entry in asked if entry.get("question_type") != OPEN]


def _item(folder: Path, where: str, entry: dict[str, Any]) -> Item:
    name, text, answer = (str(entry.get(key, "")).strip() for key in ("image_url", "question", "correct_answer"))
    options, key = _options(entry.get("options")), entry.get("id")
    fits = name and text and isinstance(key, (int, str)) and entry.get("question_type") in TYPES
    if not fits or list(options) != list(LETTERS[: len(options)]) or len(options) < 2 or answer not in options:
        raise ValueError(
            f"{where}: expected id, image_url, question, options from A on, the letter of the correct_answer and a "
            f"question_type of {list(TYPES)}, found { ({name: entry[name] for name in sorted(entry)})!r:.400}"
        )
    extra: dict[str, Any] = {"kind": TYPES[entry["question_type"]], **_attributes(where, entry)}
    extra["dimension"] = str(entry.get("perceptual_dimension", ""))
    names = tuple(" ".join(str(shown).split()).rstrip(".") for shown in options.values())
    labels = tuple(LABELS)[: len(names)]
    asked = OwnQuestion.lettered(" ".join(text.split()), Options(labels, names))
    return Item(str(key), safe_path(folder / "images", name, where), labels[LETTERS.index(answer)], extra, asked)


def read_emotion(folder: Path) -> list[Item]:
    """Read every picture that has a ranking once, labelled by the emotion with the largest number in its ranking.

    Raises:
        ValueError: see ``read``; a ranking names an emotion that is none of the seven, or one twice; two entries on a
            picture contradict each other; or two pictures differ only in their ending.
    """
    return [
        Item(key, item.path, label, _both(item))
        for key, item, places in _ranked_pictures(folder)
        for label in places[:1]
        if label
    ]


def read_ranking(folder: Path) -> list[Item]:
    """Make a question for each of the first three places in the ranking of every picture that has one.

    Raises:
        ValueError: see ``read_emotion``.
    """
    return [
        Item(f"{key}#{place}", item.path, label, {"kind": place, **_both(item)}, _rank_question(place))
        for key, item, places in _ranked_pictures(folder)
        for place, label in zip(_PLACES, places, strict=False)
        if label
    ]


def read_vad(folder: Path) -> list[Item]:
    """Make a question for each rating of valence, arousal and dominance of every picture that has any.

    Raises:
        ValueError: see ``read_emotion``; or a rating is outside the scale.
    """
    found = []
    for picture, item in _pictures(folder, "vad").items():
        for dimension, rating in json.loads(item.extra["vad"]).items():
            if not _LEAST <= rating <= _MOST:
                where = f"{folder}: {item.path.name} has a {dimension} of {rating}"
                raise ValueError(f"{where}; the scale goes from {_LEAST:g} to {_MOST:g}")
            third = min(int(3 * (rating - _LEAST) / (_MOST - _LEAST)), 2)
            extra = {"kind": dimension, "rating": rating, **_both(item)}
            question = _level_question(dimension)
            found.append(Item(f"{picture}#{dimension}", item.path, list(_LEVELS)[third], extra, question))
    return found


def _pictures(folder: Path, told: str) -> dict[str, Item]:
    """The first question on every picture that has a value in the column ``told``, "ranking" or "vad", by picture.

    Raises:
        ValueError: two pictures would have the same id, or two questions tell different things of one picture.
    """
    found: dict[str, Item] = {}
    for item in read(folder):
        if not item.extra[told]:
            continue
        key = f"image_{item.path.relative_to(folder / 'images').with_suffix('').as_posix()}"
        first = found.setdefault(key, item)
        where = f"{folder}: the questions {first.id!r} and {item.id!r}"
        if first.path != item.path:
            raise ValueError(
                f"{where} are on {first.path.name} and {item.path.name}, which would both be called {key}; rename one"
            )
        for column, value in _both(item).items():
            known = first.extra[column]
            if known and value and json.loads(known) != json.loads(value):
                raise ValueError(
                    f"{where} on {item.path.name} have the {column} {known} and {value}; a picture has one: correct or "
                    "remove a question"
                )
    return found


def _ranked_pictures(folder: Path) -> list[tuple[str, Item, list[str]]]:
    """Every picture that has a ranking: its id, a question on it, and its places, the strongest first."""
    found = []
    for key, item in _pictures(folder, "ranking").items():
        told = json.loads(item.extra["ranking"])
        ranking = {emotion.lower(): number for emotion, number in told.items()}
        if not set(ranking) <= set(EEMO) or len(ranking) < len(told):
            raise ValueError(f"{folder}: {item.path.name} is ranked as {told}; known are {list(EEMO)}, each once")
        found.append((key, item, _places(ranking)))
    return found


def _places(ranking: dict[str, float]) -> list[str]:
    """The emotion at each place; "" where several have the same number. The number 0 gives no place."""
    numbers = sorted((number for number in ranking.values() if number), reverse=True)
    shared = {number: [emotion for emotion, its in ranking.items() if its == number] for number in numbers}
    return [shared[number][0] if len(shared[number]) == 1 else "" for number in numbers]


def _both(item: Item) -> dict[str, str]:
    return {name: item.extra[name] for name in ("ranking", "vad")}


def _rank_question(place: str) -> OwnQuestion:
    strongest = "the strongest" if place == _PLACES[0] else f"the {place} strongest"
    ask = f"Rank the emotions that the image evokes from the strongest to the weakest. Which one is {strongest}?"
    return OwnQuestion.lettered(ask, Options(tuple(EEMO), tuple(EEMO.values())))


def _level_question(dimension: str) -> OwnQuestion:
    ask = f"How would you rate the {dimension} this image evokes in the viewer?"
    return OwnQuestion.lettered(ask, Options(tuple(_LEVELS), _SCALES[dimension]))


def _options(told: Any) -> dict[str, Any]:
    """Parse a table of letters and texts, in the order of its keys; empty if there is none."""
    return dict(sorted(_table(told).items()))


def _table(told: Any) -> dict[str, Any]:
    """Parse a Python literal of texts and values, in its own order; empty if it is none."""
    try:
        found = ast.literal_eval(told) if isinstance(told, str) and len(told) < 10_000 else told
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(key, str) for key in found) else {}


def _attributes(where: str, entry: dict[str, Any]) -> dict[str, str]:
    """The ranking of emotions and the ratings in an entry's text, each as JSON; "" if the text has none.

    The text is that of the first column whose name ends in "label" and that has any of them.

    Raises:
        ValueError: the text has them in another form than is known.
    """
    texts = [text for key, text in sorted(entry.items()) if key.endswith("label") and isinstance(text, str)]
    told = next((text for text in texts if _RANKING.search(text) or _DIMENSION.search(text)), "")
    ranking, ratings = _ranking(where, told), _ratings(where, told)
    return {"ranking": json.dumps(ranking) if ranking else "", "vad": json.dumps(ratings) if ratings else ""}


def _ranking(where: str, told: str) -> dict[str, float]:
    named = _RANKING.search(told)
    if named is None:
        return {}
    ranking = _table(named[1])
    numbers = [isinstance(number, (int, float)) and number >= 0 for number in ranking.values()]
    if not numbers or not all(numbers):
        raise ValueError(
            f"{where}: expected a ranking with a number from 0 for each emotion, such as "
            f"Ranking:{{'Joy': 33, 'Anger': 12}}, found {told!r:.400}"
        )
    return ranking


def _ratings(where: str, told: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for named in _DIMENSION.finditer(told):
        number, name = _NUMBER.match(told, named.end()), named[1].lower()
        if number is None or found.setdefault(name, float(number[1])) != float(number[1]):
            raise ValueError(
                f"{where}: expected one number behind each dimension, such as {named[1]}:5.33, found {told!r:.400}"
            )
    return found


_COMMON: dict[str, Any] = {
    "folder": "EEmo-Bench_single",
    "obtain": "Fetch it from the hub: sepm-eval prepare eemo_single --source hf:Workerred/EEmo-Bench_single.",
    "terms": "not found",
    "licence": "not found",
    "hub": (HubCopy("Workerred/EEmo-Bench_single", ("*.json", "*images*.zip", "images/*")),),
}

BENCHMARKS = {
    "eemo_single": Benchmark(
        name="eemo_single",
        title="EEmo-Bench-Single",
        names=LABELS,
        read=read,
        lists={"perception": whole},
        **_COMMON,
        own_questions=True,
    ),
    "eemo_emotion": Benchmark(
        name="eemo_emotion",
        title="EEmo-Bench-Emotion",
        names=EEMO,
        read=read_emotion,
        lists={"ranked": whole},
        **_COMMON,
    ),
    "eemo_ranking": Benchmark(
        name="eemo_ranking",
        title="EEmo-Bench-Ranking",
        names=EEMO,
        read=read_ranking,
        lists={"ranked": whole},
        **_COMMON,
        own_questions=True,
    ),
    "eemo_vad": Benchmark(
        name="eemo_vad",
        title="EEmo-Bench-VAD",
        names=_LEVELS,
        read=read_vad,
        lists={"rated": whole},
        **_COMMON,
        own_questions=True,
    ),
}

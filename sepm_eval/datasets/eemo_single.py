"""EEmo-Bench, single pictures: questions on the emotions that a picture evokes (Gao et al., ACM MM 2025).

The release (hub Workerred/EEmo-Bench_single) is a JSON list of questions and a folder ``images``. These fields of an
entry are used: ``id``, ``image_url`` (the file's name), ``question``, ``options`` (a table of letters and texts, as a
Python literal), ``correct_answer`` (a letter), ``question_type`` and ``perceptual_dimension``, which may be absent.
The fields are known from the authors' published answers to the questions on pairs of pictures, and from the script that
asks the questions on single ones; we could not look at the list itself.

``eemo_single`` asks the perception questions of the types "Yes-or-No" and "What/How". Open questions have no options to
score, and are left out. If an entry has a text like "Ranking:{'Anger': 33, ...} ... Valence:5.33 Arousal:6.44
Dominance:5.44", its ranking of the three strongest emotions and its valence, arousal and dominance of the picture
become the columns ``ranking`` and ``vad`` of the item. Three benchmarks ask for them, for every picture that has them:

* ``eemo_emotion``: which of seven emotions is ranked first.
* ``eemo_ranking``: which is first, second and third, with a question for each. The authors instead let the model write
  three emotions in order.
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

from sepm_eval.datasets import Benchmark, HubCopy, Item, OwnQuestion, read_text, safe_path, whole
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
_RANKING = re.compile(r"Ranking:\s*(\{[^{}]*\})")
_VAD = re.compile(r"(Valence|Arousal|Dominance):\s*([0-9]+(?:\.[0-9]+)?)")


def read(folder: Path) -> list[Item]:
    """Read the perception questions, in the release's order.

    Raises:
        ValueError: there is not exactly one list of questions, or an entry is not as described; the message names it.
    """
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
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
    extra: dict[str, Any] = {"kind": TYPES[entry["question_type"]], **_attributes(entry)}
    extra["dimension"] = str(entry.get("perceptual_dimension", ""))
    names = tuple(" ".join(str(shown).split()).rstrip(".") for shown in options.values())
    labels = tuple(LABELS)[: len(names)]
    asked = OwnQuestion.lettered(" ".join(text.split()), Options(labels, names))
    return Item(str(key), safe_path(folder / "images", name, where), labels[LETTERS.index(answer)], extra, asked)


def read_emotion(folder: Path) -> list[Item]:
    """Read every picture that has a ranking once, labelled by the emotion with the largest number in its ranking.

    Raises:
        ValueError: see ``read``; or a ranking names an emotion that is none of the seven.
    """
    return [
        Item(f"image_{item.path.stem}", item.path, ranked[0], _both(item)) for item, ranked in _ranked_pictures(folder)
    ]


def read_ranking(folder: Path) -> list[Item]:
    """Make a question for each of the first three places in the ranking of every picture that has one.

    Raises:
        ValueError: see ``read_emotion``.
    """
    return [
        Item(f"image_{item.path.stem}#{place}", item.path, label, {"kind": place, **_both(item)}, _rank_question(place))
        for item, ranked in _ranked_pictures(folder)
        for place, label in zip(_PLACES, ranked, strict=False)
    ]


def read_vad(folder: Path) -> list[Item]:
    """Make a question for each rating of valence, arousal and dominance of every picture that has any.

    Raises:
        ValueError: see ``read``; or a rating is outside the scale.
    """
    found = []
    for item in _pictures(folder, "vad"):
        for dimension, rating in json.loads(item.extra["vad"]).items():
            if not _LEAST <= rating <= _MOST:
                where = f"{folder}: {item.path.name} has a {dimension} of {rating}"
                raise ValueError(f"{where}; the scale goes from {_LEAST:g} to {_MOST:g}")
            third = min(int(3 * (rating - _LEAST) / (_MOST - _LEAST)), 2)
            extra = {"kind": dimension, "rating": rating, **_both(item)}
            key = f"image_{item.path.stem}#{dimension}"
            found.append(Item(key, item.path, list(_LEVELS)[third], extra, _level_question(dimension)))
    return found


def _pictures(folder: Path, told: str) -> list[Item]:
    """For every picture, the first of its questions that has a value in the column ``told``, "ranking" or "vad"."""
    found: dict[str, Item] = {}
    for item in read(folder):
        if item.extra[told]:
            found.setdefault(item.path.name, item)
    return list(found.values())


def _ranked_pictures(folder: Path) -> list[tuple[Item, list[str]]]:
    """Every picture that has a ranking, and the labels in it, the strongest first."""
    found = []
    for item in _pictures(folder, "ranking"):
        ranking = json.loads(item.extra["ranking"])
        ranked = [emotion.lower() for emotion in sorted(ranking, key=lambda emotion: -ranking[emotion])]
        if not ranked or not set(ranked) <= set(EEMO):
            raise ValueError(f"{folder}: {item.path.name} is ranked as {ranking}; known are {list(EEMO)}")
        found.append((item, ranked))
    return found


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
    try:
        found = ast.literal_eval(told) if isinstance(told, str) and len(told) < 10_000 else told
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return dict(sorted(found.items())) if isinstance(found, dict) and all(isinstance(k, str) for k in found) else {}


def _attributes(entry: dict[str, Any]) -> dict[str, str]:
    """The ranking of emotions and the ratings in an entry's text, each as JSON; "" if the text has none."""
    told = next((text for key, text in sorted(entry.items()) if key.endswith("label") and isinstance(text, str)), "")
    ranking = _RANKING.search(told)
    numbers = {name.lower(): float(number) for name, number in _VAD.findall(told)}
    return {
        "ranking": json.dumps(_options(ranking[1])) if ranking else "",
        "vad": json.dumps(numbers) if numbers else "",
    }


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
        size=1960,
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

"""Random multiple-choice questions about a scene's emotion, in the wordings of ``sepm_eval.prompts``.

The model is to read the options, not to learn eight letters by heart: next to the questions of the package it gets
shuffled and narrowed option lists, other letters, other names and the label sets of other benchmarks.
"""

from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np

from sepm_eval.emotions import MIKELS, POLARITY
from sepm_eval.prompts import AMBIGUOUS, FOCUS_ON_EMOTION, WORDINGS, Wording, coarse, fine, letters

PROMPT = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. USER: <image>\n{question} ASSISTANT:"
)
LETTERS = ascii_uppercase[:25]
EMOTIONS = tuple(MIKELS)
FULL = tuple(zip(letters(len(MIKELS)), MIKELS.values(), strict=True))
POSITIVE = tuple(name for key, name in MIKELS.items() if POLARITY[key] == "positive")
NEGATIVE = tuple(name for key, name in MIKELS.items() if POLARITY[key] == "negative")

NAMES: dict[str, tuple[str, ...]] = {
    "amusement": ("Amusement", "amusement", "Amused", "Fun"),
    "anger": ("Anger", "anger", "Angry", "rage"),
    "awe": ("Awe", "awe", "Wonder", "wonder"),
    "contentment": ("Content", "content", "Contentment", "contentment"),
    "disgust": ("Disgust", "disgust", "Disgusted", "disgusted"),
    "excitement": ("Excitement", "excitement", "Excited", "excited"),
    "fear": ("Fear", "fear", "Afraid", "horror"),
    "sadness": ("Sad", "sad", "Sadness", "sadness"),
}
# Option lists of other benchmarks, and the option that a scene's emotion answers to.
EMOTION6 = {
    "anger": ("anger",),
    "disgust": ("disgust",),
    "fear": ("fear",),
    "joy": ("amusement", "contentment", "excitement"),
    "sadness": ("sadness",),
    "surprise": ("awe",),
}
WEBEMO = {
    "anger": ("anger",),
    "confusion": (),
    "fear": ("fear",),
    "joy": ("amusement", "contentment", "excitement"),
    "love": (),
    "sadness": ("sadness",),
    "surprise": ("awe",),
}


def kept_letters(emotion: str) -> tuple[tuple[str, str], ...]:
    """The options of the emotion's own polarity, with the letters they have in the full list."""
    branch = POSITIVE if POLARITY[emotion] == "positive" else NEGATIVE
    return tuple(option for option in FULL if option[1] in branch)


def coin(rng: np.random.Generator, odds: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < odds)


def shuffled(rng: np.random.Generator, names: Sequence[str]) -> list[str]:
    """The names in random order."""
    return [names[i] for i in rng.permutation(len(names))]


def narrowed(rng: np.random.Generator, emotion: str) -> tuple[list[tuple[str, str]], str]:
    """Two to eight options under other names and letters, and the right letter."""
    others = shuffled(rng, [key for key in EMOTIONS if key != emotion])
    keys = shuffled(rng, [emotion, *others[: int(rng.integers(1, 8))]])
    picked = sorted(rng.choice(len(LETTERS), len(keys), replace=False)) if coin(rng, 0.5) else range(len(keys))
    plain = coin(rng, 0.5)
    names = [MIKELS[key] if plain else NAMES[key][rng.integers(len(NAMES[key]))] for key in keys]
    options = [(LETTERS[i], name) for i, name in zip(picked, names, strict=True)]
    return options, options[keys.index(emotion)][0]


def other_benchmark(rng: np.random.Generator, emotion: str) -> tuple[list[tuple[str, str]], str]:
    """The option list of another benchmark, and the right letter."""
    table = EMOTION6 if emotion == "disgust" or coin(rng, 0.5) else WEBEMO
    labels = shuffled(rng, list(table)) if coin(rng, 0.5) else list(table)
    right = next(i for i, label in enumerate(labels) if emotion in table[label])
    names = [label.capitalize() for label in labels] if coin(rng, 0.5) else labels
    return list(zip(LETTERS, names, strict=False)), LETTERS[right]


def ask_coarse(rng: np.random.Generator, emotion: str, wording: Wording) -> tuple[str, str]:
    """The polarity question and the right letter; sometimes with the two options swapped."""
    positive, negative = (POSITIVE, NEGATIVE) if coin(rng, 0.7) else (shuffled(rng, POSITIVE), shuffled(rng, NEGATIVE))
    question = coarse(positive, negative, wording, foe=coin(rng, 0.5))
    right = POLARITY[emotion] == "positive"
    if coin(rng, 0.15):
        question = question.replace("A. Positive\nB. Negative", "A. Negative\nB. Positive")
        right = not right
    return question, "A" if right else "B"


def ask(rng: np.random.Generator, emotion: str) -> tuple[str, str]:
    """A random question about a scene of this emotion, and the letter that answers it."""
    wording = WORDINGS["paper" if coin(rng, 0.6) else "code"]
    kind = rng.choice(["coarse", "full", "branch", "narrowed", "benchmark"], p=[0.18, 0.34, 0.18, 0.22, 0.08])
    if kind == "coarse":
        return ask_coarse(rng, emotion, wording)
    if kind == "full":
        options: Sequence[tuple[str, str]] = FULL
        right = next(letter for letter, name in FULL if name == MIKELS[emotion])
    elif kind == "branch":
        options = kept_letters(emotion)
        right = next(letter for letter, name in options if name == MIKELS[emotion])
    elif kind == "narrowed":
        options, right = narrowed(rng, emotion)
    else:
        options, right = other_benchmark(rng, emotion)
    return fine(options, wording, foe=coin(rng, 0.5), ambiguous=coin(rng, 0.2)), right


def corpus(rng: np.random.Generator, count: int) -> list[str]:
    """Text for the tokenizer: prompts with their answers, and every word and letter it should know as a whole."""
    words = [AMBIGUOUS, FOCUS_ON_EMOTION, *POLARITY, *(key.capitalize() for key in POLARITY), *sum(NAMES.values(), ())]
    lines = []
    for _ in range(count):
        question, right = ask(rng, EMOTIONS[rng.integers(len(EMOTIONS))])
        lines.append(f"{PROMPT.format(question=question)} {right}")
        lines.extend(
            f"{letter} {word}" for letter, word in zip(shuffled(rng, LETTERS), shuffled(rng, words), strict=False)
        )
    return lines

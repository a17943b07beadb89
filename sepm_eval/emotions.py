"""Emotion labels: their keys, the names a model is shown, their polarity, and the label set of each benchmark.

This file is the only place where a label is spelt. Facts and sources:

* Eight Mikels classes (EmoSet, Abstract): polarity from EmoSet's own ``EmoSet.py``; display names "Content" and
  "Sad" from the public SEPM code (``llava/utils.py``) and from Abstract's ground-truth file.
* Twenty-five and seven WebEmo classes: ``category.txt`` of the release (surprise is positive, confusion and sympathy
  are negative there). The release spells two labels "cheerfullness" and "irritabilty"; the keys keep that spelling.
* Emotion6 has no official polarity. Joy and surprise are taken as positive, as WebEmo does.
"""

from typing import Literal

Polarity = Literal["positive", "negative"]

POSITIVE = (
    "affection",
    "amusement",
    "awe",
    "cheerfullness",
    "contentment",
    "enthrallment",
    "excitement",
    "gratitude",
    "joy",
    "love",
    "lust",
    "optimism",
    "pride",
    "relief",
    "surprise",
    "zest",
)
NEGATIVE = (
    "anger",
    "confusion",
    "disappointment",
    "disgust",
    "envy",
    "exasperation",
    "fear",
    "horror",
    "irritabilty",
    "neglect",
    "nervousness",
    "rage",
    "sadness",
    "shame",
    "suffering",
    "sympathy",
)

POLARITY: dict[str, Polarity] = {
    **dict.fromkeys(POSITIVE, "positive"),
    **dict.fromkeys(NEGATIVE, "negative"),
}

# Other spellings of a label, as data sets, papers and questions show them.
SYNONYMS = {
    "content": "contentment",
    "sad": "sadness",
    "cheerfulness": "cheerfullness",
    "irritability": "irritabilty",
}

# The adjective for a person who feels the emotion of a label; an answer may use it in place of the label's name. The
# table has no other words of the same meaning ("scared", "happy"), nor words for what arouses an emotion ("amusing").
ADJECTIVES = {
    "affectionate": "affection",
    "amused": "amusement",
    "awed": "awe",
    "awestruck": "awe",
    "cheerful": "cheerfullness",
    "contented": "contentment",
    "enthralled": "enthrallment",
    "excited": "excitement",
    "grateful": "gratitude",
    "joyful": "joy",
    "joyous": "joy",
    "loving": "love",
    "lustful": "lust",
    "optimistic": "optimism",
    "proud": "pride",
    "relieved": "relief",
    "surprised": "surprise",
    "zestful": "zest",
    "angry": "anger",
    "confused": "confusion",
    "disappointed": "disappointment",
    "disgusted": "disgust",
    "envious": "envy",
    "exasperated": "exasperation",
    "fearful": "fear",
    "horrified": "horror",
    "irritable": "irritabilty",
    "irritated": "irritabilty",
    "neglected": "neglect",
    "nervous": "nervousness",
    "enraged": "rage",
    "ashamed": "shame",
    "sympathetic": "sympathy",
}

# The eight Mikels classes in the order in which every question lists them, with the name shown for each.
# The order is alphabetical, as in the public SEPM code; EmoSet's own info.json numbers the classes differently.
MIKELS = {
    "amusement": "Amusement",
    "anger": "Anger",
    "awe": "Awe",
    "contentment": "Content",
    "disgust": "Disgust",
    "excitement": "Excitement",
    "fear": "Fear",
    "sadness": "Sad",
}

# Emotion wheels: the distance between two emotions is the number of steps between them, and a step is an eighth of the
# circle. Mikels: Zhao et al., ACM Multimedia 2016 ("Predicting personalized emotion perceptions of social images"), who
# put the eight classes of Mikels et al. (2005) on a wheel; the order is that of public code for this wheel. Plutchik's
# wheel (1980) has all six classes of Emotion6, and trust and anticipation, which no benchmark here asks for.
WHEELS = {
    "Mikels": ("amusement", "contentment", "awe", "excitement", "fear", "sadness", "disgust", "anger"),
    "Plutchik": ("joy", "trust", "fear", "surprise", "sadness", "disgust", "anger", "anticipation"),
}

# The six classes of Emotion6, in the order of its annotation file; neutral is a share of the votes there, not a class.
EMOTION6 = {
    "anger": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "joy": "Joy",
    "sadness": "Sadness",
    "surprise": "Surprise",
}

# WebEmo's two finer levels: (label of level 3 with 25 classes, name shown, label of level 2 with 7 classes). The
# position in this tuple is the class id in the release.
WEBEMO_CATEGORIES = (
    ("affection", "Affection", "love"),
    ("cheerfullness", "Cheerfulness", "joy"),
    ("confusion", "Confusion", "confusion"),
    ("contentment", "Contentment", "joy"),
    ("disappointment", "Disappointment", "sadness"),
    ("disgust", "Disgust", "anger"),
    ("enthrallment", "Enthrallment", "joy"),
    ("envy", "Envy", "anger"),
    ("exasperation", "Exasperation", "anger"),
    ("gratitude", "Gratitude", "love"),
    ("horror", "Horror", "fear"),
    ("irritabilty", "Irritability", "anger"),
    ("lust", "Lust", "love"),
    ("neglect", "Neglect", "sadness"),
    ("nervousness", "Nervousness", "fear"),
    ("optimism", "Optimism", "joy"),
    ("pride", "Pride", "joy"),
    ("rage", "Rage", "anger"),
    ("relief", "Relief", "joy"),
    ("sadness", "Sadness", "sadness"),
    ("shame", "Shame", "sadness"),
    ("suffering", "Suffering", "sadness"),
    ("surprise", "Surprise", "surprise"),
    ("sympathy", "Sympathy", "sadness"),
    ("zest", "Zest", "joy"),
)
WEBEMO25 = {label: name for label, name, _ in WEBEMO_CATEGORIES}
WEBEMO7 = {label: label.capitalize() for label in sorted({coarse for _, _, coarse in WEBEMO_CATEGORIES})}


# The twelve feelings that viewers of the LAI-GAI picture library rated, in the order of its own tables. Four of them
# are not in POLARITY: neutral has no polarity, and for craving and the two kinds of love no source states one.
LAI_GAI = {
    "amusement": "Amusement",
    "awe": "Awe",
    "anger": "Anger",
    "attachment_love": "Attachment love",
    "craving": "Craving",
    "disgust": "Disgust",
    "excitement": "Excitement",
    "fear": "Fear",
    "joy": "Joy",
    "neutral": "Neutral",
    "nurturant_love": "Nurturant love",
    "sadness": "Sadness",
}

# The classes of UnBiasedEmo, named as its folders are.
UNBIASEDEMO = {label: label.capitalize() for label in ("anger", "fear", "joy", "love", "sadness", "surprise")}

# EEmo-Bench ranks seven emotions, those of Emotion6 and neutral; its questions list them in alphabetical order.
EEMO = {label: label.capitalize() for label in sorted([*EMOTION6, "neutral"])}

# The two options of benchmarks that ask only for the polarity.
SENTIMENTS = {"positive": "Positive", "negative": "Negative"}


def label_of(name: str) -> str | None:
    """Find the label that a display name or another spelling stands for.

    Returns:
        The label, or None if the name is not that of a known emotion.
    """
    key = name.strip().lower()
    key = SYNONYMS.get(key, key)
    return key if key in POLARITY else None

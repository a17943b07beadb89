"""All sentences and questions that the methods show to a model.

SEPM's wording has two presets. ``paper`` is the text of Fang et al., ICML 2025, Sec. 3.2 and 3.3; where the paper gives
no wording or layout (line breaks, letters of a narrowed list, the ambiguous sentence), it follows the public code.
``code`` is the wording of the public code (fuyyyyy/SEPM at c9f7c4f, ``llava/utils.py``). The file of stage-1 questions
is not in that repository, so in this preset, too, the sentences that name the two groups are the paper's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_uppercase

FOCUS_ON_EMOTION = "Please focus on emotion."
STEP_BY_STEP = "Let's think step by step, then answer with the option's letter from the given choices directly."
AMBIGUOUS = "This is an ambiguous emotion."
COARSE_OPTIONS = (("A", "Positive"), ("B", "Negative"))


@dataclass(frozen=True)
class Wording:
    """The wording of a preset.

    Attributes:
        ask: the sentence that asks for the option.
        reply: the sentence that says how to answer.
        probe: the words whose attention to the visual tokens is read (Eq. 6).
    """

    ask: str
    reply: str
    probe: str


WORDINGS = {
    "paper": Wording(
        ask="Which of the following descriptions best represents the image?",
        reply="Answer directly with the letter of the chosen option.",
        probe=FOCUS_ON_EMOTION,
    ),
    "code": Wording(
        ask="Which of the following descriptions is represented in the image?",
        reply="Answer with the option's letter from the given choices directly.",
        probe="focus on emotion",
    ),
}


def letters(count: int) -> str:
    """The letters of a question's options.

    Args:
        count: how many options the question has.

    Returns:
        "ABC...", one letter for each option.

    Raises:
        ValueError: there are fewer than 2 options, or more than 26.
    """
    if not 2 <= count <= len(ascii_uppercase):
        raise ValueError(f"a question has 2 to {len(ascii_uppercase)} options, not {count}")
    return ascii_uppercase[:count]


def fine(options: Iterable[tuple[str, str]], wording: Wording, *, foe: bool = False, ambiguous: bool = False) -> str:
    """The question that asks for the emotion (Q_f in the paper).

    Without ``foe`` and ``ambiguous`` it is the zero-shot question.

    Args:
        options: letter and display name of each option offered. A narrowed list keeps the letters of the full list.
        wording: one of ``WORDINGS``.
        foe: put the focus-on-emotion sentence first.
        ambiguous: add the sentence that the emotion is ambiguous, for a picture on which stage 1 was unsure.

    Returns:
        The user's turn, with each sentence and each option on its own line.
    """
    return "\n".join(
        [
            *([FOCUS_ON_EMOTION] if foe else []),
            *([AMBIGUOUS] if ambiguous else []),
            wording.ask,
            *(f"{letter}. {name}" for letter, name in options),
            wording.reply,
        ]
    )


def coarse(positive: Iterable[str], negative: Iterable[str], wording: Wording, *, foe: bool = False) -> str:
    """The question that asks for the polarity (Q_c in the paper): A is positive, B is negative.

    Args:
        positive: display names of the positive emotions (PEC in the paper).
        negative: display names of the negative emotions (NEC in the paper).
        wording: one of ``WORDINGS``.
        foe: put the focus-on-emotion sentence first.

    Returns:
        The user's turn, with each option on its own line; the two sentences that name the groups share a line.
    """
    return "\n".join(
        [
            *([FOCUS_ON_EMOTION] if foe else []),
            wording.ask,
            *(f"{letter}. {name}" for letter, name in COARSE_OPTIONS),
            f"Positive emotions include {', '.join(positive)}. Negative emotions include {', '.join(negative)}.",
            wording.reply,
        ]
    )


STEP_BY_CLUE = "Please identify potential affective-arousing clues in the image following these steps:"
SCENE_CLUES = "Identify scene-level clues that reflect emotions (e.g., lighting and colors)."
OBJECT_CLUES = "Identify object-level clues that reflect emotions (e.g., facial and body expressions)."
BY_ANALYSIS = "Based on the above analysis, choose an option that best represents the image:"
BY_DISCRIMINATION = "Based on the discriminative visual image, choose an option that best represents the image:"
BY_NUMBER = "Answer directly with the number of the chosen option."
"""The sentences above are those of DAN (arXiv 2609.36782, boxes in its appendix), which numbers its options."""


def clues(*, scene: bool, objects: bool) -> str:
    """The request for an analysis of the picture's emotional clues, which DAN makes first (Q_a in its paper).

    Args:
        scene: ask for clues in the scene.
        objects: ask for clues in objects. If only one of the two is asked for, it is step 1.

    Returns:
        The user's turn.
    """
    wanted = [step for step, on in ((SCENE_CLUES, scene), (OBJECT_CLUES, objects)) if on]
    return "\n".join([STEP_BY_CLUE, *(f"Step {number}: {step}" for number, step in enumerate(wanted, start=1))])


def numbered(names: Iterable[str], ask: str) -> str:
    """A question with its options on one line, numbered from 1 (DAN's Q_f and Q_d).

    Args:
        names: display names of the options.
        ask: the sentence in front of the options.

    Returns:
        The user's turn.
    """
    return "\n".join([ask, _numbers(names), BY_NUMBER])


def numbered_polarity(positive: Iterable[str], negative: Iterable[str], ask: str) -> str:
    """DAN's question for the polarity (Q_c): 1 is positive, 2 is negative.

    Args:
        positive: display names of the positive emotions.
        negative: display names of the negative emotions.
        ask: the sentence in front of the options.

    Returns:
        The user's turn.
    """
    groups = f"Positive emotions include {', '.join(positive)}. Negative emotions include {', '.join(negative)}."
    return "\n".join([ask, _numbers(name for _, name in COARSE_OPTIONS), f"{groups} {BY_NUMBER}"])


def contrast(name: str, others: Iterable[str]) -> str:
    """DAN's question why a picture shows one emotion rather than others (Q_ctr).

    The text, with the space before the question mark, is the paper's.

    Args:
        name: display name of the one emotion.
        others: display names of the other emotions.

    Returns:
        The user's turn.
    """
    return (
        f"Please analyze that why should this image be categorized as {name} rather than {', '.join(others)} ? "
        "Please pinpoint the visual cues that support this distinction."
    )


def _numbers(names: Iterable[str]) -> str:
    return " ".join(f"{number}. {name}" for number, name in enumerate(names, start=1))

"""What all methods share: ask for the emotion, and turn what the model says into an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sepm_eval import prompts as wordings
from sepm_eval.backbone.interface import Backbone, Cut, PictureTokens, Prune, Reading, VisualTokens
from sepm_eval.methods.evidence import answer_probabilities
from sepm_eval.parsing import Options, parse_answer
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor

MAX_NEW_TOKENS = 128  # the default of the public SEPM code and of LLaVA's evaluation loader


def zero_shot_prompt(question: Question, preset: str | None = None) -> str:
    """The question as the harness asked it, or in the words of a preset if one is given or it has none of its own."""
    if preset is None and question.text is not None:
        return question.text
    return wordings.fine(question.options(), wordings.WORDINGS[preset or "paper"])


def ask(
    questions: Sequence[Question],
    prompts: Sequence[str],
    backbone: Backbone,
    visual: VisualTokens | None,
    *,
    keep: Sequence[Tensor] | None = None,
    prune: Cut | Prune | None = None,
    prefix: Reading | None = None,
    evidence: Sequence[Evidence | None] | None = None,
    asked_before: Sequence[str] = (),
    read_before: Sequence[int] = (),
    max_new_tokens: int | None = None,
) -> list[Answer]:
    """Put one question a picture, have the answers written, and read which option each chooses.

    Every answer is written greedily until the model stops, and then parsed. No first token is taken for the whole
    answer: the letter F is also how Llama-2's vocabulary begins "Fear".

    Args:
        questions: the questions in the harness's letters, by which the answer is read.
        prompts: what the model is shown for each.
        backbone: the model.
        visual: the pictures' visual tokens; None asks without pictures.
        keep: bool [n_i] for each picture, which visual tokens the model still sees.
        prune: removes visual tokens on their way through the model.
        prefix: an earlier reading of the same pictures, to be continued, with the text in which both begin alike.
        evidence: what the method found out before.
        asked_before: the prompts of an earlier stage, to be kept in the answers.
        read_before: how many visual tokens of each picture were read with those.
        max_new_tokens: how long an answer may be; None is ``MAX_NEW_TOKENS``.

    Raises:
        FloatingPointError: the model's logits are not finite, or the attention by which ``prune`` removes tokens.
    """
    reading = check_finite(backbone.read(prompts, visual, keep=keep, prune=prune, **_behind(prefix)))
    texts = backbone.write(reading, max_new_tokens or MAX_NEW_TOKENS)
    pictures = [None] * len(prompts) if visual is None else visual.pictures
    seen = [0 if one is None else len(one) for one in pictures] if keep is None else [int(mask.sum()) for mask in keep]
    return [
        _answer(
            *(question, text, picture, reading.logits[i : i + 1], backbone),
            evidence=None if evidence is None else evidence[i],
            prompts=(*asked_before[i : i + 1], prompts[i]),
            tokens_read=(*read_before[i : i + 1], seen[i] if prefix is None else 0),
            dropped=() if keep is None or evidence is not None else _indices(~keep[i]),
            tokens_left=seen[i] if reading.visual_left is None else fmean(reading.visual_left[i]),
        )
        for i, (question, text, picture) in enumerate(zip(questions, texts, pictures, strict=True))
    ]


def _behind(prefix: Reading | None) -> dict[str, Any]:
    """How a prompt is read behind an earlier reading, if there is one."""
    return {} if prefix is None else {"prefix": prefix, "shares": "text"}


def _answer(
    question: Question,
    text: str,
    picture: PictureTokens | None,
    logits: Tensor,
    backbone: Backbone,
    *,
    evidence: Evidence | None,
    prompts: tuple[str, ...],
    tokens_read: tuple[int, ...],
    dropped: tuple[int, ...],
    tokens_left: float,
) -> Answer:
    """What a model wrote, read as one of the question's options; ``logits`` [1, V] are those of its first token."""
    row = answer_probabilities(logits, backbone.letter_ids(question.letters))[0].tolist()
    letter = parse_answer(text, Options(question.labels, question.names))
    return Answer(
        text=str(text),
        letter=letter,
        label=None if letter is None else question.labels[question.letters.index(letter)],
        option_probabilities=dict(zip(question.labels, row, strict=True)),
        visual_tokens=0 if picture is None else len(picture),
        blocks=() if picture is None else picture.blocks,
        evidence=evidence,
        prompts=prompts,
        tokens_read=tokens_read,
        dropped=dropped,
        tokens_left=tokens_left,
    )


def _indices(mask: Tensor) -> tuple[int, ...]:
    return tuple(mask.nonzero().flatten().tolist())


def names_by_polarity(question: Question, who: str) -> tuple[list[str], list[str]]:
    """How the positive and the negative emotions of a question are shown, in its order.

    Args:
        question: what is asked.
        who: the method, for the message.

    Raises:
        ValueError: it offers none of one polarity.
    """
    names = dict(zip(question.labels, question.names, strict=True))
    positive = [names[label] for label in question.of_polarity("positive")]
    negative = [names[label] for label in question.of_polarity("negative")]
    if not positive or not negative:
        raise ValueError(f"{who} needs positive and negative emotions to choose from, not {question.labels}")
    return positive, negative


def check_finite(reading: Reading) -> Reading:
    """Pass a reading on unless it holds NaN or infinity: such logits are no answer, such attention chooses no tokens.

    Raises:
        FloatingPointError: the logits or the probe's attention do; which rows of the batch is said.
    """
    for what, numbers in (("logits are", reading.logits), ("attention to the picture is", reading.probe_attention)):
        broken = [] if numbers is None else _broken(numbers)
        if broken:
            raise FloatingPointError(
                f"the model's {what} NaN or infinite (rows {broken} of the batch); try dtype=float32"
            )
    return reading


def _broken(rows: Iterable[Tensor]) -> list[int]:
    """Which of these tensors hold NaN or infinity; asked once, because a GPU is waited for to answer."""
    import torch

    whole = torch.stack([row.isfinite().all() for row in rows])
    return (~whole).nonzero().flatten().tolist()

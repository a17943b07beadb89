"""What all methods share: asking for the emotion, and turning the model's output into an answer."""

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

MAX_NEW_TOKENS = 128  # default in the public SEPM code and in LLaVA's evaluation loader


def zero_shot_prompt(question: Question, preset: str | None = None) -> str:
    """The harness's text of a question, or a preset's wording if a preset is given or the question has no text."""
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
    """Ask one question about each picture, decode the answers greedily, and parse which option each one chooses.

    Args:
        questions: the questions; an answer is parsed with the letters and names of its question.
        prompts: for each question the prompt that the model is shown.
        backbone: the model.
        visual: the pictures' visual tokens; None asks without pictures.
        keep: for each picture [n_i] bool, which visual tokens the model still sees.
        prune: how to remove visual tokens between the layers of the model.
        prefix: an earlier reading of the same pictures, whose KV cache is reused as far as both prompts begin alike.
        evidence: for each question, what the method found before.
        asked_before: for each question the prompt of an earlier stage, to be recorded in its answer.
        read_before: for each of these prompts, how many visual tokens were read with it.
        max_new_tokens: the maximum length of an answer; None is ``MAX_NEW_TOKENS``.

    Returns:
        The answers, in the order of the questions.

    Raises:
        FloatingPointError: the model's logits, or the attention by which ``prune`` removes tokens, are not finite.
    """
    reading = check_finite(backbone.read(prompts, visual, keep=keep, prune=prune, **behind(prefix)))
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


def behind(prefix: Reading | None) -> dict[str, Any]:
    """The arguments of ``Backbone.read`` to continue from an earlier reading; none without one."""
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
    """Parse what a model wrote as an answer to the question; ``logits`` [1, V] are those of its first token.

    The text is parsed as a whole. Its first token alone does not decide, because in Llama-2's vocabulary the token of
    the letter F is also the first token of "Fear".
    """
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
    """Divide the shown names of a question's emotions by polarity, in the question's order.

    Args:
        question: the question.
        who: the name of the method, for the message.

    Returns:
        The names of the positive emotions, and those of the negative ones.

    Raises:
        ValueError: the question offers no positive or no negative emotion.
    """
    names = dict(zip(question.labels, question.names, strict=True))
    positive = [names[label] for label in question.of_polarity("positive")]
    negative = [names[label] for label in question.of_polarity("negative")]
    if not positive or not negative:
        raise ValueError(f"{who} needs positive and negative emotions to choose from, not {question.labels}")
    return positive, negative


def check_finite(reading: Reading) -> Reading:
    """Make sure that neither the logits nor the probe's attention of a reading hold NaN or infinity.

    Returns:
        The given reading.

    Raises:
        FloatingPointError: they do; the message names the rows of the batch.
    """
    for what, numbers in (("logits are", reading.logits), ("attention to the picture is", reading.probe_attention)):
        broken = [] if numbers is None else _broken(numbers)
        if broken:
            raise FloatingPointError(
                f"the model's {what} NaN or infinite (rows {broken} of the batch); try dtype=float32"
            )
    return reading


def _broken(rows: Iterable[Tensor]) -> list[int]:
    """Indices of the tensors that hold NaN or infinity; one check for all, because each check waits for the GPU."""
    import torch

    whole = torch.stack([row.isfinite().all() for row in rows])
    return (~whole).nonzero().flatten().tolist()

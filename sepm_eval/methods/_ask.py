"""What all methods share: ask for the emotion, and turn what the model says into an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sepm_eval.backbone import Backbone, Prune, Reading, VisualTokens
from sepm_eval.evidence import answer_probabilities
from sepm_eval.parsing import Options, parse_answer
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor

MAX_NEW_TOKENS = 128  # the default of the public SEPM code and of LLaVA's evaluation loader

# A first token that is one of these may be the first word of a sentence ("A man is smiling"), so it is read on.
WORDS = frozenset("AI")


def ask(
    questions: Sequence[Question],
    prompts: Sequence[str],
    backbone: Backbone,
    visual: VisualTokens,
    *,
    keep: Tensor | None = None,
    prune: Prune | None = None,
    prefix: Reading | None = None,
    evidence: Sequence[Evidence | None] | None = None,
    asked_before: Sequence[str] = (),
    read_before: int = 0,
    write_out: int | None = None,
) -> list[Answer]:
    """Put one question a picture and read the letter it is answered with.

    An answer whose first token is the letter of an option needs no decoding; all others are written out greedily and
    parsed. A letter that is also a word counts only once the model has stopped after it.

    Args:
        questions: the questions in the harness's letters, by which the answer is read.
        prompts: what the model is shown for each.
        backbone: the model.
        visual: the pictures' visual tokens.
        keep: [B, N_v] bool, which visual tokens the model still sees.
        prune: removes visual tokens on their way through the model.
        prefix: an earlier reading of the same pictures to go on from.
        evidence: what the method found out before.
        asked_before: the prompts of an earlier stage, to be kept in the answers.
        read_before: how many visual tokens a picture were read with those.
        write_out: write every answer out, up to so many tokens, also where it starts with a letter.

    Raises:
        FloatingPointError: the model's logits are not finite.
    """
    reading = check_finite(backbone.read(prompts, visual, keep=keep, prune=prune, prefix=prefix))
    texts = backbone.write(reading, write_out) if write_out else _texts(questions, reading, backbone)
    visual_tokens = visual.features.shape[1]
    now = [visual_tokens] * len(prompts) if keep is None else keep.sum(-1).tolist()
    if prefix is not None:
        now = [0] * len(prompts)
    answers = []
    for i, (question, text) in enumerate(zip(questions, texts, strict=True)):
        letter = parse_answer(text, Options(question.labels, question.names))
        row = answer_probabilities(reading.logits[i : i + 1], backbone.letter_ids(question.letters))[0].tolist()
        answers.append(
            Answer(
                text=text,
                letter=letter,
                label=None if letter is None else question.labels[question.letters.index(letter)],
                option_probabilities=dict(zip(question.labels, row, strict=True)),
                visual_tokens=visual_tokens,
                evidence=None if evidence is None else evidence[i],
                prompts=(*asked_before[i : i + 1], prompts[i]),
                tokens_read=(*(read_before for _ in asked_before[i : i + 1]), now[i]),
            )
        )
    return answers


def check_finite(reading: Reading) -> Reading:
    """Pass a reading on unless its logits hold NaN or infinity: such a model has no answer.

    Raises:
        FloatingPointError: they do; which rows of the batch is said.
    """
    broken = (~reading.logits.isfinite().all(-1)).nonzero().flatten().tolist()
    if broken:
        raise FloatingPointError(
            f"the model's logits are NaN or infinite (rows {broken} of the batch); try dtype=float32"
        )
    return reading


def _texts(questions: Sequence[Question], reading: Reading, backbone: Backbone) -> list[str]:
    first = reading.logits.argmax(-1).tolist()
    texts: dict[int, str] = {}
    for i, (question, token) in enumerate(zip(questions, first, strict=True)):
        ids = backbone.letter_ids(question.letters)
        if token in ids and (letter := question.letters[ids.index(token)]) not in WORDS:
            texts[i] = letter
    unread = [i for i in range(len(questions)) if i not in texts]
    if unread:
        texts.update(zip(unread, backbone.write(reading, MAX_NEW_TOKENS, unread), strict=True))
    return [texts[i] for i in range(len(questions))]

"""What DAN finds out about one question, and its Eq. 4, Eq. 7 and Algorithm 1 as functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sepm_eval import prompts
from sepm_eval.backbone.interface import PictureTokens
from sepm_eval.emotions import Polarity
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Case:
    """One question on its way; numbers are indices of the question's labels.

    Attributes:
        question: what is asked.
        picture: its visual tokens.
        analysis: what the model wrote of the picture's clues; None if it was not asked to.
        written: how many tokens it wrote in all.
        prompts: the user's turns so far.
        tokens_read: how many visual tokens were read with each.
        pair: [2], of the polarities.
        scores: [N], of the emotions, gated.
        candidates: S*, the likeliest first.
        contrasts: for each candidate what the model wrote for it.
        attention: for each candidate [N_v].
        discrepancy: [N_v], by which tokens are chosen.
        significance: [N_v], by which they are chosen instead; neither where chance does.
        keep: [N_v] bool, which visual tokens the last question is put with; None is all.
        chosen: [len(candidates)], how probable each is in the end.
    """

    question: Question
    picture: PictureTokens
    analysis: str | None = None
    written: int = 0
    prompts: list[str] = field(default_factory=list)
    tokens_read: list[int] = field(default_factory=list)
    pair: Tensor = field(init=False)
    scores: Tensor = field(init=False)
    candidates: list[int] = field(default_factory=list)
    contrasts: list[str] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)
    discrepancy: Tensor | None = None
    significance: Tensor | None = None
    keep: Tensor | None = None
    chosen: Tensor | None = None

    def asked(self, prompt: str, tokens: int | None = None) -> str:
        """Note a prompt and how many visual tokens are read with it, by default all."""
        self.prompts.append(prompt)
        self.tokens_read.append(len(self.picture) if tokens is None else tokens)
        return prompt

    @property
    def names(self) -> list[str]:
        """How the candidates are shown."""
        return [self.question.names[one] for one in self.candidates]

    def answer(self) -> Answer:
        """The answer: the likeliest option of the last question, or where none was put, of all."""
        labels, letters = self.question.labels, self.question.letters
        probable = dict(zip(labels, self.scores.tolist(), strict=True))
        if self.chosen is not None:
            probable = dict.fromkeys(labels, 0.0)
            probable |= {labels[one]: value for one, value in zip(self.candidates, self.chosen.tolist(), strict=True)}
        best = self.candidates[0 if self.chosen is None else int(self.chosen.argmax())]
        return Answer(
            text=letters[best],
            letter=letters[best],
            label=labels[best],
            option_probabilities=probable,
            visual_tokens=len(self.picture),
            blocks=self.picture.blocks,
            evidence=self._evidence(),
            prompts=tuple(self.prompts),
            tokens_read=tuple(self.tokens_read),
            tokens_left=float(len(self.picture) if self.keep is None else int(self.keep.sum())),
        )

    def _evidence(self) -> Evidence:
        positive, negative = self.pair.tolist()
        polarity: Polarity = "positive" if positive >= negative else "negative"
        return Evidence(
            p_positive=positive,
            p_negative=negative,
            confidence=((positive - negative) / 2) ** 2,
            polarity=polarity,
            ambiguous=len(self.candidates) > 1,
            candidates=tuple(self.question.labels[one] for one in self.candidates),
            dropped=() if self.keep is None else tuple((~self.keep).nonzero().flatten().tolist()),
            scores=dict(zip(self.question.labels, self.scores.tolist(), strict=True)),
            analysis=self.analysis,
            written=self.written,
            discrepancy=None if self.discrepancy is None else self.discrepancy.cpu().numpy(),
            significance=None if self.significance is None else self.significance.cpu().numpy(),
        )


def contrast(names: Sequence[str], place: int) -> str:
    """The question why a picture shows the candidate at this place and none of the others."""
    return prompts.contrast(names[place], [name for i, name in enumerate(names) if i != place])


def gated(scores: Tensor, pair: Tensor, question: Question, gate: Literal["soft", "hard", "none"]) -> Tensor:
    """Scores of the emotions weighed by their polarity (Eq. 4), [N], sum 1.

    Args:
        scores: [N], of the emotions.
        pair: [2], of positive and negative.
        question: says which emotion is which.
        gate: see ``Dan``.
    """
    import torch

    likelier = int(pair[1] > pair[0])
    weights = {"soft": pair, "hard": torch.eye(2).to(pair)[likelier], "none": torch.ones_like(pair)}[gate]
    side = [0 if label in question.positive else 1 for label in question.labels]
    weighed = scores * weights[side]
    return weighed / weighed.sum()


def pick_candidates(scores: Tensor, alpha: float, k: int) -> list[int]:
    """S* of Algorithm 1: indices of the likeliest emotion and of up to k that are nearly as likely, in this order.

    An emotion is one of them if the variance of its score and the highest, ((s_max - s_i) / 2)^2, is below alpha, and
    all before it are. Not all emotions are candidates.
    """
    order = scores.argsort(descending=True, stable=True).tolist()
    chosen = order[:1]
    for one in order[1 : min(k + 1, len(order) - 1)]:
        if ((scores[chosen[0]] - scores[one]) / 2) ** 2 >= alpha:
            break
        chosen.append(one)
    return chosen


def discrepancy(attention: Sequence[Tensor]) -> Tensor:
    """How much the candidates differ in looking at each visual token (Eq. 7), [N_v]: sum_i |A_i - mean of the others|.

    attention: [N_v] for each candidate, at least two.
    """
    import torch

    rows = torch.stack(list(attention))
    others = [torch.cat([rows[:i], rows[i + 1 :]]).mean(0) for i in range(len(rows))]
    return (rows - torch.stack(others)).abs().sum(0)

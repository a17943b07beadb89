"""The state of one question while DAN answers it, and Eq. 4, Eq. 7 and Algorithm 1 of DAN on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sepm_eval import prompts
from sepm_eval.backbone.interface import PictureTokens
from sepm_eval.emotions import Polarity
from sepm_eval.methods.evidence import confidence
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Case:
    """What is known of one question so far; an emotion is given by its index among the question's N labels.

    Attributes:
        question: the question.
        picture: the visual tokens of its picture.
        analysis: what the model wrote about the emotional clues in the picture; None if it was not asked to.
        written: how many tokens the model wrote in total.
        prompts: the user's turns so far.
        tokens_read: for each of these, how many visual tokens were read with it.
        pair: [2], probabilities of the positive and the negative polarity.
        scores: [N], scores of the emotions, weighted by polarity (Eq. 4).
        candidates: S*, indices of the candidates, the most probable first.
        contrasts: for each candidate, what the model answered to its contrast question.
        attention: for each candidate [N_v], attention of its contrast question to each visual token (Eq. 6).
        discrepancy: [N_v], how much the candidates' attention differs (Eq. 7), if tokens are chosen by it.
        significance: [N_v], attention of the last question or the focus sentence, if tokens are chosen by it. Both this
            and ``discrepancy`` are None if tokens are chosen at random.
        keep: [N_v] bool, which visual tokens are kept for the last question; None keeps all.
        chosen: [len(candidates)], probability of each candidate in the last question; None if it was not asked.
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
        """Record a prompt, and how many visual tokens are read with it (by default all); return the prompt."""
        self.prompts.append(prompt)
        self.tokens_read.append(len(self.picture) if tokens is None else tokens)
        return prompt

    @property
    def names(self) -> list[str]:
        """The names by which the candidates are shown."""
        return [self.question.names[one] for one in self.candidates]

    def answer(self) -> Answer:
        """The answer: the most probable option of the last question, or the first candidate if it was not asked."""
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
            confidence=confidence(self.pair[None], unbiased=False).item(),
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
    """The contrast question (Q_ctr): why the picture shows the candidate at this place rather than the others."""
    return prompts.contrast(names[place], [name for i, name in enumerate(names) if i != place])


def gated(scores: Tensor, pair: Tensor, question: Question, gate: Literal["soft", "hard", "none"]) -> Tensor:
    """Weight the scores of the emotions by their polarity (Eq. 4).

    Args:
        scores: [N], scores of the emotions.
        pair: [2], probabilities of the positive and the negative polarity.
        question: the question, which knows the polarity of each emotion.
        gate: see ``Dan``.

    Returns:
        [N], the weighted scores, with sum 1.
    """
    import torch

    likelier = int(pair[1] > pair[0])
    weights = {"soft": pair, "hard": torch.eye(2).to(pair)[likelier], "none": torch.ones_like(pair)}[gate]
    side = [0 if label in question.positive else 1 for label in question.labels]
    weighed = scores * weights[side]
    return weighed / weighed.sum()


def pick_candidates(scores: Tensor, alpha: float, k: int) -> list[int]:
    """S* of Algorithm 1: indices of the most probable emotion and of up to k emotions that are nearly as probable.

    They are in descending order of score. An emotion is a candidate if the variance of its score and the highest score,
    ((s_max - s_i) / 2)^2, is below alpha, and every emotion with a higher score is a candidate. The emotion with the
    lowest score is never a candidate.
    """
    order = scores.argsort(descending=True, stable=True).tolist()
    chosen = order[:1]
    for one in order[1 : min(k + 1, len(order) - 1)]:
        if ((scores[chosen[0]] - scores[one]) / 2) ** 2 >= alpha:
            break
        chosen.append(one)
    return chosen


def discrepancy(attention: Sequence[Tensor]) -> Tensor:
    """How much the candidates' attention to each visual token differs (Eq. 7): sum_i |A_i - mean of the others|.

    Args:
        attention: [N_v] for each candidate, of at least two.

    Returns:
        [N_v], the discrepancy.
    """
    import torch

    rows = torch.stack(list(attention))
    others = [torch.cat([rows[:i], rows[i + 1 :]]).mean(0) for i in range(len(rows))]
    return (rows - torch.stack(others)).abs().sum(0)

"""DAN: analyse the picture, gate the emotions by polarity, then tell the likeliest apart by what speaks for each.

Ye et al., "Decoding Affective Nuances: Enhancing MLLMs via Hierarchical Emotion Reasoning and Contrastive
Discriminative Pruning", arXiv 2609.36782. There is no public code; where the paper leaves something open, docs/dan.md
says how it is read here. Two parts: HERC, hierarchical emotion reasoning (an analysis, then polarity and emotion with
it in context, Eq. 1-4), and CDVP, contrastive discriminative visual pruning (Algorithm 1, Eq. 5-10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sepm_eval import prompts
from sepm_eval.backbone.interface import Backbone, PictureTokens, Reading, VisualTokens
from sepm_eval.emotions import Polarity
from sepm_eval.methods.common import check_finite
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.numbered import read_numbers
from sepm_eval.methods.options import NUMBER, method
from sepm_eval.methods.selection import keep_most_significant
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class _Case:
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
        discrepancy: [N_v].
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

    def contrast(self, place: int) -> str:
        """The question why it is this candidate and not one of the others."""
        return prompts.contrast(self.names[place], [name for i, name in enumerate(self.names) if i != place])

    def answer(self) -> Answer:
        """The answer; its text is the letter of the option with the highest number."""
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
        )


@method
class Dan:
    """DAN and its ablations.

    Options are numbered, and which number the model would write is read off its probabilities; it writes no answer.
    So an answer's text is the chosen option's letter in the question.

    Attributes:
        analysis_tokens: how long the analysis, and a contrast that is written, may become.
        alpha: variance of two scores below which the lower one is a candidate, too. Two probabilities have 0.25 at most.
        beta: share of visual tokens that the last question is put without.
        k: how many candidates there may be besides the likeliest.
        layers: whose attention tells the candidates apart.
        gate: how the polarity weighs the emotions: by its probability ("soft"), by 1 and 0 ("hard"), or not.
        scene: have clues in the scene analysed.
        object: have clues in objects analysed. Without either nothing is analysed, and the polarity and the emotion are
            asked for as in the paper's zero-shot question.
        cdvp: contrast the candidates. Without it the likeliest emotion is the answer.
        contrast_in_context: have the contrasts written, and put the last question behind them.
    """

    analysis_tokens: Annotated[int, Field(ge=1, le=4096), NUMBER] = 256
    alpha: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.125
    beta: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.3
    k: Annotated[int, Field(ge=1, le=25), NUMBER] = 2
    layers: Literal["last3", "last", "first3", "all"] = "last3"
    gate: Literal["soft", "hard", "none"] = "soft"
    scene: bool = True
    object: bool = True
    cdvp: bool = True
    contrast_in_context: bool = False

    needs_polarities: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        return frozenset({"probe", "keep"} if self.cdvp and self.beta else ())

    def check_question(self, question: Question) -> None:
        """Make sure that a question can be put.

        Raises:
            ValueError: it offers one polarity only, or fewer options than there may be candidates.
        """
        if not 0 < len(question.positive) < len(question.labels):
            raise ValueError(f"DAN needs positive and negative emotions to choose from, not {question.labels}")
        if self.cdvp and self.k + 1 > len(question.labels):
            raise ValueError(
                f"k={self.k} makes up to {self.k + 1} candidates, and the question has {len(question.labels)} options: "
                f"use k from 1 to {len(question.labels) - 1}"
            )

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions: the pictures are encoded once, and read whole once where the model can reuse."""
        check_needs(self, backbone.supports, backbone.name)
        for question in questions:
            self.check_question(question)
        visual = backbone.see([question.image for question in questions])
        cases = [_Case(*pair) for pair in zip(questions, visual.pictures, strict=True)]
        first = self._analyse(cases, backbone, visual)
        first = self._rate(cases, backbone, visual, first)
        rows = [row for row, case in enumerate(cases) if len(case.candidates) > 1]
        if rows:
            self._contrast(cases, rows, backbone, visual, first)
            self._decide([cases[row] for row in rows], backbone, visual[rows], _rows(first, rows))
        return [case.answer() for case in cases]

    def _analyse(self, cases: Sequence[_Case], backbone: Backbone, visual: VisualTokens) -> Reading | None:
        """Have the analysis written (Q_a); the reading of the picture, to be gone on from."""
        if not (self.scene or self.object):
            return None
        ask = prompts.clues(scene=self.scene, objects=self.object)
        reading = check_finite(backbone.read([case.asked(ask) for case in cases], visual))
        for case, text in zip(cases, backbone.write(reading, self.analysis_tokens), strict=True):
            case.analysis, case.written = str(text), text.tokens
        return reading

    def _rate(
        self, cases: Sequence[_Case], backbone: Backbone, visual: VisualTokens, first: Reading | None
    ) -> Reading:
        """Polarity and emotions with the analysis in context (Q_c, Q_f), gated scores (Eq. 4), and S* (Algorithm 1).

        Returns the reading of the picture that there was, or the first one made here.
        """
        coarse, pairs = self._ask(cases, [self._coarse(case.question) for case in cases], 2, backbone, visual, first)
        fine = [prompts.numbered(case.question.names, self._sentence) for case in cases]
        _, scores = self._ask(cases, fine, 0, backbone, visual, coarse)
        for case, pair, row in zip(cases, pairs, scores, strict=True):
            case.pair, case.scores = pair, gated(row, pair, case.question, self.gate)
            case.candidates = pick_candidates(case.scores, self.alpha, self.k if self.cdvp else 0)
        return first or coarse

    def _ask(
        self,
        cases: Sequence[_Case],
        asked: Sequence[str],
        count: int,
        backbone: Backbone,
        visual: VisualTokens,
        prefix: Reading | None,
    ) -> tuple[Reading, list[Tensor]]:
        """Put a numbered question behind the analysis; of so many options, or of all emotions."""
        how = _go_on(backbone, prefix)
        turns = [
            case.asked(turn, 0 if how else None)
            if case.analysis is None
            else [case.prompts[0], case.analysis, case.asked(turn, 0 if how else None)]
            for case, turn in zip(cases, asked, strict=True)
        ]
        return read_numbers(backbone, turns, visual, [count or len(case.question.labels) for case in cases], **how)

    @property
    def _sentence(self) -> str:
        """In front of the options, with the analysis in context or without one."""
        return prompts.BY_ANALYSIS if self.scene or self.object else prompts.WORDINGS["paper"].ask

    def _coarse(self, question: Question) -> str:
        names = dict(zip(question.labels, question.names, strict=True))
        positive, negative = (
            [names[label] for label in question.of_polarity(side)] for side in ("positive", "negative")
        )
        return prompts.numbered_polarity(positive, negative, self._sentence)

    def _contrast(
        self, cases: Sequence[_Case], rows: Sequence[int], backbone: Backbone, visual: VisualTokens, first: Reading
    ) -> None:
        """Ask what speaks for each candidate (Q_ctr), see where the model looks (Eq. 5-6), and choose tokens (Eq. 7-9)."""
        if not (self.beta or self.contrast_in_context):
            return
        for place in range(max(len(cases[row].candidates) for row in rows)):
            now = [row for row in rows if place < len(cases[row].candidates)]
            how = _go_on(backbone, _rows(first, now))
            asked = [cases[row].asked(cases[row].contrast(place), 0 if how else None) for row in now]
            if self.beta:
                how |= {"probe": asked, "probe_layers": self.layers}
            reading = check_finite(backbone.read(asked, visual[now], **how))
            for row, seen in zip(now, reading.probe_attention or (), strict=False):
                cases[row].attention.append(seen)
            if self.contrast_in_context:
                for row, text in zip(now, backbone.write(reading, self.analysis_tokens), strict=True):
                    cases[row].contrasts.append(str(text))
                    cases[row].written += text.tokens
        for case in (cases[row] for row in rows) if self.beta else ():
            case.discrepancy = discrepancy(case.attention)
            case.keep = keep_most_significant(case.discrepancy, self.beta, case.picture.separators)

    def _decide(self, cases: Sequence[_Case], backbone: Backbone, visual: VisualTokens, first: Reading) -> None:
        """Choose among the candidates, with the pruned picture (Q_d, Eq. 10)."""
        keep = [case.keep for case in cases if case.keep is not None]
        how: dict[str, Any] = {"keep": keep} if keep else _go_on(backbone, first)
        turns = []
        for case in cases:
            left = None if case.keep is None else int(case.keep.sum())
            last = case.asked(prompts.numbered(case.names, prompts.BY_DISCRIMINATION), 0 if "prefix" in how else left)
            told = [turn for i, text in enumerate(case.contrasts) for turn in (case.contrast(i), text)]
            turns.append([*told, last] if told else last)
        _, chosen = read_numbers(backbone, turns, visual, [len(case.candidates) for case in cases], **how)
        for case, row in zip(cases, chosen, strict=True):
            case.chosen = row


def gated(scores: Tensor, pair: Tensor, question: Question, gate: Literal["soft", "hard", "none"]) -> Tensor:
    """Scores of the emotions weighed by their polarity (Eq. 4), [N], sum 1.

    Args:
        scores: [N], of the emotions.
        pair: [2], of positive and negative.
        question: says which emotion is which.
        gate: see ``Dan``.
    """
    import torch

    weights = {"soft": pair, "none": torch.ones_like(pair), "hard": (pair >= pair.flip(0)).to(pair)}[gate]
    if gate == "hard" and bool(weights.all()):
        weights[1] = 0
    side = [0 if label in question.positive else 1 for label in question.labels]
    weighed = scores * weights[side]
    return weighed / weighed.sum()


def pick_candidates(scores: Tensor, alpha: float, k: int) -> list[int]:
    """S* of Algorithm 1: indices of the likeliest emotion and of up to k that are nearly as likely, the likeliest first.

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


def _go_on(backbone: Backbone, prefix: Reading | None) -> dict[str, Any]:
    """How a prompt is read that begins like an earlier one: behind it, if the model can."""
    return {"prefix": prefix, "shares": "text"} if prefix is not None and "reuse" in backbone.supports else {}


def _rows(reading: Reading, rows: Sequence[int]) -> Reading:
    """Some rows of a reading; all of them without a copy."""
    return reading if len(rows) == len(reading.logits) else reading[rows]


METHODS = {"dan": Dan}

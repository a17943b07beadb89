"""DAN: analyse the picture, weight the emotions by polarity, then contrast the most probable ones with one another.

Ye et al., "Decoding Affective Nuances: Enhancing MLLMs via Hierarchical Emotion Reasoning and Contrastive
Discriminative Pruning", arXiv 2609.36782. There is no public code; docs/dan.md says what is done here where the paper
leaves something open. DAN has two parts: HERC, hierarchical emotion reasoning (an analysis, then polarity and emotion
with the analysis in context, Eq. 1-4), and CDVP, contrastive discriminative visual pruning (Algorithm 1, Eq. 5-10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sepm_eval import prompts
from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone, Reading, VisualTokens
from sepm_eval.methods.common import behind, check_finite, names_by_polarity
from sepm_eval.methods.dan_case import Case, contrast, discrepancy, gated, pick_candidates
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.numbered import read_numbers
from sepm_eval.methods.options import NUMBER, method
from sepm_eval.methods.random import random_scores
from sepm_eval.methods.selection import count_to_drop, keep_most_significant
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from torch import Tensor


@method
class Dan:
    """DAN and its ablations.

    Options are numbered. The model writes no answer: the number with the highest probability is the chosen option. So
    an answer's text is the letter that this option has in the question.

    Attributes:
        analysis_tokens: maximum number of tokens of the analysis, and of each written answer to a contrast question.
        alpha: an emotion becomes a candidate if the variance of its score and the highest score is below alpha. This
            variance is at most 0.25, for the scores 0 and 1.
        beta: share of the visual tokens that are dropped for the last question.
        k: maximum number of candidates besides the most probable emotion. It must be below the number of options, but 2
            is always allowed, because as in Algorithm 1 at least one option is never a candidate.
        layers: the decoder layers whose attention is used to choose visual tokens.
        gate: the weight of an emotion: the probability of its polarity ("soft"); 1 if its polarity is the more probable
            one and 0 otherwise ("hard"); or 1 for every emotion ("none").
        scene: let the model analyse clues in the scene.
        object: let the model analyse clues in objects. Without both there is no analysis, and polarity and emotion are
            asked for in the words of the paper's zero-shot question.
        cdvp: ask the last question. Without it the most probable emotion is the answer.
        candidates: the options of the last question: "likely" is S*, chosen by alpha and k; "all" is every emotion
            (Table 5, S).
        select: how the visual tokens for the last question are chosen: "contrast" by how much the attention of the
            contrast questions differs; the others are those of Table 6: "focus" by the attention of the
            focus-on-emotion sentence in front of the last question, "query" by the attention of the whole last
            question, "random" at random, seeded by the picture's content.
        contrast_in_context: let the model answer the contrast questions, and put these answers in context before the
            last question.
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
    candidates: Literal["likely", "all"] = "likely"
    select: Literal["contrast", "focus", "query", "random"] = "contrast"
    contrast_in_context: bool = False

    kind: ClassVar[str] = "emotion"
    title: ClassVar[str] = "DAN"
    needs_polarities: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        if not (self.cdvp and self.beta):
            return frozenset()
        return frozenset({"keep"} if self.select == "random" else {"probe", "keep"})

    def check_question(self, question: Question) -> None:
        """Make sure that a question has enough options for ``k``.

        Raises:
            ValueError: k is too large for the number of options.
        """
        most = max(len(question.labels) - 1, 2)
        if self.cdvp and self.candidates == "likely" and self.k > most:
            raise ValueError(
                f"k={self.k} means {self.k + 1} candidates, and the question has {len(question.labels)} options: use k "
                f"from 1 to {most}"
            )

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompts of a question if there will be as many candidates as ``k`` allows."""
        asked = [prompts.clues(scene=self.scene, objects=self.object)] if self._analyses else []
        asked += [self._coarse(question), prompts.numbered(question.names, self._sentence)]
        names = question.names
        if self.candidates == "likely":
            names = names[: min(self.k + 1, len(names) - 1)]
        if self.cdvp and len(names) > 1:
            asked += [contrast(names, place) for place in range(len(names))] if self._contrasts else []
            asked += [self._looking(names)] if self._looks else []
            asked.append(prompts.numbered(names, prompts.BY_DISCRIMINATION))
        return tuple(asked)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer, for a backbone that supports "reuse" and an analysis of maximum length.

        The analysis is priced as read again behind the first question, which it is if the tokenizer splits it
        differently from what the model wrote.
        """
        looked = text.before + geometry.visual_tokens()
        told, turns, reads = 0, list(text.after), []
        if self._analyses:
            reads = [Read(looked + turns[0], written=self.analysis_tokens)]
            told = turns.pop(0)
        coarse, fine, *later = turns
        analysis = self.analysis_tokens if self._analyses else 0
        reads.append(Read(analysis + coarse, cached=looked + told) if told else Read(looked + coarse))
        reads.append(Read(fine, cached=looked + told + analysis))
        if not later:
            return Work((1.0,), tuple(reads), answers=False)
        *contrasts, last = later
        looking = contrasts.pop() if self._looks else 0
        layers = {"last": 1, "all": geometry.decoder.layers}.get(self.layers, min(3, geometry.decoder.layers))
        written = self.analysis_tokens if self.contrast_in_context else 0
        for turn in contrasts:
            reads.append(Read(turn, looked, turn if self._differ else 0, layers=layers, written=written))
        if looking:
            probed = looking if self.select == "query" else text.probed
            reads.append(Read(looking, looked, probed, layers=layers))
        last += (sum(contrasts) + len(contrasts) * written) if written else 0
        dropped = count_to_drop(self.beta, geometry.visual_tokens())
        reads.append(Read(looked - dropped + last) if self.beta else Read(last, cached=looked))
        return Work((1.0,), tuple(reads), answers=False)

    @property
    def _analyses(self) -> bool:
        return self.scene or self.object

    @property
    def _differ(self) -> bool:
        """Whether tokens are chosen by how much the attention of the contrast questions differs."""
        return bool(self.beta) and self.select == "contrast"

    @property
    def _contrasts(self) -> bool:
        """Whether contrast questions come before the last question, to choose tokens or to have answers in context."""
        return self._differ or self.contrast_in_context

    @property
    def _looks(self) -> bool:
        """Whether an additional prompt is read only for its attention to the visual tokens (see ``_looking``)."""
        return bool(self.beta) and self.select in ("focus", "query")

    def _looking(self, names: Sequence[str]) -> str:
        """The prompt whose attention chooses the tokens: the last question, with all visual tokens."""
        asked = prompts.numbered(names, prompts.BY_DISCRIMINATION)
        return f"{prompts.FOCUS_ON_EMOTION}\n{asked}" if self.select == "focus" else asked

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions.

        The pictures are encoded once. If the model supports "reuse", the unpruned visual tokens are read only once.
        """
        check_needs(self, backbone.supports, backbone.name)
        for question in questions:
            self.check_question(question)
        visual = backbone.see([question.image for question in questions])
        cases = [Case(*pair) for pair in zip(questions, visual.pictures, strict=True)]
        first = self._analyse(cases, backbone, visual)
        first = self._rate(cases, backbone, visual, first)
        rows = [row for row, case in enumerate(cases) if len(case.candidates) > 1]
        if rows:
            self._contrast(cases, rows, backbone, visual, first)
            unsure, pictures, read = [cases[row] for row in rows], visual[rows], _rows(first, rows)
            self._choose_tokens(unsure, backbone, pictures, read)
            self._decide(unsure, backbone, pictures, read)
        return [case.answer() for case in cases]

    def _analyse(self, cases: Sequence[Case], backbone: Backbone, visual: VisualTokens) -> Reading | None:
        """Let the model write the analysis (Q_a); return the reading of the picture, from which later prompts go on."""
        if not self._analyses:
            return None
        ask = prompts.clues(scene=self.scene, objects=self.object)
        reading = check_finite(backbone.read([case.asked(ask) for case in cases], visual))
        if "reuse" not in backbone.supports:
            texts = backbone.write(reading, self.analysis_tokens)
        else:  # the next questions go on behind the analysis, as far as it is tokenised as it was written
            from sepm_eval.backbone.continuing import with_written

            texts = backbone.write(reading, self.analysis_tokens, tails=True)
            reading = with_written(reading, texts)
        for case, text in zip(cases, texts, strict=True):
            case.analysis, case.written = str(text), text.tokens
        return reading

    def _rate(self, cases: Sequence[Case], backbone: Backbone, visual: VisualTokens, first: Reading | None) -> Reading:
        """Ask for polarity and emotion with the analysis in context (Q_c, Q_f); find scores (Eq. 4) and S*.

        Returns:
            The given reading of the picture, or the one made here if none was given.
        """
        coarse, pairs = self._ask(cases, [self._coarse(case.question) for case in cases], 2, backbone, visual, first)
        fine = [prompts.numbered(case.question.names, self._sentence) for case in cases]
        _, scores = self._ask(cases, fine, 0, backbone, visual, coarse)
        for case, pair, row in zip(cases, pairs, scores, strict=True):
            case.pair, case.scores = pair, gated(row, pair, case.question, self.gate)
            case.candidates = self._offered(case.scores)
        return first or coarse

    def _offered(self, scores: Tensor) -> list[int]:
        """Indices of the options of the last question, the most probable first; a single one is the answer."""
        if self.cdvp and self.candidates == "all":
            return scores.argsort(descending=True, stable=True).tolist()
        return pick_candidates(scores, self.alpha, self.k if self.cdvp else 0)

    def _ask(
        self,
        cases: Sequence[Case],
        asked: Sequence[str],
        count: int,
        backbone: Backbone,
        visual: VisualTokens,
        prefix: Reading | None,
    ) -> tuple[Reading, list[Tensor]]:
        """Ask a numbered question after the analysis, with ``count`` options; 0 stands for all emotions."""
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
        """The sentence in front of the options, with or without an analysis in context."""
        return prompts.BY_ANALYSIS if self._analyses else prompts.WORDINGS["paper"].ask

    def _coarse(self, question: Question) -> str:
        return prompts.numbered_polarity(*names_by_polarity(question, "DAN"), self._sentence)

    def _contrast(
        self, cases: Sequence[Case], rows: Sequence[int], backbone: Backbone, visual: VisualTokens, first: Reading
    ) -> None:
        """Ask each candidate's contrast question (Q_ctr), for its attention (Eq. 5-6), a written answer, or both."""
        if not self._contrasts:
            return
        for place in range(max(len(cases[row].candidates) for row in rows)):
            now = [row for row in rows if place < len(cases[row].candidates)]
            how = _go_on(backbone, _rows(first, now))
            asked = [cases[row].asked(contrast(cases[row].names, place), 0 if how else None) for row in now]
            if self._differ:
                how |= {"probe": asked, "probe_layers": self.layers}
            reading = check_finite(backbone.read(asked, visual[now], **how))
            for row, seen in zip(now, reading.probe_attention or (), strict=False):
                cases[row].attention.append(seen)
            if self.contrast_in_context:
                for row, text in zip(now, backbone.write(reading, self.analysis_tokens), strict=True):
                    cases[row].contrasts.append(str(text))
                    cases[row].written += text.tokens

    def _choose_tokens(self, cases: Sequence[Case], backbone: Backbone, visual: VisualTokens, first: Reading) -> None:
        """Choose the visual tokens for the last question: by the contrast questions (Eq. 7-9), or as in Table 6."""
        if not self.beta:
            return
        if self.select == "contrast":
            rated = [discrepancy(case.attention) for case in cases]
        elif self.select == "random":
            places = [case.picture.features.device for case in cases]
            found = [random_scores(case.question.image, len(case.picture), seed=0) for case in cases]
            rated = [numbers.to(place) for numbers, place in zip(found, places, strict=True)]
        else:
            rated = self._look(cases, backbone, visual, first)
        for case, row in zip(cases, rated, strict=True):
            case.discrepancy = row if self.select == "contrast" else None
            case.significance = row if self._looks else None
            case.keep = keep_most_significant(row, self.beta, case.picture.separators)

    def _look(self, cases: Sequence[Case], backbone: Backbone, visual: VisualTokens, first: Reading) -> list[Tensor]:
        """For each picture [N_v]: attention of the last question, or of the focus sentence before it, to each token."""
        how = _go_on(backbone, first)
        asked = [case.asked(self._looking(case.names), 0 if how else None) for case in cases]
        how["probe"] = asked if self.select == "query" else prompts.FOCUS_ON_EMOTION
        reading = check_finite(backbone.read(asked, visual, probe_layers=self.layers, **how))
        return list(reading.probe_attention or ())

    def _decide(self, cases: Sequence[Case], backbone: Backbone, visual: VisualTokens, first: Reading) -> None:
        """Choose among the candidates, with the visual tokens that are kept (Q_d, Eq. 10)."""
        keep = [case.keep for case in cases if case.keep is not None]
        how: dict[str, Any] = {"keep": keep} if keep else _go_on(backbone, first)
        turns = []
        for case in cases:
            left = None if case.keep is None else int(case.keep.sum())
            last = case.asked(prompts.numbered(case.names, prompts.BY_DISCRIMINATION), 0 if "prefix" in how else left)
            told = [turn for i, text in enumerate(case.contrasts) for turn in (contrast(case.names, i), text)]
            turns.append([*told, last] if told else last)
        _, chosen = read_numbers(backbone, turns, visual, [len(case.candidates) for case in cases], **how)
        for case, row in zip(cases, chosen, strict=True):
            case.chosen = row


def _go_on(backbone: Backbone, prefix: Reading | None) -> dict[str, Any]:
    """The arguments of ``Backbone.read`` to continue from an earlier reading; none if the model cannot do that."""
    return behind(prefix if "reuse" in backbone.supports else None)


def _rows(reading: Reading, rows: Sequence[int]) -> Reading:
    """Some rows of a reading; if these are all rows, the reading itself without a copy."""
    return reading if len(rows) == len(reading.logits) else reading[rows]


METHODS = {"dan": Dan}

"""SEPM: ask for the polarity first, then for the emotion with fewer options and fewer visual tokens.

Fang et al., "Catch Your Emotion: Sharpening Emotion Perception in Multimodal Large Language Models", ICML 2025,
Algorithm 1. It has three parts, each with a switch (Table 3): CCI, confidence-guided coarse-to-fine inference; FP, the
focus-on-emotion sentence; VTA, visual token augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from sepm_eval import prompts
from sepm_eval.backbone.cost import Geometry, Read, Text, Work, one_reading
from sepm_eval.backbone.interface import Backbone, Reading, VisualTokens
from sepm_eval.emotions import Polarity
from sepm_eval.methods import evidence as ev
from sepm_eval.methods.before import PruneBefore, Rule, keep_chosen, see
from sepm_eval.methods.cdpruner import CdPruner, ClipPlace
from sepm_eval.methods.common import ask, check_finite, names_by_polarity
from sepm_eval.methods.divprune import DivPrune
from sepm_eval.methods.fastervlm import FasterVlm
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.options import NUMBER, method
from sepm_eval.methods.selection import count_to_drop, keep_most_significant
from sepm_eval.methods.uniform import Uniform
from sepm_eval.methods.vispruner import VisPruner
from sepm_eval.types import Answer, Evidence, Question

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Preset:
    """The points other than wording in which the paper and its public code (fuyyyyy/SEPM at c9f7c4f) differ.

    Attributes:
        beta: default share of visual tokens to drop; the 0.1 of the code is hard-coded there.
        unbiased: whether the confidence is the sample variance (code) instead of the population variance of Eq. 4.
        sure_at_threshold: whether stage 1 counts as sure if its confidence is equal to alpha.
    """

    beta: float
    unbiased: bool
    sure_at_threshold: bool


PRESETS = {
    "paper": Preset(beta=0.2, unbiased=False, sure_at_threshold=False),
    "code": Preset(beta=0.1, unbiased=True, sure_at_threshold=True),
}

RULES: dict[str, type[PruneBefore]] = {
    "cdpruner": CdPruner,
    "divprune": DivPrune,
    "fastervlm": FasterVlm,
    "uniform": Uniform,
    "vispruner": VisPruner,
}


@method
class Sepm:
    """SEPM and its ablations.

    Attributes:
        alpha: confidence above which stage 2 offers the labels of one polarity only. The confidence is at most 0.25
            with preset "paper" and at most 0.5 with "code".
        beta: share of visual tokens that stage 2 does not see; None is the preset's value (paper 0.2, code 0.1).
        preset: "paper" follows the paper, "code" the public code.
        cci: coarse-to-fine inference. Without it stage 2 offers all labels and does not mention ambiguity.
        foe: put "Please focus on emotion." in front of every question.
        vta: drop visual tokens. With select="focus" this needs ``foe``, whose tokens' attention says which visual
            tokens matter. With ``cci`` off, the coarse question is read only to choose the tokens.
        select: how the kept visual tokens are chosen: "focus" by the attention of the focus sentence, any other name by
            the rule of that method, which keeps round((1 - beta) n) of n tokens. The text that cdpruner compares with
            the picture is the coarse question.
        clip: the paired CLIP for select="cdpruner"; None is the default of that method.
        reuse: stage 2 continues from stage 1's KV cache of the picture, so that only the text is read anew. This is
            exact for beta=0, and otherwise an approximation: the kept tokens have attended to the dropped ones in stage
            1, and keep their positions.
    """

    alpha: Annotated[float, Field(ge=0, lt=0.5), NUMBER] = 0.1
    beta: Annotated[float, Field(ge=0, lt=1), NUMBER] | None = None
    preset: Literal["code", "paper"] = "paper"
    cci: bool = True
    foe: bool = True
    vta: bool = True
    select: Literal["focus", "cdpruner", "divprune", "fastervlm", "uniform", "vispruner"] = "focus"
    clip: ClipPlace | None = None
    reuse: bool = False

    kind: ClassVar[str] = "emotion"
    title: ClassVar[str] = "SEPM"
    needs_polarities: ClassVar[bool] = True
    reads_focus: ClassVar[bool] = True  # whether the focus sentence or ``select`` chooses tokens; subclasses differ

    def __post_init__(self) -> None:
        if self.beta is None:
            object.__setattr__(self, "beta", PRESETS[self.preset].beta)
        if self.select != "focus" and not (self.vta and self.reads_focus):
            raise ValueError(f"select={self.select!r} goes with method sepm and vta=True only; set select='focus'")
        if self.clip is not None and self.select != "cdpruner":
            raise ValueError("clip is for select='cdpruner' only; leave it out")
        if self.vta and self.reads_focus and self.select == "focus" and not self.foe:
            raise ValueError("vta=True needs foe=True: the attention of the focus sentence says which tokens to drop")
        if self.reuse and not (self.cci or self.vta):
            raise ValueError("reuse=True needs cci=True or vta=True: without a first stage there is nothing to reuse")

    @property
    def drops(self) -> bool:
        """See ``Method.drops``."""
        return self.vta and bool(self.beta)

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""
        chosen = frozenset({"probe", "keep"}) if self.rule is None else self.rule.needs
        return (chosen if self.vta else frozenset()) | ({"reuse"} if self.reuse else set())

    @property
    def checkpoints(self) -> dict[str, str]:
        """See ``Method.checkpoints``."""
        return getattr(self.rule, "checkpoints", {})

    @property
    def rule(self) -> Rule | None:
        """The rule that chooses tokens; None if the attention of the focus sentence does."""
        if self.select == "focus":
            return None
        return RULES[self.select]() if self.clip is None else CdPruner(clip=self.clip)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompts of a question if stage 1 will be sure of the polarity, and of that with more labels."""
        wording = prompts.WORDINGS[self.preset]
        more = max(question.of_polarity("positive"), question.of_polarity("negative"), key=len)
        fine = prompts.fine(question.options(more if self.cci else None), wording, foe=self.foe)
        return (self._coarse(question, wording), fine) if self.cci or self.vta else (fine,)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer."""
        if not (self.cci or self.vta):
            return one_reading(geometry, text)
        assert self.beta is not None  # set in __post_init__
        visual, (coarse, fine) = geometry.visual_tokens(), text.after
        first = Read(text.before + visual + coarse, probed=self._probed(text) if self.vta else 0)
        if self.reuse:  # dropped tokens are masked out, but stay in the KV cache
            return Work((1.0,), (first, Read(fine - text.shared, cached=text.before + visual + text.shared)))
        left = self._left(visual) if self.vta else visual
        return Work((1.0,), (first, Read(text.before + left + fine)))

    def _left(self, visual_tokens: int) -> int:
        """How many visual tokens stage 2 sees: n - floor(beta n) by Eq. 9, round((1 - beta) n) if a rule chooses."""
        assert self.beta is not None  # set in __post_init__
        if self.rule is None:
            return visual_tokens - count_to_drop(self.beta, visual_tokens)
        return round((1 - Fraction(str(self.beta))) * visual_tokens)

    def _probed(self, text: Text) -> int:
        """Of how many tokens of the first prompt the attention is read."""
        return text.probed if self.rule is None else 0

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions in two stages (in one without cci and vta); each picture is encoded once."""
        check_needs(self, backbone.supports, backbone.name)
        wording = prompts.WORDINGS[self.preset]
        visual = see(questions, backbone, self.rule)
        found: list[Evidence] = []
        keep: list[Tensor] | None = None
        first: Reading | None = None
        asked: list[str] = []
        if self.cci or self.vta:
            asked = [self._coarse(question, wording) for question in questions]
            found, keep, first = self._stage_one(questions, asked, backbone, visual)
        fine = [
            prompts.fine(
                question.options(found[i].candidates if found else None),
                wording,
                foe=self.foe,
                ambiguous=self.cci and found[i].ambiguous,
            )
            for i, question in enumerate(questions)
        ]
        first_tokens = visual.counts if asked else ()
        visual = self._second_look(questions, backbone, visual)
        return ask(
            questions,
            fine,
            backbone,
            visual,
            keep=keep,
            prefix=first,
            evidence=found or None,
            asked_before=asked,
            read_before=first_tokens,
        )

    def _probe(self, asked: Sequence[str]) -> str | Sequence[str] | None:
        """The words whose attention says which visual tokens matter; None if no attention is read."""
        return prompts.WORDINGS[self.preset].probe if self.rule is None else None

    def _significance(
        self, questions: Sequence[Question], attention: Sequence[Tensor] | None, visual: VisualTokens
    ) -> Sequence[Tensor] | None:
        """For each picture [n_i]: significance of each visual token (Eq. 8); None if tokens are not dropped by it."""
        return attention

    def _second_look(self, questions: Sequence[Question], backbone: Backbone, visual: VisualTokens) -> VisualTokens:
        """The visual tokens for stage 2, before any are dropped."""
        return visual

    def _coarse(self, question: Question, wording: prompts.Wording) -> str:
        return prompts.coarse(*names_by_polarity(question, "SEPM"), wording, foe=self.foe)

    def _stage_one(
        self, questions: Sequence[Question], asked: Sequence[str], backbone: Backbone, visual: VisualTokens
    ) -> tuple[list[Evidence], list[Tensor] | None, Reading | None]:
        """Algorithm 1 up to Eq. 9: the evidence, the masks of kept visual tokens, and the reading to continue from."""
        preset = PRESETS[self.preset]
        probe = self._probe(asked) if self.vta else None
        reading = check_finite(backbone.read(asked, visual, probe=probe))
        letters = "".join(letter for letter, _ in prompts.COARSE_OPTIONS)
        pair = ev.answer_probabilities(reading.logits, backbone.letter_ids(letters))
        confidence = ev.confidence(pair, unbiased=preset.unbiased)
        sure = ev.is_sure(confidence, self.alpha, at_threshold=preset.sure_at_threshold)
        significance, keep = None, None
        if self.vta:
            significance = self._significance(questions, reading.probe_attention, visual)
        if self.vta and (rule := self.rule) is not None:
            keep = [
                keep_chosen(rule, picture, self._left(len(picture)), question.image, prompt)
                for picture, question, prompt in zip(visual.pictures, questions, asked, strict=True)
            ]
        if significance is not None:
            assert self.beta is not None  # set in __post_init__
            keep = [
                keep_most_significant(rated, self.beta, picture.separators)
                for rated, picture in zip(significance, visual.pictures, strict=True)
            ]
        found = []
        for i, question in enumerate(questions):
            polarity: Polarity = "positive" if pair[i, 0] >= pair[i, 1] else "negative"
            narrowed = self.cci and bool(sure[i])
            found.append(
                Evidence(
                    p_positive=pair[i, 0].item(),
                    p_negative=pair[i, 1].item(),
                    confidence=confidence[i].item(),
                    polarity=polarity,
                    ambiguous=not sure[i],
                    candidates=question.of_polarity(polarity) if narrowed else question.labels,
                    significance=None if significance is None else significance[i].cpu().numpy(),
                    dropped=() if keep is None else tuple((~keep[i]).nonzero().flatten().tolist()),
                )
            )
        return found, keep, reading if self.reuse else None


METHODS = {"sepm": Sepm}

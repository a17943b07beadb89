"""A control: a smaller picture in place of fewer chosen visual tokens.

Pruning methods often fail to beat this baseline (Chenfei Liao et al., arXiv 2510.07143). The method ``downsample`` does
the same in stage 2 of SEPM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.budget import Budget, share_of
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question


@method
class ZeroShotDownsample:
    """Zero-shot with a picture so small that it has about as many visual tokens as a budget allows.

    Attributes:
        budget: number of visual tokens, out of LLaVA-1.5's 576, or a share of them below 1. A grid has whole rows, so
            in LLaVA-1.5 there are 14 x 14 = 196 tokens for 192, 11 x 11 = 121 for 128, and exactly 8 x 8 for 64.
    """

    budget: Budget = 192

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Smaller picture"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"resize"})
    drops: ClassVar[bool] = False  # the smaller picture has fewer tokens, but all of them are seen

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one prefill each, with smaller pictures."""
        check_needs(self, backbone.supports, backbone.name)
        visual = backbone.see([question.image for question in questions], side=self._side)
        return ask(questions, [zero_shot_prompt(question) for question in questions], backbone, visual)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer."""
        tokens = text.before + geometry.visual_tokens(self._side) + text.after[0]
        return Work((self._side,), (Read(tokens),))

    @property
    def _side(self) -> float:
        """Side of the smaller picture as a share of the usual side: the root of the budget's share of the tokens."""
        return float(share_of(self.budget)) ** 0.5


METHODS = {"zero_shot_downsample": ZeroShotDownsample}

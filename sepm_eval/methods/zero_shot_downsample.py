"""A smaller picture in place of chosen visual tokens: what a method that chooses has to be better than.

A baseline that pruning methods often fail to beat (Chenfei Liao et al., arXiv 2510.07143). ``downsample`` is SEPM with
the same.
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
    """Zero-shot with a picture so small that it gives about as many visual tokens as a budget allows.

    Attributes:
        budget: how many visual tokens, of LLaVA-1.5's 576, or which share of them. A grid has whole rows: of 576 tokens
            192 become 14 x 14 = 196, 128 become 121, and 64 are exact.
    """

    budget: Budget = 192

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Smaller picture"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"resize"})
    drops: ClassVar[bool] = False  # a smaller picture has fewer tokens, of which all are seen

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions with one reading each, of smaller pictures."""
        check_needs(self, backbone.supports, backbone.name)
        visual = backbone.see([question.image for question in questions], side=self._side)
        return ask(questions, [zero_shot_prompt(question) for question in questions], backbone, visual)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """What one answer asks of a backbone."""
        tokens = text.before + geometry.visual_tokens(self._side) + text.after[0]
        return Work((self._side,), (Read(tokens),))

    @property
    def _side(self) -> float:
        """Side of the smaller picture as a share of the usual one: it has the budget's share of its area."""
        return float(share_of(self.budget)) ** 0.5


METHODS = {"zero_shot_downsample": ZeroShotDownsample}

"""What the methods share that drop visual tokens between decoder layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone, Cut
from sepm_eval.methods.budget import FULL
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.needs import check_needs
from sepm_eval.types import Answer, Question

DEPTH = 32
"""Number of decoder layers of LLaVA-1.5-7B; the layer numbers in papers refer to this model."""


class PruneInside:
    """Zero-shot with one prefill per question, in which a ``Cut`` drops visual tokens between layers."""

    kind: ClassVar[str] = "pruning"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"prune"})

    @property
    def drops(self) -> bool:
        """See ``Method.drops``."""
        return any(left < FULL for left in self.cut.left(DEPTH, FULL).values())

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions, each with one pruned prefill."""
        check_needs(self, backbone.supports, backbone.name)
        visual = backbone.see([question.image for question in questions])
        asked = [prompt for question in questions for prompt in self.foreseen(question)]
        return ask(questions, asked, backbone, visual, prune=self.cut)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer, without the rating of tokens, which costs almost nothing."""
        around, count = text.before + text.after[0], geometry.visual_tokens()
        cuts = self.cut.left(geometry.decoder.layers, count)
        return Work((1.0,), (Read(around + count, left=tuple((layer, around + left) for layer, left in cuts.items())),))

    @property
    def cut(self) -> Cut:
        """How many tokens are dropped after which layers."""
        raise NotImplementedError

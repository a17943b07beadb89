"""What the methods share that choose visual tokens before the language model reads any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone, PictureTokens, VisualTokens
from sepm_eval.methods.budget import Budget, share_of, tokens_within
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.options import method
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

TOWER = frozenset({"class_token", "tower"})
"""Abilities for which ``Backbone.see`` must be called with ``tower=True``."""


@dataclass(frozen=True)
class Candidates:
    """The visual tokens of a picture among which a rule chooses: all but the separators.

    Attributes:
        features: [n, D], the tokens' embeddings as the language model would receive them (D its width).
        more: "class_attention" [n] and "tower_features" [n, C] of these tokens, if read (see ``PictureTokens.more``).
        image: the picture.
        asked: the user's turn that is read with the picture.
    """

    features: Tensor
    more: dict[str, Tensor]
    image: Image
    asked: str

    def __len__(self) -> int:
        return len(self.features)


class Rule(Protocol):
    """A rule to choose visual tokens; every subclass of ``PruneBefore`` is one."""

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """Indices of the tokens to keep, [count], distinct and in any order; count is from 1 to len(candidates)."""


def see(questions: Sequence[Question], backbone: Backbone, rule: Rule | None = None) -> VisualTokens:
    """Encode the pictures of these questions, with the outputs of the vision tower that a rule needs."""
    images = [question.image for question in questions]
    tower = rule is not None and rule.needs & TOWER
    return backbone.see(images, tower=True) if tower else backbone.see(images)


def keep_chosen(rule: Rule, picture: PictureTokens, count: int, image: Image, asked: str) -> Tensor:
    """Choose which visual tokens of a picture to keep.

    Separators are always kept, and count among the kept tokens, because the model reads them; the rule does not see
    them. At least one token that is no separator is kept, however small the count is.

    Args:
        rule: the rule that chooses.
        picture: the visual tokens of the picture.
        count: how many tokens to keep, separators included.
        image: the picture itself.
        asked: the user's turn that is read with the picture.

    Returns:
        [n] bool, which tokens are kept.
    """
    keep = picture.separators
    places = (~keep).nonzero().flatten()
    wanted = min(max(count - (len(picture) - len(places)), 1), len(places))
    shown = {key: picture.more[key] for key in ("class_attention", "tower_features") if key in picture.more}
    more = {key: one[places.to(one.device)] for key, one in shown.items()}  # a tower may be on another device
    chosen = rule.choose(Candidates(picture.features[places], more, image, asked), wanted)
    keep[places[chosen.to(places.device)]] = True
    return keep


@method
class PruneBefore:
    """Zero-shot with a part of the visual tokens; a subclass defines the rule that chooses them.

    Attributes:
        budget: how many visual tokens are kept, out of LLaVA-1.5's 576, or a share of them below 1.
    """

    budget: Budget = 192

    kind: ClassVar[str] = "pruning"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"keep"})

    @property
    def drops(self) -> bool:
        """See ``Method.drops``."""
        return share_of(self.budget) < 1

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """See ``Rule.choose``."""
        raise NotImplementedError

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions, each with one prefill over the kept tokens."""
        check_needs(self, backbone.supports, backbone.name)
        visual = see(questions, backbone, self)
        asked = [zero_shot_prompt(question) for question in questions]
        keep = [
            keep_chosen(self, picture, tokens_within(self.budget, len(picture)), question.image, prompt)
            for picture, question, prompt in zip(visual.pictures, questions, asked, strict=True)
        ]
        return ask(questions, asked, backbone, visual, keep=keep)

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer, without the choice of tokens, which costs almost nothing."""
        kept = tokens_within(self.budget, geometry.visual_tokens())
        return Work((1.0,), (Read(text.before + kept + text.after[0]),))

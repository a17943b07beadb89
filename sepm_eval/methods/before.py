"""Visual tokens chosen before the language model reads any: what the methods have in common that do so."""

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
"""Abilities for which ``Backbone.see`` has to be asked with ``tower=True``."""


@dataclass(frozen=True)
class Candidates:
    """The visual tokens among which is chosen: those of a picture that show something.

    Attributes:
        features: [n, D], as the language model would receive them.
        more: see ``PictureTokens.more``; of "class_attention" [n] and "tower_features" [n, C] the same tokens' rows.
        image: the picture.
        asked: the user's turn that is read with it.
    """

    features: Tensor
    more: dict[str, Tensor]
    image: Image
    asked: str

    def __len__(self) -> int:
        return len(self.features)


class Rule(Protocol):
    """A way to choose visual tokens; every method whose class is a ``PruneBefore`` is one."""

    @property
    def needs(self) -> frozenset[str]:
        """See ``Method.needs``."""

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """Indices of the tokens that stay, [count] in any order, each once; count is from 1 to len(candidates)."""


def see(questions: Sequence[Question], backbone: Backbone, rule: Rule | None = None) -> VisualTokens:
    """Look at the pictures of these questions, with what a rule needs of the vision tower."""
    images = [question.image for question in questions]
    tower = rule is not None and rule.needs & TOWER
    return backbone.see(images, tower=True) if tower else backbone.see(images)


def keep_chosen(rule: Rule, picture: PictureTokens, count: int, image: Image, asked: str) -> Tensor:
    """Which visual tokens of a picture stay, [n] bool.

    Separators always stay. They count, because they are read, but a rule neither sees nor chooses them. One token that
    shows something stays, however small the count is.

    Args:
        rule: chooses.
        picture: its visual tokens.
        count: how many stay, separators included.
        image: the picture itself.
        asked: the user's turn that is read with it.
    """
    keep = picture.separators
    places = (~keep).nonzero().flatten()
    wanted = min(max(count - (len(picture) - len(places)), 1), len(places))
    shown = {key: picture.more[key] for key in ("class_attention", "tower_features") if key in picture.more}
    more = {key: one[places.to(one.device)] for key, one in shown.items()}  # a tower may have a device of its own
    chosen = rule.choose(Candidates(picture.features[places], more, image, asked), wanted)
    keep[places[chosen.to(places.device)]] = True
    return keep


@method
class PruneBefore:
    """Zero-shot over a part of the visual tokens; a subclass has the rule by which they are chosen.

    Attributes:
        budget: how many visual tokens are kept, of LLaVA-1.5's 576, or which share of them.
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
        """Answer a batch of questions with one reading each, of the tokens kept."""
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
        """What one answer asks of a backbone; the choice itself, which costs next to nothing, is left out."""
        kept = tokens_within(self.budget, geometry.visual_tokens())
        return Work((1.0,), (Read(text.before + kept + text.after[0]),))

"""VisPruner: keep the visual tokens to which the class token attends most, and diverse ones among the others.

Zhang et al., "Beyond Text-Visual Attention: Exploiting Visual Cues for Effective Token Pruning in VLMs", ICCV 2025,
arXiv 2412.01818v2, and the authors' code (Theia-4869/VisPruner at aefa01a, ``llava/model/llava_arch.py``). Departures:

* Similarities are computed in float32, whatever the model's dtype.
* The code fails or keeps too few tokens if an odd number of them, or fewer than 16, remain. Here a step never drops
  more tokens than there are at even places; where the code works, the result is that of the code.

The rule is unstable: how a step pairs tokens depends on the whole order after the previous step, so that a difference
in the last digit of a similarity can change a third of the kept tokens. With other hardware or another precision, other
tokens are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import NUMBER, method

if TYPE_CHECKING:
    from torch import Tensor

STEP = 8  # maximum number of tokens to drop before the remaining ones are paired again


def important_and_diverse(attention: Tensor, features: Tensor, count: int, ratio: float) -> Tensor:
    """Select visual tokens as VisPruner does.

    Args:
        attention: [n], attention of the class token to each token.
        features: [n, C], features of the vision tower before the projector (C its width).
        count: how many tokens to keep.
        ratio: share of the kept tokens that is chosen by attention.

    Returns:
        [count] indices: first the tokens chosen by attention, then the diverse ones.
    """
    import torch

    order = attention.argsort(descending=True, stable=True)
    important, rest = order[: int(count * ratio)], order[int(count * ratio) :]
    diverse = count - len(important)
    if not diverse:
        return important
    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    while len(rest) > diverse:
        even, odd = rest[::2], rest[1::2]
        likeness = (unit[even] @ unit[odd].mT).amax(-1)
        dropped = min(STEP, len(rest) - diverse, len(even))
        stays = likeness.argsort(descending=True, stable=True)[dropped:]
        rest = torch.cat([even[stays], odd])
    return torch.cat([important, rest])


@method
class VisPruner(PruneBefore):
    """Zero-shot with important and diverse visual tokens.

    Attributes:
        budget: see ``PruneBefore``.
        important_ratio: share of the kept tokens that is chosen by the class token's attention.
    """

    important_ratio: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.5

    title: ClassVar[str] = "VisPruner"
    needs: ClassVar[frozenset[str]] = frozenset({"keep", "class_token", "tower"})

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """See ``Rule.choose``."""
        attention, features = (candidates.more[key] for key in ("class_attention", "tower_features"))
        return important_and_diverse(attention, features, count, self.important_ratio)


METHODS = {"vispruner": VisPruner}

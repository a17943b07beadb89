"""DivPrune: keep the visual tokens that are most unlike one another.

Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025, arXiv 2503.02175,
and the authors' code (vbdi/divprune at 799e2d9, ``LLaVA/llava/model/llava_arch.py``). Departures:

* Distances are computed in float32, whatever the model computes in.
* Where nothing but exact copies of picked tokens is left, these fill up; the code picks a token twice and keeps fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor


def most_diverse(features: Tensor, count: int) -> Tensor:
    """The max-min selection of tokens by cosine distance.

    The first is the one whose nearest other token is farthest; then, again and again, the one whose nearest token among
    those picked is farthest. Of equal ones the first is taken.

    Args:
        features: [n, D], as the language model would receive them.
        count: how many to pick.

    Returns:
        [count] indices in the order in which they were picked.
    """
    import torch

    if count >= len(features):
        return torch.arange(len(features), device=features.device)
    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    distance = 1 - unit @ unit.mT
    nearest_other = distance.topk(2, dim=0, largest=False).values[1]
    picked = [nearest_other.argmax()]
    nearest = distance[picked[0]].clone()
    nearest[picked[0]] = float("-inf")
    for _ in range(count - 1):
        picked.append(nearest.argmax())
        nearest = nearest.minimum(distance[picked[-1]])
        nearest[picked[-1]] = float("-inf")
    return torch.stack(picked)


@method
class DivPrune(PruneBefore):
    """Zero-shot over the most diverse visual tokens; see ``PruneBefore`` for the option."""

    title: ClassVar[str] = "DivPrune"

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """See ``Rule.choose``."""
        return most_diverse(candidates.features, count)


METHODS = {"divprune": DivPrune}

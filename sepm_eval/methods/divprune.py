"""DivPrune: keep the visual tokens that differ most from one another.

Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025, arXiv 2503.02175,
and the authors' code (vbdi/divprune at 799e2d9, ``LLaVA/llava/model/llava_arch.py``). Departures:

* Distances are computed in float32, whatever the model's dtype.
* If only exact copies of picked tokens remain, copies are picked; the code picks a token twice and so keeps fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor


def most_diverse(features: Tensor, count: int) -> Tensor:
    """Max-min selection of tokens by cosine distance.

    First the token whose nearest other token is farthest away is picked; then, repeatedly, the token whose nearest
    picked token is farthest away. Ties go to the first token.

    Args:
        features: [n, D], the visual tokens as the language model would receive them.
        count: how many tokens to pick.

    Returns:
        [count] indices in the order in which they were picked; all n in their order if count is n or more.
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
    """Zero-shot with the most diverse visual tokens; see ``PruneBefore`` for the option."""

    title: ClassVar[str] = "DivPrune"

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """See ``Rule.choose``."""
        return most_diverse(candidates.features, count)


METHODS = {"divprune": DivPrune}

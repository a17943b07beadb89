"""FasterVLM: keep the visual tokens to which the class token of the vision tower attends most.

Zhang et al., "[CLS] Attention is All You Need for Training-Free Visual Token Pruning: Make VLM Inference Faster",
arXiv 2412.01818, and the authors' code (Theia-4869/FasterVLM at f5d5f12, ``llava/model/llava_arch.py``). Departures:
the softmax is computed in float32, whatever the model's dtype, and of tokens with equal attention the first is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor


@method
class FasterVlm(PruneBefore):
    """Zero-shot with the visual tokens to which the class token attends most; see ``PruneBefore`` for the option."""

    title: ClassVar[str] = "FasterVLM"
    needs: ClassVar[frozenset[str]] = frozenset({"keep", "class_token"})

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """Indices of the tokens with the highest attention, see ``Rule.choose``."""
        return candidates.more["class_attention"].argsort(descending=True, stable=True)[:count]


METHODS = {"fastervlm": FasterVlm}

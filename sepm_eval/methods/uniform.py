"""A control: evenly spaced visual tokens, a baseline that every pruning method should beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor


@method
class Uniform(PruneBefore):
    """Zero-shot with visual tokens at a uniform stride; see ``PruneBefore`` for the option."""

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Uniform tokens"

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """The indices floor(i n / count) for i from 0 to count - 1, see ``Rule.choose``."""
        import torch

        return torch.arange(count) * len(candidates) // count


METHODS = {"uniform": Uniform}

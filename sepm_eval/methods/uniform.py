"""Evenly spaced visual tokens: what a method that chooses has to be better than."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor


@method
class Uniform(PruneBefore):
    """Zero-shot over visual tokens at a uniform stride; see ``PruneBefore`` for the option."""

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Uniform tokens"

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """The tokens floor(i n / count), in the order in which they are read."""
        import torch

        return torch.arange(count) * len(candidates) // count


METHODS = {"uniform": Uniform}

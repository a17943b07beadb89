"""A control: visual tokens chosen at random, a baseline that every pruning method should beat.

At some budgets, many methods do not beat it (UniPruneBench, arXiv 2511.02650).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from sepm_eval.images import image_sha256
from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import LARGEST, NUMBER, method

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def random_scores(image: Image, tokens: int, seed: int) -> Tensor:
    """Draw a random number from 0 to 1 for each visual token of a picture.

    Args:
        image: the picture. The numbers depend on its content, not on its place in a batch or a benchmark.
        tokens: how many visual tokens the picture has.
        seed: the seed; another seed yields other numbers.

    Returns:
        [tokens] float32, on the CPU.
    """
    import torch

    digest = int(image_sha256(image)[:16], 16)
    return torch.from_numpy(np.random.default_rng([seed, digest]).random(tokens)).float()


@method
class Random(PruneBefore):
    """Zero-shot with random visual tokens.

    Attributes:
        budget: see ``PruneBefore``.
        seed: a whole number from 0; the seed and the picture's content decide which tokens are kept.
    """

    seed: Annotated[int, Field(ge=0, le=LARGEST), NUMBER] = 0

    kind: ClassVar[str] = "control"
    title: ClassVar[str] = "Random tokens"

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """Indices of the tokens with the highest random numbers, see ``Rule.choose``."""
        scores = random_scores(candidates.image, len(candidates), self.seed)
        return scores.argsort(descending=True, stable=True)[:count]


METHODS = {"random": Random}

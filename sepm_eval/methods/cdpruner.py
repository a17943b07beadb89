"""CDPruner: keep the visual tokens that are diverse given the question.

Zhang et al., "Beyond Attention or Similarity: Maximizing Conditional Diversity for Token Pruning in MLLMs",
NeurIPS 2025, arXiv 2506.10967, and the authors' code (Theia-4869/CDPruner at 9541616, ``llava/model/llava_arch.py``).
Departures:

* Relevance is scaled for each picture. The code scales it over a whole batch, so that an answer depends on the other
  pictures; its scripts run with one picture at a time, where both scalings are equal.
* The text is the whole user's turn. The code's scripts cut LLaVA's short-answer sentence off its end, which none of our
  questions has.
* Everything is computed in float32, whatever the model's dtype.
* The kernel's rank is at most the width of the language model. If more tokens are asked for, the code returns fewer;
  here the most relevant of the remaining tokens are added.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator

from sepm_eval.methods.before import Candidates, PruneBefore
from sepm_eval.methods.options import method

if TYPE_CHECKING:
    from torch import Tensor

CLIP = "openai/clip-vit-large-patch14-336"  # its vision half is the vision tower of LLaVA-1.5


def _place(clip: str) -> str:
    if not {"/", os.sep} & set(clip) or "\0" in clip:
        raise ValueError(f"give a folder, with a slash in it (./clip), or a hub id such as {CLIP}")
    return clip


ClipPlace: TypeAlias = Annotated[str, AfterValidator(_place)]
"""Type of an option: a folder or hub id. Whether it holds a CLIP is checked only when it is loaded."""


def relevance(image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
    """Relevance of each visual token to a text, from just above 0 to just above 1.

    The cosine similarity is negated, as in the code: in CLIP, the patches that show what the text says are the least
    similar to it.

    Args:
        image_embeds: [n, P], embeddings of one picture's patches in CLIP's joint space of width P.
        text_embeds: [segments, P], embeddings of the text's segments; the similarity is averaged over the segments.

    Returns:
        [n], the relevance; all 1 if no token is more relevant than another.
    """
    import torch

    image, text = (torch.nn.functional.normalize(one.float(), dim=-1) for one in (image_embeds, text_embeds))
    score = -(image @ text.mT).mean(-1)
    spread = score.max() - score.min()
    return torch.ones_like(score) if spread == 0 else (score - score.min() + 1e-6) / spread


def conditionally_diverse(features: Tensor, relevant: Tensor, count: int) -> Tensor:
    """Greedy MAP inference of a determinantal point process with kernel r_i S_ij r_j, where S is the cosine similarity.

    Args:
        features: [n, D], the visual tokens as the language model would receive them.
        relevant: [n], the relevance r.
        count: how many tokens to pick, at most n.

    Returns:
        [count] indices in the order in which they were picked.
    """
    import torch

    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    kernel = relevant[:, None] * (unit @ unit.mT) * relevant
    gain = kernel.diagonal().clone()
    factors = kernel.new_zeros(count, len(features))
    picked: list[int] = []
    for step in range(count):
        best = int(gain.argmax())
        if not gain[best] > 0:
            break
        row = kernel[best] - factors[:step, best] @ factors[:step]
        factors[step] = row / gain[best].sqrt()
        gain = gain - factors[step].square()
        picked.append(best)
        gain[best] = float("-inf")
    left = relevant.clone()
    left[picked] = float("-inf")
    filled = left.argsort(descending=True, stable=True)[: count - len(picked)]
    return torch.cat([torch.tensor(picked, device=filled.device, dtype=filled.dtype), filled])


@method
class CdPruner(PruneBefore):
    """Zero-shot with the visual tokens that are diverse given the question.

    Attributes:
        budget: see ``PruneBefore``.
        clip: folder or hub id of the CLIP model whose vision half is the model's vision tower. Only its text tower and
            its projections are loaded, once.
    """

    clip: ClipPlace = CLIP

    title: ClassVar[str] = "CDPruner"
    needs: ClassVar[frozenset[str]] = frozenset({"keep", "tower"})

    @property
    def checkpoints(self) -> dict[str, str]:
        """See ``Method.checkpoints``."""
        return {"clip": self.clip}

    def choose(self, candidates: Candidates, count: int) -> Tensor:
        """See ``Rule.choose``."""
        from sepm_eval.backbone.paired_clip import paired_clip  # imports transformers

        clip = paired_clip(self.clip, str(candidates.features.device))
        image = clip.of_features(candidates.more["tower_features"])
        return conditionally_diverse(candidates.features, relevance(image, clip.of_text(candidates.asked)), count)


METHODS = {"cdpruner": CdPruner}

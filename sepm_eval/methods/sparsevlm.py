"""SparseVLM, version 1.0: text tokens related to the picture rate the visual tokens after three decoder layers.

Zhang et al., "SparseVLM: Visual Token Sparsification for Efficient Vision-Language Model Inference", arXiv 2410.04417,
and the authors' code (Gumpest/SparseVLMs at 26a5f48). The reference code breaks ties of density with random noise; here
the token with the higher score counts as denser, which is one of the outcomes possible there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from sepm_eval.backbone.cost import Geometry, Read, Text, Work
from sepm_eval.backbone.interface import Backbone
from sepm_eval.methods.budget import FULL
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.needs import check_needs
from sepm_eval.methods.options import NUMBER, method
from sepm_eval.types import Answer, Question

if TYPE_CHECKING:
    from torch import Tensor

# Budget -> number of visual tokens kept after the decoder layers 2, 6 and 15 of LLaVA-1.5 (576 visual tokens).
KEPT = {192: (300, 200, 110), 128: (303, 110, 36), 96: (238, 48, 26), 64: (66, 30, 17)}
LAYERS = (2, 6, 15)


@dataclass(frozen=True)
class Sparsify:
    """SparseVLM's pruning during one prefill (a ``Prune``).

    Attributes:
        kept: for each layer of ``layers``, how many visual tokens are kept after it, not counting merged ones.
        layers: the decoder layers after which tokens are removed. Layers that a smaller model does not have are
            skipped, and a model that has none of them is refused.
    """

    kept: tuple[int, ...]
    layers: tuple[int, ...] = LAYERS

    def raters(self, visual: Tensor, text: Tensor) -> Tensor:
        """The text tokens whose mean softmax similarity to the visual tokens is above average (paper, Sec. 3.2)."""
        relevance = (visual.float() @ text.float().mT).softmax(-1).mean(0)
        return relevance > relevance.mean()

    def step(self, layer: int, visual: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keep the tokens with the highest scores in their order, and merge some of the others (Sec. 3.3 and 3.4)."""
        keep = min(self.kept[self.layers.index(layer)], len(visual) - 1)
        order = scores.argsort(descending=True, stable=True)
        kept, dropped = order[:keep].sort().values, order[keep:]
        recycled = dropped[: int(0.3 * len(dropped)) + 1]
        merged, centres = merge(visual[recycled])
        return kept, merged, recycled[centres]


def merge(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Merge recycled tokens by density-peaks clustering, each cluster into its mean.

    Args:
        tokens: [n, D], in descending order of score.

    Returns:
        The means [n // 10 + 1, D], and for each cluster the index of the token that is its centre.
    """
    import torch

    clusters = len(tokens) // 10 + 1
    points = tokens.float()
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / points.shape[1] ** 0.5
    nearest = distance.topk(clusters, largest=False).values
    density = (-(nearest**2).mean(-1)).exp()
    rank = torch.arange(len(points), device=points.device)
    denser = (density[None] > density[:, None]) | ((density[None] == density[:, None]) & (rank[None] < rank[:, None]))
    to_denser = distance.masked_fill(~denser, float("inf")).amin(-1)
    to_denser = torch.where(denser.any(-1), to_denser, distance.max())
    centres = (to_denser * density).argsort(descending=True, stable=True)[:clusters]
    home = distance[centres].argmin(0)
    home[centres] = torch.arange(clusters, device=points.device)
    return torch.stack([points[home == cluster].mean(0) for cluster in range(clusters)]), centres


@method
class SparseVlm:
    """Zero-shot with SparseVLM.

    Attributes:
        budget: mean number of visual tokens over LLaVA-1.5's layers, out of 576: 192, 128, 96 or 64. For models with
            another number of visual tokens, the counts are scaled.
    """

    budget: Annotated[Literal[192, 128, 96, 64], NUMBER] = 192

    kind: ClassVar[str] = "pruning"
    title: ClassVar[str] = "SparseVLM"
    needs_polarities: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"prune"})
    drops: ClassVar[bool] = True

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer a batch of questions, each with one pruned prefill."""
        check_needs(self, backbone.supports, backbone.name)
        visual = backbone.see([question.image for question in questions])
        asked = [prompt for question in questions for prompt in self.foreseen(question)]
        answers: dict[int, Answer] = {}
        kinds = [(len(picture), int(picture.separators.sum())) for picture in visual.pictures]
        for kind in dict.fromkeys(kinds):
            rows = [row for row, other in enumerate(kinds) if other == kind]
            alike = [questions[row] for row in rows], [asked[row] for row in rows]
            answers.update(
                zip(rows, ask(*alike, backbone, visual[rows], prune=Sparsify(self._kept(*kind))), strict=True)
            )
        return [answers[row] for row in range(len(questions))]

    def foreseen(self, question: Question) -> tuple[str, ...]:
        """The prompt of a question."""
        return (zero_shot_prompt(question),)

    def work(self, geometry: Geometry, text: Text) -> Work:
        """The computations of one answer, without the choice of raters, which costs almost nothing."""
        around, count = text.before + text.after[0], geometry.visual_tokens()
        tokens, left = around + count, []
        for layer, kept in zip(LAYERS, self._kept(count), strict=True):
            keep = min(kept, count - 1)
            recycled = int(0.3 * (count - keep)) + 1
            count = keep + recycled // 10 + 1
            if layer < geometry.decoder.layers:
                left.append((layer, around + count))
        return Work((1.0,), (Read(tokens, left=tuple(left)),))

    def _kept(self, visual_tokens: int, separators: int = 0) -> tuple[int, ...]:
        """``KEPT`` scaled to this number of visual tokens; separators, which are kept anyway, are subtracted."""
        return tuple(max(round(count * visual_tokens / FULL) - separators, 0) for count in KEPT[self.budget])


METHODS = {"sparsevlm": SparseVlm}

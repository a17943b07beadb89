"""Visual tokens removed between decoder layers: what a ``Prune`` or ``Cut`` does to the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sepm_eval.backbone.interface import Cut, Prune

if TYPE_CHECKING:
    from sepm_eval.backbone.causal_lm import Prompt


def layers_of(prune: Cut | Prune, count: int) -> tuple[int, ...]:
    """After which layers of a model of so many something is pruned.

    Raises:
        ValueError: after none.
    """
    wanted = tuple(prune.left(count, 1)) if isinstance(prune, Cut) else tuple(prune.layers)
    last = count - 1 if isinstance(prune, Cut) else count  # behind the last layer nothing reads what is left
    found = tuple(layer for layer in wanted if 0 <= layer < last)
    if not found:
        raise ValueError(
            f"nothing would be pruned: {type(prune).__name__} acts after the decoder layers {list(wanted)}, and "
            f"this model has the layers 0 to {count - 1}"
        )
    return found


def rated(
    prune: Cut | Prune, prompts: Sequence[Prompt], visual: Sequence[Tensor], embedded: Sequence[Tensor]
) -> list[Prompt]:
    """The prompts with their probe at the tokens behind the image that rate the visual ones.

    visual: [n_i, D] each; embedded: [length_i, D] each, the prompts with their visual tokens.

    Raises:
        FloatingPointError: none does in some row, so that nothing says what to remove.
    """
    if isinstance(prune, Cut):
        return [replace(prompt, probed=[len(prompt.after) - 1]) for prompt in prompts]
    found = []
    for prompt, tokens, row in zip(prompts, visual, embedded, strict=True):
        text = row[len(row) - len(prompt.after) :]
        found.append(replace(prompt, probed=prune.raters(tokens.to(row), text).nonzero().flatten().tolist()))
    silent = [row for row, prompt in enumerate(found) if not prompt.probed]
    if silent:
        raise FloatingPointError(f"no token behind the image rates the visual tokens (rows {silent} of the batch)")
    return found


@dataclass(frozen=True)
class Rows:
    """Prompts between two layers of the decoder, on their way to fewer visual tokens.

    Attributes:
        hidden: [B, L, D].
        attended: [B, L] bool, which positions are not padding.
        places: [B, L], the position of each token; padding has 0.
        after: how many tokens each row has behind the image.
        whole: how many visual tokens each row had at first.
        counts: how many it still has.
    """

    hidden: Tensor
    attended: Tensor
    places: Tensor
    after: tuple[int, ...]
    whole: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, embedded: Sequence[Tensor], prompts: Sequence[Prompt], visual: Sequence[Tensor]) -> Rows:
        """Prompts in front of the first layer: [length_i, D] of each, and its visual tokens among them, [n_i, D]."""
        hidden, attended = pad_left(embedded)
        after, counts = tuple(len(prompt.after) for prompt in prompts), tuple(map(len, visual))
        return cls(hidden, attended, positions(attended), after, counts, counts)

    def pruned(self, prune: Cut | Prune, layer: int, layers: int, attention: Tensor) -> Rows:
        """The rows without what goes after a layer.

        Args:
            prune: what goes.
            layer: the layer's index.
            layers: how many layers the decoder has.
            attention: [B, L], of the raters.

        Raises:
            FloatingPointError: the attention is not finite.
        """
        broken = (~torch.isfinite(attention).all(-1)).nonzero().flatten().tolist()
        if broken:
            raise FloatingPointError(
                f"the attention in layer {layer} that rates the visual tokens is NaN or infinite (rows {broken} of the "
                "batch); try dtype=float32"
            )
        rows, places, counts = [], [], []
        starts = (~self.attended).sum(-1).tolist()
        for i, (start, text, count) in enumerate(zip(starts, self.after, self.counts, strict=True)):
            end = self.hidden.shape[1] - text
            visual, scores = self.hidden[i, end - count : end], attention[i, end - count : end]
            kept = torch.arange(count, device=scores.device)
            if isinstance(prune, Cut):
                kept = highest(scores, prune.left(layers, self.whole[i])[layer])
                visual = visual[kept.to(visual.device)]
            else:
                visual = prune.step(layer, visual, scores)
            rows.append(torch.cat([self.hidden[i, start : end - count], visual.to(self.hidden), self.hidden[i, end:]]))
            stays = [*range(start, end - count), *(end - count + kept).tolist(), *range(end, end + text)]
            places.append(self.places[i, stays, None])
            counts.append(len(visual))
        hidden, attended = pad_left(rows)
        stay = isinstance(prune, Cut) and prune.positions == "kept"
        now = pad_left(places)[0][..., 0] if stay else positions(attended)
        return Rows(hidden, attended, now, self.after, self.whole, tuple(counts))


def highest(scores: Tensor, count: int) -> Tensor:
    """Indices of the highest scores in ascending order, [n] -> [min(count, n)]; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def positions(attended: Tensor) -> Tensor:
    """Positions that count from each row's first token, [B, L]; padding gets 0."""
    return (attended.long().cumsum(-1) - 1).clamp(min=0)


def pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[length_i, D] each -> [B, L, D] and which positions are not padding, [B, L] bool."""
    length = max(len(row) for row in rows)
    padded = torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    attended = torch.arange(length, device=padded.device) >= length - lengths[:, None]
    return padded, attended

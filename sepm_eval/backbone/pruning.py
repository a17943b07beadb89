"""Visual tokens removed between decoder layers: what a ``Prune`` or ``Cut`` does to the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sepm_eval.backbone.interface import Cut, Prune


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


def raters(prune: Cut | Prune, visual: Sequence[Tensor], texts: Sequence[Tensor]) -> list[list[int]]:
    """Which tokens of the text behind each picture rate its visual tokens, as indices into that text.

    visual: [n_i, D] each; texts: [t_i, D] each, the text's input embeddings.

    Raises:
        FloatingPointError: none does in some row, so that nothing says what to remove.
    """
    if isinstance(prune, Cut):
        return [[len(text) - 1] for text in texts]
    found = [
        prune.raters(tokens.to(text), text).nonzero().flatten().tolist()
        for tokens, text in zip(visual, texts, strict=True)
    ]
    silent = [row for row, rating in enumerate(found) if not rating]
    if silent:
        raise FloatingPointError(f"no token behind the image rates the visual tokens (rows {silent} of the batch)")
    return found


@dataclass(frozen=True)
class Rows:
    """Which tokens of a batch of prompts go into a layer, on their way to fewer visual ones.

    Attributes:
        attended: [B, L] bool, which positions are not padding.
        places: [B, L], the position of each token, or [B, L, 3] where it is a place in the picture (M-RoPE), which
            stays whatever is dropped; padding has 0.
        columns: [B, L], where each token stood in the padded prompts, counted from 1; padding has 0.
        patches: [B, L] bool, the visual tokens that may go: all but separators.
        behind: how many tokens each row has behind its last visual token.
        whole: how many visual tokens each row had at first.
        counts: how many it still has.
    """

    attended: Tensor
    places: Tensor
    columns: Tensor
    patches: Tensor
    behind: tuple[int, ...]
    whole: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, places: Sequence[Tensor], visual: Sequence[Tensor], patches: Sequence[Tensor]) -> Rows:
        """Prompts in front of the first layer.

        Args:
            places: the positions of each prompt, [length_i] or [length_i, 3].
            visual: [length_i] bool of each, which of its tokens are visual.
            patches: [length_i] bool of each, which of those may go.
        """
        placed, attended = _padded(places)
        columns = torch.arange(1, attended.shape[1] + 1, device=attended.device) * attended
        counts = tuple(int(row.sum()) for row in visual)
        behind = tuple(len(row) - 1 - int(row.nonzero()[-1]) for row in visual)
        return cls(attended, placed, columns, _padded(patches)[0], behind, counts, counts)

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        parts = {name: getattr(self, name).to(device) for name in ("attended", "places", "columns", "patches")}
        return replace(self, **parts)

    def pruned(
        self, prune: Cut | Prune, layer: int, layers: int, hidden: Tensor, attention: Tensor
    ) -> tuple[Rows, Tensor]:
        """The rows without what goes after a layer, and their hidden states.

        Args:
            prune: what goes.
            layer: the layer's index.
            layers: how many layers the decoder has.
            hidden: [B, L, D], what the layer gave.
            attention: [B, L], of the raters.

        Returns:
            The rows, and [B, L', D]. Merged tokens stand behind the last visual one that stays.

        Raises:
            FloatingPointError: the attention is not finite.
        """
        broken = (~torch.isfinite(attention).all(-1)).nonzero().flatten().tolist()
        if broken:
            raise FloatingPointError(
                f"the attention in layer {layer} that rates the visual tokens is NaN or infinite (rows {broken} of the "
                "batch); try dtype=float32"
            )
        states, orders, counts = [], [], []
        for i, (text, whole, count) in enumerate(zip(self.behind, self.whole, self.counts, strict=True)):
            own = self.patches[i].nonzero().flatten()
            separators = count - len(own)  # they stay in any case
            wanted = prune.left(layers, whole)[layer] - separators if isinstance(prune, Cut) else 0
            kept, merged, centres = _left(prune, layer, hidden[i, own], attention[i, own], max(wanted, 0))
            end = hidden.shape[1] - text
            stays = self.attended[i, :end].clone()
            stays[own] = False
            stays[own[kept]] = True
            front = stays.nonzero().flatten()
            states.append(torch.cat([hidden[i, front], merged.to(hidden), hidden[i, end:]]))
            orders.append(torch.cat([front, own[centres], torch.arange(end, hidden.shape[1], device=front.device)]))
            counts.append(count - len(own) + len(kept) + len(merged))
        shorter, attended = pad_left(states)
        stay = self.places.ndim == 3 or (isinstance(prune, Cut) and prune.positions == "kept")
        rows = replace(
            self,
            attended=attended,
            places=self._picked(self.places, orders) if stay else positions(attended),
            columns=self._picked(self.columns, orders),
            patches=self._picked(self.patches, orders),
            counts=tuple(counts),
        )
        return rows, shorter

    @staticmethod
    def _picked(of: Tensor, orders: Sequence[Tensor]) -> Tensor:
        """Some tokens of each row, padded on the left with 0."""
        return _padded([row[order] for row, order in zip(of, orders, strict=True)])[0]


def _left(prune: Cut | Prune, layer: int, tokens: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """What ``Prune.step`` gives; of a ``Cut``, which merges nothing, the ``count`` best rated tokens."""
    if isinstance(prune, Cut):
        kept = highest(scores, count)
        return kept, tokens[:0], kept[:0]
    return prune.step(layer, tokens, scores)


def highest(scores: Tensor, count: int) -> Tensor:
    """Indices of the highest scores in ascending order, [n] -> [min(count, n)]; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def positions(attended: Tensor) -> Tensor:
    """Positions that count from each row's first token, [B, L]; padding gets 0."""
    return (attended.long().cumsum(-1) - 1).clamp(min=0)


def causal(attended: Tensor, new: int) -> Tensor:
    """What the last ``new`` positions see, [B, 1, new, L] bool: what is not padding, up to themselves.

    attended: [B, L] bool. Padding sees itself, so that no row is empty.
    """
    columns = torch.arange(attended.shape[1], device=attended.device)
    rows = columns[-new:, None]
    return (attended[:, None, None, :] & (columns <= rows)) | (columns == rows)


def pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[length_i, D] each -> [B, L, D] and which positions are not padding, [B, L] bool."""
    length = max(len(row) for row in rows)
    padded = torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    attended = torch.arange(length, device=padded.device) >= length - lengths[:, None]
    return padded, attended


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The same for [length_i] each -> [B, L], too."""
    if rows[0].ndim == 2:
        return pad_left(rows)
    padded, attended = pad_left([row[:, None] for row in rows])
    return padded[..., 0], attended

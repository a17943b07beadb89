"""Removing visual tokens between decoder layers: what a ``Prune`` or ``Cut`` does to the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sepm_eval.backbone.interface import Cut, Prune


def layers_of(prune: Cut | Prune, count: int) -> tuple[int, ...]:
    """The layers after which something is pruned, in a model of ``count`` layers.

    Raises:
        ValueError: there is no such layer.
    """
    wanted = tuple(prune.left(count, 1)) if isinstance(prune, Cut) else tuple(prune.layers)
    last = count - 1 if isinstance(prune, Cut) else count  # after the last layer, nothing reads what a ``Cut`` leaves
    found = tuple(layer for layer in wanted if 0 <= layer < last)
    if not found:
        raise ValueError(
            f"nothing would be pruned: {type(prune).__name__} acts after the decoder layers {list(wanted)}, and "
            f"this model has the layers 0 to {count - 1}"
        )
    return found


def raters(prune: Cut | Prune, visual: Sequence[Tensor], texts: Sequence[Tensor]) -> list[list[int]]:
    """Which tokens of the text after each picture rate its visual tokens, as indices into that text.

    visual: [n_i, D] each; texts: [t_i, D] each, the text's input embeddings.

    Raises:
        FloatingPointError: in some row no token does, so that nothing says what to remove.
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
    """The tokens of a batch of prompts that enter a decoder layer, while visual tokens are removed between layers.

    Attributes:
        attended: [B, L] bool, which positions are not padding.
        places: [B, L], the position of each token, or [B, L, 3] with M-RoPE, where it is a place in the picture and
            stays whatever is dropped; padding has 0.
        columns: [B, L], the column of each token in the original padded prompts, counted from 1; padding has 0.
        patches: [B, L] bool, the visual tokens that may be removed: all but separators.
        behind: for each row, the number of tokens after its last visual token.
        whole: for each row, the number of visual tokens at first.
        counts: for each row, the number of visual tokens that are left.
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
        """The rows that enter the first layer.

        Args:
            places: for each prompt [length_i] or [length_i, 3], its positions.
            visual: for each prompt [length_i] bool, which of its tokens are visual.
            patches: for each prompt [length_i] bool, which of its visual tokens may be removed.
        """
        placed, attended = _padded(places)
        columns = torch.arange(1, attended.shape[1] + 1, device=attended.device) * attended
        counts = tuple(int(row.sum()) for row in visual)
        behind = tuple(len(row) - 1 - int(row.nonzero()[-1]) for row in visual)
        return cls(attended, placed, columns, _padded(patches)[0], behind, counts, counts)

    def to(self, device: torch.device) -> Rows:
        """The same rows on another device."""
        parts = {name: getattr(self, name).to(device) for name in ("attended", "places", "columns", "patches")}
        return replace(self, **parts)

    def pruned(
        self, prune: Cut | Prune, layer: int, layers: int, hidden: Tensor, attention: Tensor
    ) -> tuple[Rows, Tensor]:
        """Remove tokens after a layer, from the rows and from their hidden states.

        Args:
            prune: decides which tokens are removed.
            layer: index of the layer.
            layers: how many layers the decoder has.
            hidden: [B, L, D], the output of the layer.
            attention: [B, L], mean attention of the raters to each position.

        Returns:
            The new rows, and their hidden states, [B, L', D]. Merged tokens stand after the last visual token that
            stays.

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
            separators = count - len(own)  # these always stay
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
        """Select tokens of each row, and pad the rows with 0 on the left."""
        return _padded([row[order] for row, order in zip(of, orders, strict=True)])[0]


def _left(prune: Cut | Prune, layer: int, tokens: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The result of ``Prune.step``; for a ``Cut``, which merges nothing, the ``count`` tokens with the best scores."""
    if isinstance(prune, Cut):
        kept = highest(scores, count)
        return kept, tokens[:0], kept[:0]
    return prune.step(layer, tokens, scores)


def highest(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` highest scores, ascending, [n] -> [min(count, n)]; of equal scores the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def positions(attended: Tensor) -> Tensor:
    """Positions that count from each row's first token, [B, L]; padding gets 0."""
    return (attended.long().cumsum(-1) - 1).clamp(min=0)


def causal(attended: Tensor, new: int) -> Tensor:
    """Causal mask of the last ``new`` positions, [B, 1, new, L] bool: they see attended positions up to themselves.

    attended: [B, L] bool. A position that is not attended to still sees itself, so that no row of the mask is empty.
    """
    columns = torch.arange(attended.shape[1], device=attended.device)
    rows = columns[-new:, None]
    return (attended[:, None, None, :] & (columns <= rows)) | (columns == rows)


def pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad rows on the left, [length_i, D] each -> [B, L, D], and which positions are not padding, [B, L] bool."""
    length = max(len(row) for row in rows)
    padded = torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    attended = torch.arange(length, device=padded.device) >= length - lengths[:, None]
    return padded, attended


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Like ``pad_left``, but also for rows of shape [length_i], which become [B, L]."""
    if rows[0].ndim == 2:
        return pad_left(rows)
    padded, attended = pad_left([row[:, None] for row in rows])
    return padded[..., 0], attended

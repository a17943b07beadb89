"""The rows of a batch of prompts with pictures, before they are padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from sepm_eval.backbone.interface import PictureTokens
from sepm_eval.model_wrappers._hf.prompts import Prompt


@dataclass
class SeenPictures(BaseModelOutputWithPooling):
    """Output of the vision side. When it is moved between devices, its fields move with it, but no other attributes.

    Attributes:
        deepstack_features: for each level, a list with [n, D] of each picture.
    """

    deepstack_features: Any = None


class Row:
    """One row of a batch before padding: its prompt, which columns (tokens) stay, and what each column is.

    Attributes:
        prompt: the whole prompt.
        kept: [L] bool, False for dropped visual tokens.
        columns: indices of the columns that stay.
        positions: [L] or [3, L], the positions that the model is given.
        places: [L] or [3, L], the positions if no token were dropped.
        types: [L], token types: 1 for visual tokens if the family marks them, otherwise 0.
        before: the token ids up to the end of the picture; empty without a picture.
        behind: the token ids of the text after the picture.
    """

    def __init__(self, prompt: Prompt, kept: Tensor, positions: Tensor, places: Tensor, types: Tensor) -> None:
        self.prompt, self.ids, self.kept = prompt, prompt.ids, kept
        self.positions, self.places, self.types = positions, places, types
        self.columns = kept.nonzero().flatten()
        slots = prompt.slots.nonzero().flatten()
        self.before = tuple(prompt.ids[: int(slots[-1]) + 1].tolist()) if len(slots) else ()
        self.behind = tuple(prompt.ids[len(self.before) :].tolist())

    def patches(self, picture: PictureTokens) -> Tensor:
        """Which tokens of the prompt may be dropped, [L] bool: the picture's tokens except separators."""
        found = self.prompt.slots.clone()
        found[self.prompt.slots] = ~picture.separators.cpu()
        return found


def pad_left_to(rows: Sequence[Tensor], length: int, batch_dim: int = 0) -> Tensor:
    """Pad rows, [..., L_i] each, with 0 on the left to one length and stack them, [..., B, L]."""
    padded = [nn.functional.pad(row, (length - row.shape[-1], 0)) for row in rows]
    return torch.stack(padded, dim=batch_dim)


def select_and_pad(rows: Sequence[Tensor], columns: Sequence[Tensor], length: int, batch_dim: int = 0) -> Tensor:
    """Select columns of each row, and pad and stack them as ``pad_left_to`` does."""
    return pad_left_to([row[..., at] for row, at in zip(rows, columns, strict=True)], length, batch_dim)

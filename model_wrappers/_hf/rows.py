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
    """What the vision side gives. Its fields, no other attributes, come along from device to device.

    Attributes:
        deepstack_features: for each level, of each picture [n, D].
    """

    deepstack_features: Any = None


class Row:
    """One row of a batch before padding: its prompt, which columns stay, and what each column is.

    Attributes:
        prompt: the whole prompt.
        kept: [L] bool, False for dropped visual tokens.
        columns: the columns that stay.
        positions: [L] or [3, L], as the model is given them.
        places: the same with no token dropped.
        types: [L], 1 for visual tokens where the family marks them.
        before: the ids up to the end of the picture; empty without one.
        behind: those of the text behind it.
    """

    def __init__(self, prompt: Prompt, kept: Tensor, positions: Tensor, places: Tensor, types: Tensor) -> None:
        self.prompt, self.ids, self.kept = prompt, prompt.ids, kept
        self.positions, self.places, self.types = positions, places, types
        self.columns = kept.nonzero().flatten()
        slots = prompt.slots.nonzero().flatten()
        self.before = tuple(prompt.ids[: int(slots[-1]) + 1].tolist()) if len(slots) else ()
        self.behind = tuple(prompt.ids[len(self.before) :].tolist())

    def patches(self, picture: PictureTokens) -> Tensor:
        """Which tokens of the prompt may be dropped, [L] bool: those of the picture that are no separators."""
        found = self.prompt.slots.clone()
        found[self.prompt.slots] = ~picture.separators.cpu()
        return found


def left(rows: Sequence[Tensor], length: int, batch_dim: int = 0) -> Tensor:
    """Rows padded with 0 on the left to one length, stacked: [..., B, L]."""
    padded = [nn.functional.pad(row, (length - row.shape[-1], 0)) for row in rows]
    return torch.stack(padded, dim=batch_dim)


def picked(rows: Sequence[Tensor], columns: Sequence[Tensor], length: int, batch_dim: int = 0) -> Tensor:
    """Some columns of each row, padded as ``left`` does."""
    return left([row[..., at] for row, at in zip(rows, columns, strict=True)], length, batch_dim)

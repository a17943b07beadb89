"""Several questions about one picture in one row, so that the picture is read once for all of them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """A picture's shared beginning and several questions after it, in one row; the questions do not see each other."""

    ids: Tensor
    mask: Tensor
    positions: Tensor
    asked_at: Tensor
    answers: Tensor


def pack(beginning: list[int], questions: list[list[list[int]]], answers: list[list[int]], pad: int) -> Packed:
    """Lay out a batch.

    Args:
        beginning: ids up to and with the image tokens, the same in every row.
        questions: for each row the ids of every question, from after the image to the end of the prompt.
        answers: for each row the id that answers each question; it stands after the prompt, as in generation.
        pad: id that fills short rows.
    """
    rows = [[[*ids, answer] for ids, answer in zip(*row, strict=True)] for row in zip(questions, answers, strict=True)]
    length = len(beginning) + max(sum(map(len, row)) for row in rows)
    ids = torch.full((len(rows), length), pad)
    block = torch.full((len(rows), length), -1)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    asked_at = torch.empty(len(rows), len(rows[0]), dtype=torch.long)
    for r, row in enumerate(rows):
        at = 0
        for number, part in enumerate([beginning, *row]):
            here = slice(at, at + len(part))
            ids[r, here], block[r, here] = torch.tensor(part), number
            positions[r, here] = torch.arange(len(part)) + (len(beginning) if number else 0)
            at += len(part)
            if number:
                asked_at[r, number - 1] = at - 2
    order = torch.arange(length)
    visible = (order[:, None] >= order) & ((block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None]))
    mask = torch.zeros(visible.shape, dtype=torch.bfloat16).masked_fill(~visible, -1e4)[:, None]
    return Packed(ids, mask, positions, asked_at, torch.tensor(answers))

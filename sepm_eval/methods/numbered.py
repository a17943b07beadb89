"""Numbered options: the probability of each number as the answer, even if it consists of several tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sepm_eval.backbone.interface import Backbone, Reading, Turns, VisualTokens
from sepm_eval.methods.common import behind, check_finite

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Numbers:
    """The numbers 1, 2, ... as token ids of a model.

    Attributes:
        lead: token ids with which every number begins, such as the separate space token before a digit in Llama.
        ids: for each number, the token ids after ``lead``.
        digits: the token ids of the ten digits as the second digit of a number; empty if every number is one token.
    """

    lead: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    digits: tuple[int, ...]

    @classmethod
    def of(cls, backbone: Backbone, count: int) -> Numbers:
        """Tokenise the numbers from 1 to ``count``, which is at least 2.

        Raises:
            ValueError: the tokenizer writes the numbers neither as one token each nor digit by digit.
        """
        written = backbone.answer_ids([str(number) for number in range(1, count + 1)])
        lead = [same[0] for same in takewhile(lambda ids: len(set(ids)) == 1, zip(*written, strict=False))]
        ids = tuple(tuple(one[len(lead) :]) for one in written)
        digits: list[int] = []
        if any(len(one) > 1 for one in ids):
            first, *longer = backbone.answer_ids(["1", *(f"1{digit}" for digit in range(10))])
            if any(one[:-1] != first for one in longer) or {len(one) for one in ids[9:]} != {2}:
                raise ValueError(
                    f"{backbone.name}: its tokenizer writes the numbers 1 to {count} neither with one token each nor "
                    f"digit by digit, so their probabilities do not say which is likeliest: {written}"
                )
            digits = [one[-1] for one in longer]
        return cls(tuple(lead), ids, tuple(digits))

    @property
    def begun(self) -> list[tuple[int, ...]]:
        """The sequences of ids after which next-token logits are needed, the empty one first.

        If every number is one token, this is the empty sequence alone; else it is every number and every start of one.
        """
        if not self.digits:
            return [()]
        every = {one[:length] for one in self.ids for length in range(len(one) + 1)}
        return sorted(every, key=lambda one: (len(one), one))

    def probabilities(self, logits: Mapping[tuple[int, ...], Tensor], count: int) -> Tensor:
        """The probability of each number from 1 to ``count``, given that one of them is the answer.

        If each number is one token, this is the softmax over these tokens. If some have two tokens, the probability of
        a number is the product of its digits' probabilities and of the probability that no further digit follows;
        without the last factor, the probability of 1 would include those of 10 to 19. The results are then normalised.

        Args:
            logits: for each sequence of ``begun`` [V], the next-token logits after it.
            count: how many numbers are offered, at least 2.

        Returns:
            [count] float64, sum 1.
        """
        import torch

        ids = self.ids[:count]
        if all(len(one) == 1 for one in ids):
            return logits[()].double()[[one[0] for one in ids]].softmax(-1)
        after = {begun: row.double().softmax(-1) for begun, row in logits.items()}
        found = []
        for one in ids:
            whole = 1 - after[one][list(self.digits)].sum()
            for place, token in enumerate(one):
                whole = whole * after[one[:place]][token]
            found.append(whole)
        together = torch.stack(found)
        return together / together.sum()


def read_numbers(
    backbone: Backbone, prompts: Sequence[Turns], visual: VisualTokens, counts: Sequence[int], **how: Any
) -> tuple[Reading, list[Tensor]]:
    """Ask questions with numbered options, and compute the probability of each number.

    Args:
        backbone: the model.
        prompts: one prompt for each picture.
        visual: the visual tokens of the pictures.
        counts: how many options each question has.
        how: further arguments of ``Backbone.read``.

    Returns:
        The reading of the prompts, and for each question [count] float64, the probability of each number.

    Raises:
        FloatingPointError: the model's logits are not finite.
        ValueError: the tokenizer does not fit, see ``Numbers.of``.
    """
    numbers = Numbers.of(backbone, max(counts))
    first = check_finite(backbone.read(prompts, visual, begun=numbers.lead, **how))
    logits: dict[tuple[int, ...], Tensor] = {(): first.logits}
    if "reuse" in backbone.supports and how.get("keep") is None:
        how = {**how, **behind(first)}
    for begun in numbers.begun[1:]:
        logits[begun] = check_finite(backbone.read(prompts, visual, begun=numbers.lead + begun, **how)).logits
    rows = [{begun: row[i] for begun, row in logits.items()} for i in range(len(prompts))]
    return first, [numbers.probabilities(*pair) for pair in zip(rows, counts, strict=True)]

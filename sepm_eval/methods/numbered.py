"""Options that are numbered: how probable each number is as the answer, however many tokens it is written with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sepm_eval.backbone.interface import Backbone, Reading, Turns, VisualTokens
from sepm_eval.methods.common import check_finite

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Numbers:
    """The numbers 1, 2, ... as a model writes them.

    Attributes:
        lead: token ids with which all of them begin. Llama's tokenizer puts a space of its own before a digit.
        ids: for each number the token ids behind these.
        digits: the ten token ids that a digit behind another may be; empty if every number is one token.
    """

    lead: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    digits: tuple[int, ...]

    @classmethod
    def of(cls, backbone: Backbone, count: int) -> Numbers:
        """The numbers up to ``count``, at least 2.

        Raises:
            ValueError: the tokenizer writes them neither with one token each nor digit by digit.
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
        """Behind which ids the next token's logits are needed: nothing, and all that begins or is a number."""
        if not self.digits:
            return [()]
        every = {one[:length] for one in self.ids for length in range(len(one) + 1)}
        return sorted(every, key=lambda one: (len(one), one))

    def probabilities(self, logits: Mapping[tuple[int, ...], Tensor], count: int) -> Tensor:
        """How probable each of the first numbers is, given that one of them is the answer.

        Where each is one token, that is the softmax over them. Where some are two, a number's probability is the
        product of its digits', times the probability that no further digit follows; else 1 would have those of 10 to
        19, too.

        Args:
            logits: [V], of the token behind each of ``begun``.
            count: how many numbers there are, at least 2.

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
    """Put questions whose options are numbered.

    Args:
        backbone: the model.
        prompts: one for each picture.
        visual: the pictures.
        counts: how many options each question has.
        how: what ``Backbone.read`` takes besides.

    Returns:
        The reading, and for each question [count] float64: how probable each number is.

    Raises:
        FloatingPointError: the model's logits are not finite.
        ValueError: the numbers cannot be read off, see ``Numbers.of``.
    """
    numbers = Numbers.of(backbone, max(counts))
    first = check_finite(backbone.read(prompts, visual, begun=numbers.lead, **how))
    logits: dict[tuple[int, ...], Tensor] = {(): first.logits}
    if "reuse" in backbone.supports and how.get("keep") is None:
        how = {**how, "prefix": first, "shares": "text"}
    for begun in numbers.begun[1:]:
        logits[begun] = check_finite(backbone.read(prompts, visual, begun=numbers.lead + begun, **how)).logits
    rows = [{begun: row[i] for begun, row in logits.items()} for i in range(len(prompts))]
    return first, [numbers.probabilities(*pair) for pair in zip(rows, counts, strict=True)]

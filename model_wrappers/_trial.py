"""Check, promise by promise, that a loaded model does what ``Backbone`` says: for a user's checkpoint of any kind.

Readings are compared with a plain forward pass: one row, no cache, nothing removed. Tokens that are left out of a
reading are masked in that pass, and the others have the positions that the backbone gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor

from sepm_eval.backbone.causal_lm import Prompt as ImageFirstPrompt
from sepm_eval.backbone.interface import Backbone, PictureTokens, Reading, VisualTokens
from sepm_eval.backbone.memory import is_out_of_memory
from sepm_eval.model_wrappers._hf.contract import difference, masking_is_removing, tolerance
from sepm_eval.model_wrappers._hf.model import Hf
from sepm_eval.model_wrappers._hf.prompts import Prompt
from sepm_eval.model_wrappers._hf.reading import FamilyReading
from sepm_eval.model_wrappers._image_first import ImageFirst
from sepm_eval.prompts import FOCUS_ON_EMOTION

_QUESTIONS = (f"{FOCUS_ON_EMOTION} What do you feel? Answer with one word.", f"{FOCUS_ON_EMOTION} A or B?")
_WRITTEN = 6


@dataclass(frozen=True)
class Line:
    """One promise of the contract, and whether a model keeps it.

    Attributes:
        what: the promise.
        verdict: whether it is kept; "no" if the model does not offer it, or if it cannot be tried with the model.
        words: what was measured, or the reason why nothing was.
    """

    what: str
    verdict: Literal["holds", "fails", "no"]
    words: str


class Inside(Protocol):
    """What a trial needs from a model beyond the ``Backbone`` interface."""

    @property
    def probed_layer(self) -> int:
        """Index of the layer whose attention a probe reports."""

    @property
    def stop_ids(self) -> Sequence[int]:
        """The tokens that end an answer."""

    @property
    def reads_prompt_both_ways(self) -> bool:
        """Whether tokens of the prompt also attend to later ones (bidirectional attention)."""

    def masking_is_removing(self, length: int) -> bool:
        """Whether masking tokens in a prompt of this length has the same result as removing them."""

    def forward(self, text: str, picture: PictureTokens, keep: Tensor, written: Sequence[int] = ()) -> Tensor:
        """Logits, [1, V], after a prompt and the beginning of an answer; visual tokens that are not kept are masked."""

    def write(self, reading: Reading, max_new_tokens: int) -> list[list[int]]:
        """The token ids that ``Backbone.write`` turns into text."""

    def spelling(self, token: int) -> str:
        """How the tokenizer writes a token."""


def inside(backbone: Backbone) -> Inside | None:
    """The inside of a model of this package; None for a model of another package."""
    if isinstance(backbone, Hf):
        return _InsideHf(backbone)
    return _InsideImageFirst(backbone) if isinstance(backbone, ImageFirst) else None


class _InsideHf:
    def __init__(self, backbone: Hf) -> None:
        self._prompts, self._decoder = backbone._prompts, backbone._decoder
        self.probed_layer, self.stop_ids = self._decoder.probed_layers("last")[0], self._decoder.stop_ids
        self.reads_prompt_both_ways = self._decoder._family.reads_prompt_both_ways

    def masking_is_removing(self, length: int) -> bool:
        return masking_is_removing(self._decoder, length)

    def forward(self, text: str, picture: PictureTokens, keep: Tensor, written: Sequence[int] = ()) -> Tensor:
        prompt = self._prompts.encode(text, picture.more["expansion"], None)
        ids = torch.cat([prompt.ids, torch.tensor(written, dtype=prompt.ids.dtype)])
        slots = torch.cat([prompt.slots, torch.zeros(len(written), dtype=torch.bool)])
        return self._decoder.read_masked(Prompt(ids, slots, [], prompt.text), picture, keep)

    def write(self, reading: Reading, max_new_tokens: int) -> list[list[int]]:
        assert isinstance(reading, FamilyReading)  # this backbone makes no others
        return self._decoder.write(reading, max_new_tokens)

    def spelling(self, token: int) -> str:
        return str(self._prompts.processor.tokenizer.convert_ids_to_tokens(token))


class _InsideImageFirst:
    def __init__(self, backbone: ImageFirst) -> None:
        self._backbone, self._model = backbone, backbone._language_model
        self.probed_layer, self.stop_ids = len(self._model.decoder.layers) - 1, self._model.stop_ids
        self.reads_prompt_both_ways = False

    def masking_is_removing(self, length: int) -> bool:
        return True

    @torch.inference_mode()
    def forward(self, text: str, picture: PictureTokens, keep: Tensor, written: Sequence[int] = ()) -> Tensor:
        prompt = self._backbone._tokenise(text, image=True, probe=None)
        longer = ImageFirstPrompt(prompt.before, [*prompt.after, *written], [])
        stays = self._model._stays(longer, keep)
        places = torch.arange(len(stays), device=stays.device)
        if self._model.positions == "closed":
            places = (stays.cumsum(-1) - 1).clamp(min=0)
        output = self._model.decoder(
            inputs_embeds=self._model._embed(longer, picture.features)[None],
            attention_mask=stays[None].long(),
            position_ids=places[None],
            use_cache=False,
        )
        return self._model._logits(output.last_hidden_state[:, -1])

    def write(self, reading: Reading, max_new_tokens: int) -> list[list[int]]:
        return self._model.write(reading, max_new_tokens)

    def spelling(self, token: int) -> str:
        return self._backbone._tokenizer.decode([token])


def hold_to_contract(backbone: Backbone) -> list[Line]:
    """Try every promise of the contract with a loaded model, on two small pictures.

    Raises:
        Exception: memory runs out (see ``memory.is_out_of_memory``).
    """
    trial = _Trial(backbone)
    lines: list[tuple[str, str, Callable[[], str]]] = [
        ("reads a picture as a plain forward pass does", "", trial.whole),
        ("a prompt's answer does not depend on its batch", "", trial.batch),
        ("writes greedily what forward passes without a cache choose", "", trial.writing),
        ("probe: attention of the focus tokens", "probe", trial.probe),
        ("keep: no token dropped is the whole picture", "keep", trial.nothing_dropped),
        ("keep: dropping is removal", "keep", trial.dropping),
        ("reuse: a reading that is continued gives what a whole one gives", "reuse", trial.reuse),
        ("resize: a smaller picture has fewer tokens", "resize", trial.resize),
        ("prune: tokens removed between layers", "prune", trial.prune),
        ("nothing is left behind in the model", "", trial.left_behind),
    ]
    found = []
    for what, ability, hold in lines:
        if ability and ability not in backbone.supports:
            found.append(Line(what, "no", "not supported"))
            continue
        try:
            found.append(Line(what, "holds", hold()))
        except _NotComparable as reason:
            found.append(Line(what, "no", str(reason)))
        except Exception as error:  # whatever an unknown model's code raises
            if is_out_of_memory(error):
                raise
            told = str(error) if isinstance(error, _Broken) else f"{type(error).__name__}: {error}"
            found.append(Line(what, "fails", told))
    return found


class _Broken(Exception):
    """A promise is not kept; the message says what was measured."""


class _NotComparable(Exception):
    """A promise cannot be tried with this model; the message says why."""


class _Trial:
    """One method for each promise: it returns what it measured, or raises ``_Broken`` or ``_NotComparable``."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone, self._inside = backbone, inside(backbone)
        self._most = tolerance(torch.float32 if backbone.settings.get("dtype") == "float32" else torch.bfloat16)
        gradient = Image.linear_gradient("L")
        self._images = [image.convert("RGB") for image in (gradient.resize((200, 120)), gradient.rotate(90))]

    @cached_property
    def _visual(self) -> VisualTokens:
        return self._backbone.see(self._images)

    @cached_property
    def _together(self) -> Reading:
        return self._backbone.read(_QUESTIONS, self._visual)

    def _own(self) -> Inside:
        if self._inside is None:
            raise _NotComparable("not tried: it is another package's backbone, whose inside is not known")
        return self._inside

    def _close(self, ours: Tensor, own: Tensor) -> str:
        found = difference(ours, own)
        said = f"{found:.1e} standard deviations of the logits, at most {self._most:g}"
        if not found < self._most:
            raise _Broken(said)
        return said

    def _keep(self) -> list[Tensor]:
        """Masks that drop every third visual token, but never a separator."""
        return [(torch.arange(len(one)) % 3 != 1) | one.separators.cpu() for one in self._visual.pictures]

    def whole(self) -> str:
        own = self._own()
        masks = [torch.ones(count, dtype=torch.bool) for count in self._visual.counts]
        parts = zip(_QUESTIONS, self._visual.pictures, masks, strict=True)
        return self._close(self._together.logits, torch.cat([own.forward(*part) for part in parts]))

    def batch(self) -> str:
        alone = [self._backbone.read([question], self._visual[[row]]).logits for row, question in enumerate(_QUESTIONS)]
        return self._close(self._together.logits, torch.cat(alone))

    def writing(self) -> str:
        own, count = self._own(), 0
        if own.reads_prompt_both_ways:
            raise _NotComparable(
                "not compared: an answer put behind the prompt would be read both ways, as the prompt is"
            )
        for question, picture, ids in zip(
            _QUESTIONS, self._visual.pictures, own.write(self._together, _WRITTEN), strict=True
        ):
            mask = torch.ones(len(picture), dtype=torch.bool)
            for place in range(min(len(ids) + 1, _WRITTEN)):
                logits = own.forward(question, picture, mask, ids[:place])[0]
                chosen = [ids[place]] if place < len(ids) else list(own.stop_ids)
                short = ((logits.max() - logits[chosen].max()) / logits.std()).item()
                if not short < 10 * self._most:  # two tokens that are equally likely may come in either order
                    raise _Broken(f"token {place} is {short:.1e} standard deviations below the most likely one")
                count += 1
        return f"{count} tokens"

    def probe(self) -> str:
        attention = self._backbone.read(_QUESTIONS, self._visual, probe=FOCUS_ON_EMOTION).probe_attention
        sums = [float(row.sum()) for row in attention or []]
        if [len(row) for row in attention or []] != self._visual.counts:
            raise _Broken(f"rows of {[len(row) for row in attention or []]}, tokens {self._visual.counts}")
        if not all(0 < one <= 1.01 for one in sums) or any(bool((row < 0).any()) for row in attention or []):
            raise _Broken(f"attention to the pictures sums to {sums}")
        return f"{', '.join(f'{one:.2f}' for one in sums)} of the attention falls on the pictures"

    def nothing_dropped(self) -> str:
        masks = [torch.ones(count, dtype=torch.bool) for count in self._visual.counts]
        reading = self._backbone.read(_QUESTIONS, self._visual, keep=masks)
        return self._close(reading.logits, self._together.logits)

    def dropping(self) -> str:
        own, keep = self._own(), self._keep()
        reading = self._backbone.read(_QUESTIONS, self._visual, keep=keep)
        if not own.masking_is_removing(reading.attended[0].shape[1] + max(self._visual.counts)):
            if not bool(reading.logits.isfinite().all()):
                raise _Broken("the logits are not finite")
            raise _NotComparable(
                "removed; not compared, because in its layers masking a token differs from removing it"
            )
        parts = zip(_QUESTIONS, self._visual.pictures, keep, strict=True)
        return self._close(reading.logits, torch.cat([own.forward(*part) for part in parts]))

    def reuse(self) -> str:
        reading = self._backbone.read(_QUESTIONS[::-1], self._visual, prefix=self._together)
        return self._close(reading.logits, self._backbone.read(_QUESTIONS[::-1], self._visual).logits)

    def resize(self) -> str:
        before = self._visual.counts
        smaller = self._backbone.see(self._images, 0.75)
        if not (self._finite(self._backbone.read(_QUESTIONS, smaller)) and sum(smaller.counts) < sum(before)):
            raise _Broken(f"{smaller.counts} tokens instead of {before}")
        return f"{smaller.counts} tokens instead of {before} at three quarters of the side"

    def prune(self) -> str:
        if not self._finite(self._backbone.read(_QUESTIONS, self._visual, prune=_HalfOfThem())):
            raise _Broken("the logits are not finite")
        kept = self._backbone.read(_QUESTIONS, self._visual, prune=_AllOfThem())
        said = self._close(kept.logits, self._together.logits)
        return f"half of the visual tokens removed after the second layer; with none removed, {said}"

    def left_behind(self) -> str:
        return self._close(self._backbone.read(_QUESTIONS, self._visual).logits, self._together.logits)

    @staticmethod
    def _finite(reading: Reading) -> bool:
        return bool(reading.logits.isfinite().all())


class _HalfOfThem:
    """Removes every second visual token once."""

    layers = (1,)

    def raters(self, visual: Tensor, text: Tensor) -> Tensor:
        return torch.ones(len(text), dtype=torch.bool, device=text.device)

    def step(self, layer: int, visual: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept = torch.arange(0, len(visual), 2, device=visual.device)
        return kept, visual[:0], kept[:0]


class _AllOfThem:
    """Rates all visual tokens after the first layer, and drops none."""

    positions: ClassVar[Literal["closed", "kept"]] = "closed"
    ahead: ClassVar[bool] = False

    def left(self, layers: int, tokens: int) -> dict[int, int]:
        return {0: tokens}


def spelt(backbone: Backbone, ids: Sequence[int]) -> list[Any]:
    """How the tokenizer writes these tokens; for a model of another package, the ids themselves."""
    own = inside(backbone)
    return list(ids) if own is None else [own.spelling(token) for token in ids]

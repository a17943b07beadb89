"""Encode and read a picture once for all variants of a method that ask the same about it.

Variants (methods, alphas, betas) mostly ask a model the same: the same visual tokens, the same coarse question, and a
stage 2 that differs in few cases. ``Shared`` wraps a backbone and remembers, for one batch of pictures, the result of
every row that was read; methods run on it unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sepm_eval.backbone.interface import (
    Backbone,
    Cut,
    PictureTokens,
    ProbedLayers,
    Prune,
    Reading,
    Shares,
    Turns,
    VisualTokens,
    Written,
)
from sepm_eval.images import image_sha256

if TYPE_CHECKING:
    from PIL.Image import Image

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class _Row:
    """One question about one picture, with everything that determines its reading."""

    picture: tuple[str, float]  # the picture's digest, and the ``side`` given to ``Backbone.see``
    prompt: Turns
    keep: Tensor | None
    prune: Cut | Prune | None
    prefix: _Key | None  # the earlier question whose reading this one continues
    shares: Shares
    begun: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """The results of one row of a ``Reading``, and the seconds that it took."""

    logits: Tensor
    attention: Tensor | None
    left: tuple[int, ...] | None
    seconds: float


@dataclass(frozen=True)
class _SharedTokens(VisualTokens):
    """Visual tokens that know their pictures: ``rows`` has the digest and ``side`` of each."""

    rows: tuple[tuple[str, float], ...] = ()

    def __getitem__(self, rows: Sequence[int]) -> _SharedTokens:
        chosen = tuple(self.rows[row] for row in rows)
        return _SharedTokens(tuple(self.pictures[row] for row in rows), chosen)


@dataclass(frozen=True)
class _SharedReading(Reading):
    """A reading assembled from remembered rows, without a cache; ``keys`` say what to read again for writing."""

    keys: tuple[_Key, ...] = ()

    def __getitem__(self, rows: Sequence[int]) -> _SharedReading:
        chosen = list(rows)
        seen = self.probe_attention
        return replace(
            self,
            logits=self.logits[chosen],
            probe_attention=None if seen is None else [seen[row] for row in chosen],
            keys=tuple(self.keys[row] for row in chosen),
        )


class Shared:
    """A backbone that answers a repeated question from memory (see ``Backbone`` for its methods).

    KV caches are kept only for the latest readings and for those that others continued: with a large model, all of them
    would fill the memory. Written answers are remembered as text.

    Attributes:
        saved_seconds: how much longer all calls would have taken so far if nothing had been remembered. A result from
            memory counts with the time that the backbone took for it, divided equally among its batch.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self.name, self.revision, self.settings = backbone.name, backbone.revision, backbone.settings
        self.supports = backbone.supports
        self.saved_seconds = 0.0
        self.forget()

    def forget(self) -> None:
        """Forget everything, to start with new pictures."""
        self._seen: dict[_Key, PictureTokens] = {}
        self._towers: set[_Key] = set()  # the pictures that were seen with ``tower``
        self._read: dict[_Key, _Found] = {}
        self._asked: dict[_Key, _Row] = {}
        self._written: dict[_Key, Written] = {}
        self._latest: dict[_Key, tuple[Reading, int]] = {}
        self._prefixes: dict[_Key, tuple[Reading, int]] = {}
        self._took: dict[Any, float] = {}  # seconds to see a picture or to write a text, by their keys

    def letter_ids(self, letters: str) -> list[int]:
        """See ``Backbone.letter_ids``."""
        return self._backbone.letter_ids(letters)

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """See ``Backbone.answer_ids``."""
        return self._backbone.answer_ids(texts)

    def prepare(self, image: Image) -> int | None:
        """See ``Backbone.prepare``."""
        return self._backbone.prepare(image)

    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """See ``Backbone.see``. A picture that was seen with ``tower`` is reused for calls without it."""
        keys = [(image_sha256(image), side) for image in images]
        known = self._towers if tower else self._seen
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in known}
        self.saved_seconds += sum(self._took[key] for key in keys if key not in new)
        if new:
            wanted = {"tower": True} if tower else {}  # a backbone without this ability may lack the argument
            begin = time.monotonic()
            pictures = self._backbone.see(list(new.values()), side, **wanted).pictures
            self._took.update(dict.fromkeys(new, _since(begin, pictures[0].features) / len(new)))
            self._seen.update(zip(new, pictures, strict=True))
            self._towers |= new.keys() if tower else set()
        return _SharedTokens(tuple(self._seen[key] for key in keys), tuple(keys))

    def read(
        self,
        prompts: Sequence[Turns],
        visual: VisualTokens | None,
        *,
        keep: Sequence[Tensor] | None = None,
        probe: str | Sequence[str] | None = None,
        probe_layers: ProbedLayers = "last",
        prune: Cut | Prune | None = None,
        prefix: Reading | None = None,
        shares: Shares = "picture",
        begun: Sequence[int] = (),
    ) -> Reading:
        """See ``Backbone.read``."""
        if not isinstance(visual, _SharedTokens):
            more: dict[str, Any] = {"prune": prune, "prefix": prefix, "shares": shares, "begun": begun}
            return self._backbone.read(prompts, visual, keep=keep, probe=probe, probe_layers=probe_layers, **more)
        visual.check_keep(keep)
        before = prefix.keys if isinstance(prefix, _SharedReading) else (None,) * len(prompts)
        phrases = [probe] * len(prompts) if probe is None or isinstance(probe, str) else list(probe)
        keys: list[_Key] = []
        for i, turns in enumerate(prompts):
            prompt = turns if isinstance(turns, str) else tuple(turns)
            mask = None if keep is None or bool(keep[i].all()) else keep[i]
            kept = None if mask is None else bytes(mask.cpu().to(torch.uint8).tolist())
            row = _Row(visual.rows[i], prompt, mask, prune, before[i], shares, tuple(begun))
            key: _Key = (row.picture, row.prompt, kept, row.prune, row.prefix, row.shares, row.begun)
            self._asked.setdefault(key, row)
            phrase = phrases[i]
            keys.append((*key, None if phrase is None else (phrase, probe_layers)))
        self._read_new(keys)
        found = [self._known(key) for key in keys]
        attention = [one.attention for one in found if one.attention is not None]
        left = [one.left for one in found if one.left is not None]
        return _SharedReading(
            torch.stack([one.logits for one in found]),
            attention if probe is not None else None,
            None,
            [],
            visual_left=left or None,
            keys=tuple(key[:-1] for key in keys),
        )

    def write(
        self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None, *, tails: bool = False
    ) -> list[Written]:
        """See ``Backbone.write``; texts that are remembered have no tails."""
        if not isinstance(reading, _SharedReading):
            return self._backbone.write(reading, max_new_tokens, rows, **({"tails": True} if tails else {}))
        keys = [reading.keys[row] for row in (range(len(reading.keys)) if rows is None else rows)]
        new = list(dict.fromkeys(key for key in keys if (*key, max_new_tokens) not in self._written))
        self.saved_seconds += sum(self._took.get((*key, max_new_tokens), 0.0) for key in keys)
        for group in _alike([key for key in new if key not in self._latest], self._asked):
            self._remember(group, self._ask(group))
        for reading_of in {id(self._latest[key][0]): self._latest[key][0] for key in new}.values():
            group = [key for key in new if self._latest[key][0] is reading_of]
            begin = time.monotonic()
            texts = self._backbone.write(reading_of, max_new_tokens, [self._latest[key][1] for key in group])
            took = (time.monotonic() - begin) / len(group)
            whole = [(*key, max_new_tokens) for key in group]
            self._written.update(zip(whole, texts, strict=True))
            self._took.update(dict.fromkeys(whole, took))
        return [self._written[(*key, max_new_tokens)] for key in keys]

    def _known(self, key: _Key) -> _Found:
        """The remembered result of a row; one that was read with a probe also serves a request without a probe."""
        if key in self._read:
            return self._read[key]
        return next(found for other, found in self._read.items() if other[:-1] == key[:-1])

    def _is_known(self, key: _Key) -> bool:
        return key in self._read or (key[-1] is None and any(other[:-1] == key[:-1] for other in self._read))

    def _read_new(self, keys: Sequence[_Key]) -> None:
        new = list(dict.fromkeys(key for key in keys if not self._is_known(key)))
        self.saved_seconds += sum(self._known(key).seconds for key in keys if key not in new)
        if new:
            prefixes = [key for one in new if (key := self._asked[one[:-1]].prefix) is not None]
            self._prefixes.update({key: self._latest[key] for key in prefixes if self._continues(key)})
            self._latest.clear()
        for group in _alike(new, self._asked):
            begin = time.monotonic()
            reading = self._ask([key[:-1] for key in group], [key[-1] for key in group])
            took = _since(begin, reading.logits) / len(group)
            self._remember([key[:-1] for key in group], reading)
            for i, key in enumerate(group):
                attention = None if reading.probe_attention is None else reading.probe_attention[i]
                left = None if reading.visual_left is None else reading.visual_left[i]
                self._read[key] = _Found(reading.logits[i], attention, left, took)

    def _continues(self, key: _Key) -> bool:
        """Whether the latest reading of a row can be continued; one read beside rows with dropped tokens cannot."""
        return key in self._latest and bool(self._latest[key][0].before)

    def _remember(self, keys: Sequence[_Key], reading: Reading) -> None:
        self._latest.update({key: (reading, row) for row, key in enumerate(keys)})

    def _ask(self, keys: Sequence[_Key], probes: Sequence[Any] | None = None) -> Reading:
        """Have the backbone read some rows; probes: phrase and layers for each row, or None for all of them."""
        asked = [self._asked[key] for key in keys]
        visual = VisualTokens(tuple(self._seen[row.picture] for row in asked))
        keep = None
        if any(row.keep is not None for row in asked):
            keep = [
                torch.ones(len(picture), dtype=torch.bool, device=picture.features.device)
                if row.keep is None
                else row.keep
                for row, picture in zip(asked, visual.pictures, strict=True)
            ]
        probed: dict[str, Any] = {}
        if probes and probes[0] is not None:
            probed = {"probe": [phrase for phrase, _ in probes], "probe_layers": probes[0][1]}
        prefix = self._prefix([row.prefix for row in asked if row.prefix is not None])
        first = asked[0]  # the other rows have the same values, see ``_alike``
        more = {"prune": first.prune, "prefix": prefix, "shares": first.shares, "begun": first.begun, **probed}
        return self._backbone.read([row.prompt for row in asked], visual, keep=keep, **more)

    def _prefix(self, keys: Sequence[_Key]) -> Reading | None:
        """One reading whose rows are these earlier questions, read again if no single kept reading has them all."""
        if not keys:
            return None
        held = {id(self._prefixes[key][0]) if key in self._prefixes else None for key in keys}
        if None in held or len(held) > 1:
            again = list(dict.fromkeys(keys))
            together = self._ask(again)
            self._prefixes.update({key: (together, row) for row, key in enumerate(again)})
        reading = self._prefixes[keys[0]][0]
        rows = [self._prefixes[key][1] for key in keys]
        return reading if rows == list(range(len(reading.logits))) else reading[rows]


def _since(begin: float, result: Tensor) -> float:
    """Seconds from ``begin`` until a result is computed; a GPU may still be working when its call has returned."""
    if result.is_cuda:
        torch.cuda.synchronize(result.device)
    return time.monotonic() - begin


def _alike(keys: Sequence[_Key], asked: dict[_Key, _Row]) -> list[list[_Key]]:
    """Group rows that can share one reading: they may differ in picture, prompt, kept tokens, probed phrase, prefix."""
    groups: dict[_Key, list[_Key]] = {}
    for key in keys:
        row = asked[key if key in asked else key[:-1]]
        probed = None if key in asked or key[-1] is None else key[-1][1]
        alike = (row.picture[1], row.prune, probed, row.prefix is None, row.shares, row.begun)
        groups.setdefault(alike, []).append(key)
    return list(groups.values())

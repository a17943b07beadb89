"""Reading and writing with a transformers model of any family, through its own forward pass.

Visual tokens are passed in as features. Dropped tokens are removed before the first layer: their columns of the ids,
positions, mask and token types, and their rows of the features and deep-stack features. Only padding is masked, so
recurrent layers and windows never see a dropped token. (A prefix has a plain cache, where dropped tokens are masked.)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from sepm_eval.backbone import pruning
from sepm_eval.backbone.continuing import reused_positions
from sepm_eval.backbone.interface import Cut, PictureTokens, Prune, Shares
from sepm_eval.backbone.memory import computes_on
from sepm_eval.backbone.writing import CACHE, Caches, greedily
from sepm_eval.model_wrappers._hf import last_mlp
from sepm_eval.model_wrappers._hf.attention import Watch, install, watching
from sepm_eval.model_wrappers._hf.families import FAMILIES, Family
from sepm_eval.model_wrappers._hf.prompts import Prompt
from sepm_eval.model_wrappers._hf.pruning import Pruning, going_on
from sepm_eval.model_wrappers._hf.reading import FamilyReading, FamilyWritingState, cut, is_plain
from sepm_eval.model_wrappers._hf.rows import Row, SeenPictures, pad_left_to, select_and_pad

_TYPES = ("token_type_ids", "mm_token_type_ids")


class Decoder:
    """The language model of a checkpoint, with the picture's tokens in its prompts.

    Prompts of different length are padded on the left, and a prompt's answer does not depend on the rest of the batch.
    """

    def __init__(
        self, model: Any, family: Family, kernel: str, *, renumbers: bool | None, stop_ids: Sequence[int]
    ) -> None:
        """Take over a loaded model.

        Args:
            model: a transformers model for pictures and text.
            family: what is special about its family.
            kernel: its attention kernel, one of ``KERNELS``.
            renumbers: whether the tokens after dropped ones are renumbered without gaps; None: not if a token's
                position is its place in the picture (M-RoPE), otherwise yes.
            stop_ids: tokens that end an answer.
        """
        self.model, self._family, self._kernel = model, family, kernel
        self.by_place = hasattr(model.model, "get_rope_index")
        self.renumbers = not self.by_place if renumbers is None else renumbers
        self.stop_ids = list(stop_ids)
        self.windows: dict[int, int | None] = {}  # filled in by the first reading, at loading; see ``Watch``
        wanted = inspect.signature(model.forward).parameters
        self._types = [key for key in _TYPES if key in wanted]
        install(model.get_decoder(), kernel)
        if model.config.model_type in FAMILIES:
            last_mlp.spare(model.get_decoder())

    @property
    def device(self) -> torch.device:
        """Device of the prompts; if the model is divided, also of readings, except for their KV caches."""
        return computes_on(self.model.get_input_embeddings())

    def probed_layers(self, which: str) -> list[int]:
        """The decoder layers that a probe reads.

        Args:
            which: "last" (the last one without a window), or "last3", "first3", "all" of those that have attention.
        """
        layers = sorted(self.windows)
        if which == "last":
            return [layer for layer in layers if self.windows[layer] is None][-1:] or layers[-1:]
        chosen = {"last3": layers[-3:], "first3": layers[:3], "all": layers}
        if which not in chosen:
            raise ValueError(f"probe_layers={which!r}: use one of {['last', *chosen]}")
        return chosen[which]

    @torch.inference_mode()
    def read(
        self,
        prompts: Sequence[Prompt],
        pictures: Sequence[PictureTokens] | None,
        keep: Sequence[Tensor] | None,
        layers: Sequence[int] | None,
        prefix: FamilyReading | None = None,
        shares: Shares = "picture",
    ) -> FamilyReading:
        """Run the prompts through the model once.

        Args:
            prompts: one per row.
            pictures: one per row, or None.
            keep: bool [n_i] for each picture, or None for all.
            layers: the layers whose attention from the prompts' probed tokens to the picture is wanted, or None.
            prefix: an earlier reading of the same pictures that is continued, see ``Backbone.read``.
            shares: what is reused of it.
        """
        rows = [
            self._row(prompt, None if pictures is None else pictures[i], None if keep is None else keep[i])
            for i, prompt in enumerate(prompts)
        ]
        if prefix is not None:
            return self._read_continued(rows, prefix, shares, layers)
        given = self._given(rows, pictures, keep)
        attended = given["attended"]
        watch = self._watch(rows, [row.columns for row in rows], attended.shape[1], layers)
        output = self._forward(**given, watch=watch)
        self.windows = self.windows or watch.windows
        seen = None
        if layers is not None and pictures is not None:
            seen = self._on_pictures(rows, attended, watch)
        whole = pictures is not None and keep is None and is_plain(getattr(output, CACHE))
        return FamilyReading(
            logits=self._logits(output),
            probe_attention=seen,
            cache=getattr(output, CACHE),
            attended=[attended.to(self.device)],
            before=tuple(row.before for row in rows) if whole else (),
            behind=tuple(row.behind for row in rows),
            position=torch.stack([row.positions[..., row.columns].max() + 1 for row in rows]),
        )

    @torch.inference_mode()
    def read_pruned(
        self, prompts: Sequence[Prompt], pictures: Sequence[PictureTokens], prune: Cut | Prune
    ) -> FamilyReading:
        """Run the prompts through the model once, with visual tokens removed between layers.

        Positions that are places in a picture stay; others follow ``prune``, and have no gaps if it says nothing.

        Args:
            prompts: one per row.
            pictures: one per row.
            prune: decides what is removed after which layer.

        Raises:
            ValueError: the model has none of the layers after which ``prune`` acts.
            RuntimeError: a layer does not report its attention.
            FloatingPointError: a layer's attention is NaN or infinite, or no token rates the visual ones.
        """
        rows = [self._row(prompt, picture, None) for prompt, picture in zip(prompts, pictures, strict=True)]
        embed, model = self.model.get_input_embeddings(), self.model.get_decoder()
        texts = [embed(torch.tensor(row.behind, device=self.device)) for row in rows]
        rating = pruning.raters(prune, [picture.features for picture in pictures], texts)
        patches = [row.patches(picture) for row, picture in zip(rows, pictures, strict=True)]
        whole = pruning.Rows.of(
            [row.places.movedim(-1, 0) for row in rows], [row.prompt.slots for row in rows], patches
        )
        acts = Pruning(model, prune, whole.to(self.device), rating)
        with acts.acting():
            output = self._forward(**self._given(rows, pictures, None), watch=acts.watch)
        return FamilyReading(
            logits=self._logits(output),
            probe_attention=None,
            cache=getattr(output, CACHE),
            attended=acts.attended,
            behind=tuple(row.behind for row in rows),
            visual_left=tuple(zip(*acts.counts, strict=True)),
            position=torch.stack([row.places.max() + 1 for row in rows]),
            renumbered=not (self.by_place or (isinstance(prune, Cut) and prune.positions == "kept")),
        )

    @torch.inference_mode()
    def read_masked(self, prompt: Prompt, picture: PictureTokens, keep: Tensor) -> Tensor:
        """Logits, [1, V], with tokens masked instead of removed: the same result for attention without a window."""
        row = self._row(prompt, picture, keep)
        extra: dict[str, Any] = {key: row.types[None].to(self.device) for key in self._types}
        extra["mm_encoder_outputs"] = {"image": self._features([picture], None)}
        positions = row.positions[..., None, :]
        return self._logits(self._forward(row.ids[None], row.kept[None], positions, **extra))

    @torch.inference_mode()
    def write(
        self, reading: FamilyReading, most: int, rows: Sequence[int] | None = None, caches: Caches | None = None
    ) -> list[list[int]]:
        """Decode at most so many tokens greedily from a reading, which is not changed; see ``greedily``."""
        if rows is not None and list(rows) != list(range(len(reading.logits))):
            reading = reading[rows]
        return greedily(reading.logits, FamilyWritingState.of(reading), self.stop_ids, most, self._step, caches)

    def _step(self, token: Tensor, end: FamilyWritingState) -> Tensor:
        """Run one decoding step: ``end`` grows by a token per row, [B] ids; the result is the logits, [B, V]."""
        position = end.position
        end.grow()
        places = position[:, None].expand(3, -1, -1) if self.by_place else position[:, None]
        pruned = len(end.attended) > 1
        with going_on(self.model.get_decoder(), end) if pruned else nullcontext():
            return self._logits(self._forward(token[:, None], end.attended[0], places, cache=end.cache))

    def _read_continued(
        self, rows: Sequence[Row], prefix: FamilyReading, shares: Shares, layers: Sequence[int] | None
    ) -> FamilyReading:
        """Read only the text after the picture, without the part of it that is reused from ``prefix``."""
        ends = [len(row.before) for row in rows]
        probed = [[place - end for place in row.prompt.probed] for row, end in zip(rows, ends, strict=True)]
        kept = [row.kept[:end] for row, end in zip(rows, ends, strict=True)]
        before, behind = tuple(row.before for row in rows), tuple(row.behind for row in rows)
        held, shared = reused_positions(prefix, shares, before, behind, probed, kept)
        tails = [torch.arange(end + text, len(row.ids)) for row, end, text in zip(rows, ends, shared, strict=True)]
        longest = max(map(len, tails))
        ids = select_and_pad([row.ids for row in rows], tails, longest)
        new = pad_left_to([torch.ones_like(tail, dtype=torch.bool) for tail in tails], longest)
        positions = select_and_pad([row.places for row in rows], tails, longest, batch_dim=-2)
        attended = torch.cat([held, new.to(held.device)], dim=1)
        types = {key: torch.zeros_like(ids).to(self.device) for key in self._types}
        watch = None if layers is None else self._watch(rows, tails, longest, layers)
        output = self._forward(ids, attended, positions, watch, cut(prefix.cache, held.shape[1]), **types)
        seen = None if watch is None else self._on_pictures(rows, attended, watch)
        whole = all(bool(mask.all()) for mask in kept) and is_plain(getattr(output, CACHE))
        return FamilyReading(
            logits=self._logits(output),
            probe_attention=seen,
            cache=getattr(output, CACHE),
            attended=[attended],
            before=before if whole else (),
            behind=behind,
            position=torch.stack([row.places.max() + 1 for row in rows]),
        )

    def _given(
        self, rows: Sequence[Row], pictures: Sequence[PictureTokens] | None, keep: Sequence[Tensor] | None
    ) -> dict[str, Any]:
        """Inputs of the forward pass: for each row the columns that stay, padded to one length."""
        longest, columns = max(len(row.columns) for row in rows), [row.columns for row in rows]
        types = select_and_pad([row.types for row in rows], columns, longest)
        given: dict[str, Any] = {key: types.to(self.device) for key in self._types}
        if pictures is not None:
            given["mm_encoder_outputs"] = {"image": self._features(pictures, keep)}
        return {
            **given,
            "ids": select_and_pad([row.ids for row in rows], columns, longest),
            "attended": select_and_pad([row.kept for row in rows], columns, longest),
            "positions": select_and_pad([row.positions for row in rows], columns, longest, batch_dim=-2),
        }

    def _row(self, prompt: Prompt, picture: PictureTokens | None, keep: Tensor | None) -> Row:
        found = int(prompt.slots.sum())
        wanted = 0 if picture is None else len(picture.features)
        if found != wanted:
            raise ValueError(f"the prompt has places for {found} visual tokens and the picture gave {wanted}")
        kept = torch.ones_like(prompt.slots)
        if keep is not None and picture is not None:
            kept[prompt.slots] = keep.cpu()
        places = self._places(prompt, picture)
        positions = (kept.cumsum(-1) - 1).clamp(min=0) + self._family.first_position if self.renumbers else places
        types = prompt.slots.long() * (self._family.token_types == "picture")
        if self._family.reads_prompt_both_ways and prompt.begun:
            types[-prompt.begun :] = 1  # an answer is read causally, and the prompt does not see it
        return Row(prompt, kept, positions, places, types)

    def _places(self, prompt: Prompt, picture: PictureTokens | None) -> Tensor:
        """Positions of the whole prompt, [L], or [3, L] with M-RoPE, as the model's own forward pass computes them."""
        if not self.by_place:
            return torch.arange(len(prompt.ids)) + self._family.first_position
        if picture is None:
            return torch.arange(len(prompt.ids)).expand(3, -1)
        found, _ = self.model.model.get_rope_index(
            prompt.ids[None],
            mm_token_type_ids=prompt.slots[None].int(),
            image_grid_thw=torch.as_tensor(picture.more["image_grid_thw"]),
        )
        return found[-3:, 0].cpu()

    def _watch(
        self, rows: Sequence[Row], columns: Sequence[Tensor], longest: int, layers: Sequence[int] | None
    ) -> Watch:
        """A ``Watch`` for reading these columns; without a probe, it only records which layers have attention."""
        if layers is None:
            return Watch()
        width = max(len(row.prompt.probed) for row in rows)
        places = torch.full((len(rows), width), longest - 1)
        valid = torch.zeros(len(rows), width, dtype=torch.bool)
        for index, (row, at) in enumerate(zip(rows, columns, strict=True)):
            probed = torch.isin(at, torch.tensor(row.prompt.probed)).nonzero().flatten() + longest - len(at)
            places[index, : len(probed)] = probed
            valid[index, : len(probed)] = True
        return Watch(frozenset(layers), places, valid)

    def _on_pictures(self, rows: Sequence[Row], attended: Tensor, watch: Watch) -> list[Tensor]:
        """The part of each row's attention that falls on its picture, [n_i]; 0 where a token was dropped.

        attended: [B, L] bool, which positions are attended to.
        """
        found = []
        for row, places, attention in zip(rows, attended.to(self.device), watch.mean().to(self.device), strict=True):
            seen = torch.zeros(len(row.ids), device=attention.device)
            seen[row.columns.to(attention.device)] = attention[places]
            found.append(seen[row.prompt.slots.to(attention.device)])
        return found

    def _features(self, pictures: Sequence[PictureTokens], keep: Sequence[Tensor] | None) -> SeenPictures:
        """The output of the vision side without the dropped tokens, in the form that the model's class expects."""

        def chosen(levels: Sequence[Tensor]) -> list[Tensor]:
            if keep is None:
                return list(levels)
            return [level[mask.to(level.device)] for level, mask in zip(levels, keep, strict=True)]

        features = chosen([picture.features for picture in pictures])
        batched = pictures[0].more["batched"]
        output = SeenPictures(pooler_output=torch.cat(features)[None] if batched else features)
        if "deepstack" in pictures[0].more:
            by_level = zip(*(picture.more["deepstack"] for picture in pictures), strict=True)
            output.deepstack_features = [chosen(level) for level in by_level]
        return output

    def _forward(
        self,
        ids: Tensor,
        attended: Tensor,
        positions: Tensor,
        watch: Watch | None = None,
        cache: Any = None,
        **extra: Any,
    ) -> Any:
        """Run the model's own forward pass, with logits of the last position only.

        The mask is always passed: without it, gaps in the positions would be mistaken for several prompts in one row.
        """
        device = self.device
        with watching(watch, self._kernel), self._nothing_left_behind():
            return self.model(
                input_ids=ids.to(device),
                attention_mask=attended.to(device).long(),
                position_ids=positions.to(device),
                **{CACHE: cache},
                use_cache=True,
                logits_to_keep=1,
                **extra,
            )

    def _logits(self, output: Any) -> Tensor:
        """Logits of the last position, [B, V] float32."""
        return output.logits[:, -1].float().to(self.device)

    @contextmanager
    def _nothing_left_behind(self) -> Iterator[None]:
        """Restore ``rope_deltas``, where models like Qwen remember how far their last prompt's positions were ahead."""
        inner = self.model.model
        before = getattr(inner, "rope_deltas", None)
        try:
            yield
        finally:
            if hasattr(inner, "rope_deltas"):
                inner.rope_deltas = before

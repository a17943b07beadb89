"""The language model of a backbone: it reads (prefills) a batch of embedded prompts and decodes from the KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from sepm_eval.backbone import last_layer, pruning
from sepm_eval.backbone import probe as probes
from sepm_eval.backbone.continuing import cut, reused_positions
from sepm_eval.backbone.interface import Cut, Prune, Reading, Shares
from sepm_eval.backbone.memory import computes_on
from sepm_eval.backbone.pruning import Rows, causal, pad_left, positions
from sepm_eval.backbone.writing import CACHE, Caches, WritingState, greedily, kept_positions


@dataclass(frozen=True)
class Prompt:
    """One tokenised prompt: what stands before the image, what stands after it, and the probe's tokens.

    Attributes:
        before: token ids before the image (all of them in a prompt without an image).
        after: token ids after the image.
        probed: indices into ``after`` of the tokens whose attention is read.
    """

    before: list[int]
    after: list[int]
    probed: list[int]

    def without(self, text: int) -> Prompt:
        """The rest of the prompt after the image and the first ``text`` tokens behind it, none of which is probed."""
        return Prompt([], self.after[text:], [index - text for index in self.probed])


class CausalLM:
    """A transformers decoder with its embedding and output layers.

    Prompts of different length are padded on the left and positions count from each prompt's first token, so a
    prompt's answer does not depend on the rest of the batch. Dropped visual tokens are removed before the first layer;
    the others are renumbered without gaps, as in the public SEPM code, or keep their positions. The last layer is
    computed for the last position only.
    """

    def __init__(
        self,
        decoder: PreTrainedModel,
        head: nn.Module,
        *,
        vocab_size: int,
        stop_ids: Sequence[int],
        positions: Literal["closed", "kept"] = "closed",
    ) -> None:
        """Take over a loaded model.

        Args:
            decoder: a decoder without output layer, such as ``LlamaModel``.
            head: the output layer, from hidden state to logits.
            vocab_size: logits beyond it (padding of the embedding matrix, image and padding tokens) are cut off.
            stop_ids: tokens that end an answer.
            positions: what happens to positions when visual tokens are dropped: "closed" renumbers the other tokens
                without gaps, "kept" leaves their positions as they are.
        """
        self.decoder = decoder
        self.head = head
        self.vocab_size = vocab_size
        self.stop_ids = list(stop_ids)
        self.positions = positions
        probes.install(decoder)
        last_layer.install(decoder)

    @property
    def device(self) -> torch.device:
        """Device of the embeddings; if the model is divided among devices, readings are kept on this one."""
        return computes_on(self.decoder.get_input_embeddings())

    @torch.inference_mode()
    def read(
        self,
        prompts: Sequence[Prompt],
        visual: Sequence[Tensor] | None,
        keep: Sequence[Tensor] | None,
        probe_layers: str | None = None,
    ) -> Reading:
        """Run the prompts through the decoder once.

        Args:
            prompts: one per row.
            visual: [n_i, D] of each picture, or None.
            keep: bool [n_i] of each picture, or None for all.
            probe_layers: report the attention of the prompts' probed tokens in these layers, see ``choose_layers``.
        """
        visuals = self._kept(visual, keep, len(prompts))
        rows = [self._embed(prompt, kept) for prompt, kept in zip(prompts, visuals, strict=True)]
        embedded, attended = pad_left(rows)
        places, position_offset = positions(attended), None
        request = None if probe_layers is None else self._request(prompts, attended, probe_layers)
        if keep is not None and self.positions == "kept":
            stays = [self._stays(prompt, mask) for prompt, mask in zip(prompts, keep, strict=True)]
            places, position_offset = kept_positions(stays)
        hidden, cache = self._forward(embedded, attended, DynamicCache(), places, request)
        seen = None
        if request is not None and visual is not None:
            masks = [torch.ones(len(one), dtype=torch.bool) for one in visual] if keep is None else keep
            seen = _attention_to_visual(request, prompts, masks, [len(one) for one in visuals])
        whole = visual is not None and keep is None
        return Reading(
            logits=self._logits(hidden),
            probe_attention=seen,
            cache=cache,
            attended=[attended] * len(self.decoder.layers),
            before=tuple(tuple(prompt.before) for prompt in prompts) if whole else (),
            behind=tuple(tuple(prompt.after) for prompt in prompts),
            position_offset=position_offset,
        )

    @torch.inference_mode()
    def read_continued(
        self,
        prompts: Sequence[Prompt],
        counts: Sequence[int],
        keep: Sequence[Tensor] | None,
        prefix: Reading,
        shares: Shares = "picture",
        probe_layers: str | None = None,
    ) -> Reading:
        """Read new text after the pictures of an earlier reading, whose KV cache is reused.

        Args:
            prompts: one per row; the text before the image must be that of the earlier reading.
            counts: n_i, how many visual tokens each picture has.
            keep: bool [n_i] of each picture, or None for all. Dropped tokens are masked out from here on, which has the
                effect of evicting them without a copy of the cache. The others keep their positions.
            prefix: the earlier reading, in which no visual token was dropped. It is not changed.
            shares: what is reused, see ``Backbone.read``. The tokens of the probe are always read anew.
            probe_layers: as for ``read``.

        Raises:
            ValueError: the earlier reading has other rows, lacks visual tokens, or has other text before the image.
        """
        before = tuple(tuple(prompt.before) for prompt in prompts)
        masks = [torch.ones(count, dtype=torch.bool) for count in counts] if keep is None else keep
        held, shared = reused_positions(
            *(prefix, shares, before, [prompt.after for prompt in prompts], [prompt.probed for prompt in prompts]),
            [nn.functional.pad(mask, (len(ids), 0), value=True) for ids, mask in zip(before, masks, strict=True)],
        )
        cache = DynamicCache()
        cache.layers = [cut(layer, held.shape[1]) for layer in prefix.cache.layers]
        rest = [prompt.without(text) for prompt, text in zip(prompts, shared, strict=True)]
        none = torch.empty(0, self.decoder.config.hidden_size, device=self.device)
        embedded, new = pad_left([self._embed(prompt, none) for prompt in rest])
        attended = torch.cat([held, new], dim=1)
        ends = [len(ids) + count + text for ids, count, text in zip(before, counts, shared, strict=True)]
        start = torch.tensor(ends, device=self.device)
        request = None if probe_layers is None else self._request(rest, attended, probe_layers)
        hidden, cache = self._forward(embedded, attended, cache, start[:, None] + positions(new), request)
        return Reading(
            logits=self._logits(hidden),
            probe_attention=None if request is None else _attention_to_visual(request, prompts, masks),
            cache=cache,
            attended=[attended] * len(self.decoder.layers),
            before=before if keep is None else (),
            behind=tuple(tuple(prompt.after) for prompt in prompts),
            position_offset=start - held.sum(-1),
        )

    @torch.inference_mode()
    def read_pruned(self, prompts: Sequence[Prompt], visual: Sequence[Tensor], prune: Cut | Prune) -> Reading:
        """Run the prompts through the decoder once, with visual tokens removed between layers.

        After each removal, positions are renumbered from each row's first token, unless ``prune`` keeps them.

        Args:
            prompts: one per row.
            visual: [n_i, D] of each picture.
            prune: decides what is removed after which layer.

        Raises:
            ValueError: the model has none of the layers after which ``prune`` acts.
            RuntimeError: a layer does not report its attention.
            FloatingPointError: a layer's attention is NaN or infinite, or no token rates the visual ones.
        """
        count = len(self.decoder.layers)
        layers = pruning.layers_of(prune, count)
        embedded = [self._embed(prompt, one) for prompt, one in zip(prompts, visual, strict=True)]
        hidden, cache, lengths, counts = pad_left(embedded)[0], DynamicCache(), [], []
        rows = _rows(prompts, visual).to(hidden.device)
        texts = [row[len(row) - len(prompt.after) :] for row, prompt in zip(embedded, prompts, strict=True)]
        rating = pruning.raters(prune, visual, texts)
        rated = [replace(prompt, probed=found) for prompt, found in zip(prompts, rating, strict=True)]
        ahead, kept = (prune.ahead, prune.positions == "kept") if isinstance(prune, Cut) else (False, False)
        for index in range(count):
            request = self._request(rated, rows.attended, (index,)) if index in layers and not ahead else None
            alone = index == count - 1 and request is None
            hidden = self._layer(index, hidden, rows.attended, rows.places, cache, request, alone)
            lengths.append(rows.attended)
            counts.append(rows.counts)
            if index in layers:
                if request is None:
                    request = self._request(rated, rows.attended, (index + 1,))
                    last_layer.rate(self.decoder, hidden, rows.places, request)
                rows, hidden = rows.pruned(prune, index, count, hidden, request.answered())
        logits, left = self._logits(self.decoder.norm(hidden)[:, -1]), tuple(zip(*counts, strict=True))
        return Reading(logits, None, cache, lengths, (), logits.new_zeros(len(prompts)).long() if kept else None, left)

    def _layer(
        self,
        index: int,
        hidden: Tensor,
        attended: Tensor,
        positions: Tensor,
        cache: DynamicCache,
        request: probes.Probe | None = None,
        last_position_only: bool = False,
    ) -> Tensor:
        """Run one decoder layer, with the causal mask of ``attended`` and the rotary embedding of ``positions``."""
        output = self.decoder.layers[index](
            hidden,
            attention_mask=causal(attended, hidden.shape[1]),
            position_ids=positions,
            **{CACHE: cache},
            use_cache=True,
            position_embeddings=self.decoder.rotary_emb(hidden, position_ids=positions),
            probe=request,
            last_position_only=last_position_only,
        )
        return (output[0] if isinstance(output, tuple) else output).to(hidden.device)

    @torch.inference_mode()
    def write(
        self,
        reading: Reading,
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
        caches: Caches | None = None,
    ) -> list[list[int]]:
        """Decode greedily from a reading, which is not changed; see ``greedily`` for the result and ``caches``."""
        if rows is not None and list(rows) != list(range(len(reading.logits))):
            reading = reading[rows]

        def step(token: Tensor, end: WritingState) -> Tensor:
            return self._logits(self._step(token, end))

        return greedily(reading.logits, WritingState.of(reading), self.stop_ids, max_new_tokens, step, caches)

    def _step(self, token: Tensor, end: WritingState) -> Tensor:
        """Run one decoding step: ``end`` grows by a token per row, [B] ids; the result is its hidden state, [B, D]."""
        hidden = self.decoder.get_input_embeddings()(token[:, None])
        end.grow()
        if len(end.attended) == 1:
            (seen,) = end.attended
            return self._forward(hidden, seen, end.cache, end.place(0))[0]
        for index, seen in enumerate(end.attended):
            hidden = self._layer(index, hidden, seen, end.place(index), end.cache)
        return self.decoder.norm(hidden)[:, -1]

    def _forward(
        self,
        embedded: Tensor,
        attended: Tensor,
        cache: DynamicCache,
        positions: Tensor,
        request: probes.Probe | None = None,
    ) -> tuple[Tensor, DynamicCache]:
        output = self.decoder(
            inputs_embeds=embedded,
            attention_mask=attended.long(),
            position_ids=positions,
            **{CACHE: cache},
            use_cache=True,
            probe=request,
            last_position_only=True,
        )
        return output.last_hidden_state[:, -1], getattr(output, CACHE)

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.head(hidden)[:, : self.vocab_size].float().to(self.device)

    def _embed(self, prompt: Prompt, visual: Tensor) -> Tensor:
        """Embed a prompt, [length, D]: the text before the image, the visual tokens, the text after it."""
        ids = torch.tensor(prompt.before + prompt.after, device=self.device)
        text = self.decoder.get_input_embeddings()(ids)
        before, after = text.split([len(prompt.before), len(prompt.after)])
        return torch.cat([before, visual.to(text), after])

    def _stays(self, prompt: Prompt, mask: Tensor) -> Tensor:
        """Which tokens of a prompt stay, [length] bool: all of the text, and the visual tokens that ``mask`` keeps."""
        return nn.functional.pad(mask.to(self.device), (len(prompt.before), len(prompt.after)), value=True)

    def _kept(self, visual: Sequence[Tensor] | None, keep: Sequence[Tensor] | None, batch: int) -> list[Tensor]:
        """The visual tokens of each row that the language model sees, [kept, D] each."""
        if visual is None:
            return [torch.empty(0, self.decoder.config.hidden_size, device=self.device)] * batch
        if keep is None:
            return list(visual)
        return [row[mask.to(row.device)] for row, mask in zip(visual, keep, strict=True)]

    def _request(self, prompts: Sequence[Prompt], attended: Tensor, which: str | tuple[int, ...]) -> probes.Probe:
        """Make a probe of some layers. The text after the image ends a row, so its places count from the row's end."""
        layers = probes.choose_layers(which, range(len(self.decoder.layers))) if isinstance(which, str) else which
        rows, valid = probes.aimed(
            [prompt.probed for prompt in prompts], [len(prompt.after) for prompt in prompts], attended.shape[1]
        )
        return probes.Probe(layers, rows.to(attended.device), valid.to(attended.device), attended)


def _rows(prompts: Sequence[Prompt], visual: Sequence[Tensor]) -> Rows:
    """The rows of prompts with all visual tokens in one run between two texts; all of them may be removed."""
    masks = []
    for prompt, tokens in zip(prompts, visual, strict=True):
        mask = torch.ones(len(tokens), dtype=torch.bool)
        masks.append(nn.functional.pad(mask, (len(prompt.before), len(prompt.after))))
    return Rows.of([torch.arange(len(mask)) for mask in masks], masks, masks)


def _attention_to_visual(
    request: probes.Probe, prompts: Sequence[Prompt], masks: Sequence[Tensor], kept: Sequence[int] | None = None
) -> list[Tensor]:
    """The part of the probed attention that falls on each picture, [n_i]; 0 for tokens that its mask drops.

    kept: the number of visual tokens in each row, if dropped ones were removed from it. None: they are only masked out,
    as after a prefix, so the row has gaps; finding these means waiting for the GPU.
    """
    found = []
    for i, (row, prompt, mask) in enumerate(zip(request.answered(), prompts, masks, strict=True)):
        end = len(row) - len(prompt.after)
        seen = row[request.attended[i]][len(prompt.before) :] if kept is None else row[end - kept[i] : end]
        mask = mask.to(row.device)
        found.append(torch.zeros(len(mask), device=row.device).masked_scatter_(mask, seen))
    return found

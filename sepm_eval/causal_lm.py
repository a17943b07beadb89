"""The language model behind a backbone: it reads embedded prompts in one batch and writes on from its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from sepm_eval import probe as probes
from sepm_eval.backbone import Reading


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


class CausalLM:
    """A transformers decoder with its embedding and output layers.

    Prompts of different length are padded on the left and positions count from each prompt's first token, so a
    prompt's answer does not depend on its neighbours. Dropped visual tokens are removed before the first layer and
    positions close up, as in the public SEPM code.
    """

    def __init__(self, decoder: PreTrainedModel, head: nn.Module, *, vocab_size: int, stop_ids: Sequence[int]) -> None:
        """Take over a loaded model.

        Args:
            decoder: a decoder without output layer, such as ``LlamaModel``.
            head: hidden state to logits.
            vocab_size: logits beyond it (padding of the embedding matrix, image and padding tokens) are cut off.
            stop_ids: tokens that end an answer.
        """
        self.decoder = decoder
        self.head = head
        self.vocab_size = vocab_size
        self.stop_ids = list(stop_ids)
        probes.install(decoder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.decoder.parameters()).device

    @torch.inference_mode()
    def read(self, prompts: Sequence[Prompt], visual: Tensor | None, keep: Tensor | None, probe: bool) -> Reading:
        """Run the prompts through the decoder once.

        Args:
            prompts: one per row.
            visual: [B, N_v, D] or None.
            keep: [B, N_v] bool, or None for all.
            probe: report the attention of the prompts' probed tokens.
        """
        visuals = self._kept(visual, keep, len(prompts))
        rows = [self._embed(prompt, kept) for prompt, kept in zip(prompts, visuals, strict=True)]
        embedded, attended = _pad_left(rows)
        request = self._request(prompts, attended) if probe else None
        hidden, cache = self._forward(embedded, attended, DynamicCache(), _positions(attended), request)
        seen = None
        if request is not None and visual is not None:
            seen = self._attention_to_visual(request, prompts, visuals, keep, visual.shape[1])
        return Reading(self._logits(hidden), seen, cache, attended)

    @torch.inference_mode()
    def write(self, reading: Reading, max_new_tokens: int, rows: Sequence[int] | None = None) -> list[list[int]]:
        """Go on greedily from a reading.

        Returns the new token ids of each row, up to and without the token that stops it. The reading itself is not
        changed: it can be written from again.
        """
        chosen = list(range(len(reading.logits))) if rows is None else list(rows)
        cache = DynamicCache()
        for index, layer in enumerate(reading.cache.layers):
            cache.update(layer.keys[chosen], layer.values[chosen], index)
        attended, logits = reading.attended[chosen], reading.logits[chosen]
        position = attended.sum(-1, keepdim=True)
        stop = torch.tensor(self.stop_ids, device=self.device)
        running = torch.ones(len(chosen), dtype=torch.bool, device=self.device)
        written: list[list[int]] = [[] for _ in chosen]
        for step in range(max_new_tokens):
            token = logits.argmax(-1)
            running = running & ~torch.isin(token, stop)
            for ids, new, goes_on in zip(written, token.tolist(), running.tolist(), strict=True):
                if goes_on:
                    ids.append(new)
            if step + 1 == max_new_tokens or not running.any():
                break
            attended = torch.cat([attended, attended.new_ones(len(chosen), 1)], dim=1)
            embedded = self.decoder.get_input_embeddings()(token[:, None])
            hidden, cache = self._forward(embedded, attended, cache, position)
            logits = self._logits(hidden)
            position = position + 1
        return written

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
            past_key_values=cache,
            use_cache=True,
            probe=request,
        )
        return output.last_hidden_state[:, -1], output.past_key_values

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.head(hidden)[:, : self.vocab_size].float()

    def _embed(self, prompt: Prompt, visual: Tensor) -> Tensor:
        """[length, D]: the text before, the visual tokens, the text after."""
        ids = torch.tensor(prompt.before + prompt.after, device=self.device)
        text = self.decoder.get_input_embeddings()(ids)
        before, after = text.split([len(prompt.before), len(prompt.after)])
        return torch.cat([before, visual.to(text.dtype), after])

    def _kept(self, visual: Tensor | None, keep: Tensor | None, batch: int) -> list[Tensor]:
        """The visual tokens of each row that the language model sees, [kept, D] each."""
        if visual is None:
            return [torch.empty(0, self.decoder.config.hidden_size, device=self.device)] * batch
        if keep is None:
            return list(visual)
        return [row[mask] for row, mask in zip(visual, keep.to(visual.device), strict=True)]

    def _request(self, prompts: Sequence[Prompt], attended: Tensor) -> probes.Probe:
        """Aim the probe at the last layer. Text after the image ends a row, so its places count from the end."""
        length = attended.shape[1]
        width = max(len(prompt.probed) for prompt in prompts)
        rows = torch.full((len(prompts), width), length - 1)
        valid = torch.zeros(len(prompts), width, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            places = [length - len(prompt.after) + index for index in prompt.probed]
            rows[i, : len(places)] = torch.tensor(places)
            valid[i, : len(places)] = True
        device = attended.device
        return probes.Probe(len(self.decoder.layers) - 1, rows.to(device), valid.to(device), attended)

    def _attention_to_visual(
        self,
        request: probes.Probe,
        prompts: Sequence[Prompt],
        visuals: Sequence[Tensor],
        keep: Tensor | None,
        visual_tokens: int,
    ) -> Tensor:
        """[B, N_v]: the part of the probed attention that falls on the image, 0 where a token was dropped."""
        if request.attention is None:
            raise RuntimeError("the probe was not answered: the decoder does not use the registered attention function")
        seen = torch.zeros(len(prompts), visual_tokens, device=request.attention.device)
        for i, (prompt, kept) in enumerate(zip(prompts, visuals, strict=True)):
            end = request.attention.shape[1] - len(prompt.after)
            on_image = request.attention[i, end - len(kept) : end]
            seen[i, slice(None) if keep is None else keep[i].to(seen.device)] = on_image
        return seen


def _pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[length_i, D] each -> [B, L, D] and which positions are not padding, [B, L] bool."""
    length = max(len(row) for row in rows)
    padded = torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    attended = torch.arange(length, device=padded.device) >= length - lengths[:, None]
    return padded, attended


def _positions(attended: Tensor) -> Tensor:
    """Positions that count from each row's first token, [B, L]; padding gets 0."""
    return (attended.long().cumsum(-1) - 1).clamp(min=0)

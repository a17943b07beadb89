"""Attention weights of a few query rows in some decoder layers, for any family, in addition to its fast attention.

A layer is identified by the index in its attention module; whether it sees everything is taken from the arguments of
its call. The request is passed in a context variable, not as an argument of the forward call, because models with
recurrent layers pass such arguments on to kernels that do not accept them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sepm_eval.backbone.probe import mean_attention, probed, register

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "sepm_eval_watched"  # not "sdpa": classes that soft-cap scores refuse SDPA, but here it is done for them


@dataclass
class Watch:
    """A request for the decoder's attention in one forward pass, which fills in the results.

    Attributes:
        layers: indices of the decoder layers.
        rows: [B, R] query positions among the tokens being read, padded; where ``valid`` is False the value is ignored.
        valid: [B, R] bool.
        windows: result: for every layer with attention the length of its window, None if it sees everything.
        found: result: for each of ``layers`` [B, L] float32, mean attention over the valid rows and all heads.
    """

    layers: frozenset[int] = frozenset()
    rows: Tensor | None = None
    valid: Tensor | None = None
    windows: dict[int, int | None] = field(default_factory=dict)
    found: dict[int, Tensor] = field(default_factory=dict)

    def mean(self) -> Tensor:
        """Mean of ``found`` over the layers, [B, L].

        Raises:
            RuntimeError: a layer reported no attention; without it, tokens would be dropped for no reason, or none.
        """
        silent = sorted(self.layers - set(self.found))
        if silent or not self.found:
            raise RuntimeError(f"the layers {silent} report no attention: they do not use the registered one")
        device = self.found[max(self.found)].device
        return torch.stack([self.found[layer].to(device) for layer in sorted(self.found)]).mean(0)


_WATCH: ContextVar[Watch | None] = ContextVar("sepm_eval_watch", default=None)


@contextmanager
def watching(watch: Watch | None, kernel: str) -> Iterator[None]:
    """Let the forward passes inside the ``with`` block fill in ``watch``.

    Args:
        watch: the request; None for nothing.
        kernel: the attention kernel of the decoder that runs inside.
    """
    _register(kernel)
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def install(decoder: PreTrainedModel, kernel: str) -> None:
    """Make ``watched`` the attention function of a decoder; the vision tower keeps its own.

    Args:
        decoder: a transformers decoder.
        kernel: its attention kernel, one of ``KERNELS``.
    """
    decoder.set_attn_implementation(_register(kernel))


def _register(kernel: str) -> str:
    """Register ``watched`` with transformers; the result is its name there.

    In FlashAttention's place it also fills in the probes of ``sepm_eval.backbone.probe``.
    """
    return register(f"{ATTENTION}{kernel.removeprefix('sdpa')}", kernel, watched)


def watched(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    kernel: str,
    scaling: float | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Run one of transformers' attention functions, and fill in the current ``Watch``.

    SDPA cannot soft-cap the scores; if a model wants that, attention is computed here as in its eager implementation.
    """
    watch, layer, window = _WATCH.get(), getattr(module, "layer_idx", None), kwargs.get("sliding_window")
    if watch is not None and layer is not None:
        watch.windows[layer] = window
        if layer in watch.layers and watch.rows is not None and watch.valid is not None:
            rows, mask = watch.rows.to(query.device), attention_mask
            if kernel == "flash_attention_2" and (mask is None or mask.ndim == 2):
                mask = _spelled_out(attention_mask, query.shape[2], key, window)
            weights = _weights(module, query, key, mask, rows, scaling, softcap)
            watch.found[layer] = mean_attention(weights, watch.valid.to(query.device))
    if softcap is None or kernel != "sdpa":
        if softcap is not None:
            kwargs["softcap"] = softcap
        return probed(module, query, key, value, attention_mask, kernel, scaling=scaling, **kwargs)
    every = torch.arange(query.shape[2], device=query.device).expand(len(query), -1)
    weights = _weights(module, query, key, attention_mask, every, scaling, softcap).to(value.dtype)
    grouped = weights.view(len(query), value.shape[1], -1, *weights.shape[2:])
    output = (grouped @ value[:, :, None]).flatten(1, 2)
    return output.transpose(1, 2).contiguous(), None


def _spelled_out(padding: Tensor | None, queries: int, key: Tensor, window: int | None) -> Tensor:
    """The attention mask that FlashAttention applies, [B, 1, Q, K] bool for Q queries; it is only given the padding.

    padding: [B, K], False for padding, or None; key: [B, H_kv, K, d]; window: how many positions a position sees, or
    None.
    """
    length = key.shape[2]
    columns = torch.arange(length, device=key.device)
    ahead = columns[length - queries :, None] - columns  # [Q, K]
    seen = (ahead >= 0) & (ahead < (length if window is None else window))
    if padding is None:
        return seen.expand(len(key), 1, -1, -1)
    return seen & (padding.bool()[:, None, None] | (ahead == 0))  # padding sees itself, so that no row is empty


def _weights(
    module: Any,
    query: Tensor,
    key: Tensor,
    attention_mask: Tensor | None,
    rows: Tensor,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Softmax attention weights of some query rows, [B, H, R, K] float32.

    query: [B, H, Q, d]; key: [B, H_kv, K, d], H a multiple of H_kv; attention_mask: [B or 1, 1 or H, Q, K], bool (True
    is seen) or added to the scores, or None: causal, as in SDPA; rows: [B, R], indices into the queries. As in
    transformers' eager attention, scores are computed in the model's dtype and the softmax in float32.
    """
    batch, heads, _, width = query.shape
    picked = query.gather(2, rows[:, None, :, None].expand(-1, heads, -1, width))
    grouped = picked.reshape(batch, key.shape[1], -1, width)  # query heads that share a key head are adjacent
    scores = (grouped @ key.mT).view(batch, heads, -1, key.shape[2])
    scores = scores * (width**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.float()
    if attention_mask is None:
        ahead = key.shape[2] - query.shape[2]  # positions of a cache that lie before the queries
        seen = torch.arange(key.shape[2], device=key.device) <= rows[..., None] + ahead
        if not getattr(module, "is_causal", True):
            seen = torch.ones_like(seen)
        return scores.masked_fill(~seen[:, None], float("-inf")).softmax(-1)
    mask = attention_mask.expand(batch, -1, -1, -1)
    mask = mask.gather(2, rows[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[3]))
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return (scores + mask.float()).softmax(-1)

"""Attention weights of a few query rows in some layers, whatever kernel computes attention.

SDPA and flash kernels return no attention weights, and eager attention returns those of all rows. transformers lets an
attention function be registered by name and passes it query and key after the rotary embedding, so the few rows that
SEPM reads can be computed in addition to the kernel: O(rows x length) instead of O(length^2), in the named layers only.
The probe is a keyword argument of the forward call; the model keeps nothing of it between calls.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PREFIX = "sepm_eval_probed_"
KERNELS = ("sdpa", "flash_attention_2", "eager")


@dataclass
class Probe:
    """A request for the attention of some query positions in some decoder layers.

    Attributes:
        layers: indices of the decoder layers.
        rows: [B, R] query positions in the padded sequence, which includes the positions already in the cache; where
            ``valid`` is False the value is ignored.
        valid: [B, R] bool.
        attended: [B, L] bool, which positions are attended to: neither padding nor masked out.
        found: for each layer [B, L] float32, filled in by the forward pass: mean attention over the valid rows and all
            heads. It is on the device of ``attended``, whatever device computes the layer.
    """

    layers: tuple[int, ...]
    rows: Tensor
    valid: Tensor
    attended: Tensor
    found: dict[int, Tensor] = field(default_factory=dict)

    def among(self, new: int) -> Tensor:
        """The rows as indices, [B, R], into the last ``new`` positions, which were not in the cache before."""
        return self.rows - (self.attended.shape[1] - new)

    def fill(self, layer: int, query: Tensor, key: Tensor, scaling: float) -> None:
        """Compute ``found`` for a layer.

        Args:
            layer: index of the layer.
            query: [B, H, R, d] of the rows, after the rotary embedding.
            key: [B, H_kv, L, d] of all positions, after the rotary embedding, H a multiple of H_kv.
            scaling: factor of the scores.

        Each row's weights sum to 1 over the attended positions up to its own. As in transformers' eager attention,
        scores are computed in the model's dtype and the softmax in float32.
        """
        rows, attended, valid = (one.to(query.device) for one in (self.rows, self.attended, self.valid))
        batch, heads, _, width = query.shape
        length = key.shape[2]
        grouped = query.reshape(batch, key.shape[1], -1, width)  # query heads that share a key head are adjacent
        scores = (grouped @ key.mT).view(batch, heads, -1, length).float() * scaling
        seen = torch.arange(length, device=key.device) <= rows[..., None]
        seen = (seen & attended[:, None, :])[:, None]
        mean = mean_attention(scores.masked_fill(~seen, float("-inf")).softmax(-1), valid)
        self.found[layer] = mean.to(self.attended.device)

    def answered(self) -> Tensor:
        """Mean over the layers, [B, L]; without a layer's attention, tokens would be dropped for no reason, or none.

        Raises:
            RuntimeError: a layer did not fill in the probe.
        """
        for layer in self.layers:
            if layer not in self.found:
                raise RuntimeError(
                    f"the probe of layer {layer} was not answered: the decoder does not use the registered attention "
                    "function"
                )
        if len(self.layers) == 1:
            return self.found[self.layers[0]]
        return torch.stack([self.found[layer] for layer in self.layers]).mean(0)


def choose_layers(which: str, layers: Sequence[int]) -> tuple[int, ...]:
    """Which layers a probe reads.

    Args:
        which: "last", "last3", "first3" or "all".
        layers: the decoder layers that have attention, in order; of fewer than three, "last3" and "first3" take all.

    Raises:
        ValueError: ``which`` is none of these words.
    """
    chosen = {"last": layers[-1:], "last3": layers[-3:], "first3": layers[:3], "all": layers}
    if which not in chosen:
        raise ValueError(f"probe_layers={which!r}: use one of {list(chosen)}")
    return tuple(chosen[which])


def aimed(probed: Sequence[Sequence[int]], behind: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
    """Query positions of probed tokens in a batch padded on the left, where a text ends each row.

    Args:
        probed: for each row, indices of the probed tokens in that text.
        behind: for each row, the length of that text.
        length: L, the length of the padded rows.

    Returns:
        The positions, [B, R], and which of them count, [B, R] bool: a row may have fewer than R.
    """
    width = max(map(len, probed))
    rows = torch.full((len(probed), width), length - 1)
    valid = torch.zeros(len(probed), width, dtype=torch.bool)
    for i, (indices, text) in enumerate(zip(probed, behind, strict=True)):
        rows[i, : len(indices)] = torch.tensor([length - text + index for index in indices])
        valid[i, : len(indices)] = True
    return rows, valid


def mean_attention(attention: Tensor, rows: Tensor) -> Tensor:
    """Mean attention of some query rows to each position, over rows and heads (SEPM's Eq. 6-8, as in its public code).

    attention: [B, H, R, L] softmax weights of R query rows; rows: [B, R] bool, which rows count (a prompt may
    have fewer than R). Returns [B, L], float32.
    """
    weights = rows.float() / rows.sum(-1, keepdim=True)
    return torch.einsum("brl,br->bl", attention.float().mean(1), weights)


def answer(module: Any, query: Tensor, key: Tensor, probe: Probe | None, scaling: float) -> None:
    """Fill in a probe, if there is one and it names this layer; this does not depend on the attention kernel.

    query: [B, H, L, d]; key: [B, H_kv, L + cached, d].
    """
    if probe is not None and module.layer_idx in probe.layers:
        rows = probe.among(query.shape[2]).to(query.device)
        rows = rows[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[3])
        probe.fill(module.layer_idx, query.gather(2, rows), key, scaling)


def probed(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    kernel: str,
    probe: Probe | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Run one of transformers' attention functions, and fill in a probe that names this layer.

    Args:
        module: the attention layer.
        query: [B, H, L, d].
        key: [B, H_kv, L + cached, d].
        value: [B, H_kv, L + cached, d].
        attention_mask: the result of the kernel's own mask function, or which positions are seen,
            [B, 1, L, L + cached] bool.
        kernel: one of ``KERNELS``.
        probe: the probe, or None.
        kwargs: further arguments of the kernel, including ``scaling``.
    """
    answer(module, query, key, probe, kwargs["scaling"])
    if attention_mask is not None and attention_mask.ndim == 4 and attention_mask.dtype == torch.bool:
        if kernel == "eager":  # this kernel adds its mask to the scores
            least = torch.finfo(query.dtype).min
            attention_mask = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill(~attention_mask, least)
        elif kernel == "flash_attention_2":  # this kernel is causal by itself, and is only told the padding
            attention_mask = attention_mask[:, 0, -1]
    if kernel == "flash_attention_2":  # it would mistake positions with gaps, from dropped tokens, for several prompts
        kwargs.pop("position_ids", None)
    return _function(module, kernel)(module, query, key, value, attention_mask, **kwargs)


def _function(module: Any, kernel: str) -> Any:
    """Transformers' own attention function of a kernel; the eager one is defined in each architecture's module."""
    if kernel == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    if kernel == "sdpa":
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward
    from transformers.integrations.flash_attention import flash_attention_forward

    return flash_attention_forward


def register(name: str, kernel: str, function: Any) -> str:
    """Register an attention function with transformers, with the mask function of the kernel that it calls.

    transformers recognises FlashAttention by its name. So for that kernel the function is registered under the kernel's
    own name, and replaces whatever has this name in this process.

    Args:
        name: the name under which to register it.
        kernel: one of ``KERNELS``.
        function: the function, which is called with ``kernel`` in addition to transformers' arguments.

    Returns:
        The name under which it was registered.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    name = kernel if "flash" in kernel else name
    AttentionInterface.register(name, partial(function, kernel=kernel))
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[kernel])
    return name


def install(language_model: PreTrainedModel) -> None:
    """Make a loaded transformers decoder fill in probes; the kernel stays the one that its configuration names.

    Only this model's own configuration is changed; without a probe, attention is what the kernel alone computes.

    Raises:
        ValueError: the configuration names a kernel that is not in ``KERNELS``.
    """
    kernel = str(language_model.config._attn_implementation).removeprefix(_PREFIX)
    if kernel not in KERNELS:
        raise ValueError(f"attn_implementation={kernel!r} cannot be probed: use one of {KERNELS}")
    language_model.set_attn_implementation(register(f"{_PREFIX}{kernel}", kernel, probed))

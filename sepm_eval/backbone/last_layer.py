"""The decoder's last layer, computed for the last position only.

The first token of an answer is chosen from the last position, so the last layer's output at the other positions is
never used. In this layer they only need keys and values, for the KV cache. So their queries, attention, output
projection and MLP are left out, and a probe of this layer is computed from the few query rows it names. Answers are the
same up to rounding.

The layer's own forward is kept: a hook in front of it writes the other positions into the cache and passes on only the
last one. The hook acts if the call says ``last_position_only``, and holds no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, apply_rotary_pos_emb

from sepm_eval.backbone import probe as probes
from sepm_eval.backbone.writing import CACHE

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def install(decoder: PreTrainedModel) -> None:
    """Make a loaded decoder's last layer obey ``last_position_only``; if it is not a Llama layer, nothing changes."""
    layer = decoder.layers[-1]
    if isinstance(layer, LlamaDecoderLayer):
        layer.register_forward_pre_hook(_narrow, with_kwargs=True)


def _narrow(
    layer: LlamaDecoderLayer, args: tuple[Tensor], kwargs: dict[str, Any]
) -> tuple[tuple[Tensor], dict[str, Any]]:
    """Change the layer's arguments: of the positions [B, L, D] only the last remains, the others go to the cache."""
    if not kwargs.pop("last_position_only", False) or args[0].shape[1] == 1:
        return args, kwargs
    hidden, attention = args[0], layer.self_attn
    normed = layer.input_layernorm(hidden)  # in a divided model, this moves the states to the layer's device
    rotation = tuple(part.to(normed.device) for part in kwargs["position_embeddings"])
    key, value = _heads(attention, attention.k_proj, normed), _heads(attention, attention.v_proj, normed)
    key = _rotated(key, rotation)
    earlier, _ = kwargs[CACHE].update(key[:, :, :-1], value[:, :, :-1], attention.layer_idx)
    probe: probes.Probe | None = kwargs.pop("probe", None)
    if probe is not None and attention.layer_idx in probe.layers:
        _fill(attention, normed, torch.cat([earlier, key[:, :, -1:]], dim=2), rotation, probe)
    mask = kwargs["attention_mask"]
    if mask is not None and mask.ndim == 4:  # [B, 1, L, L + cached]; a kernel may also be given [B, L + cached]
        mask = mask[:, :, -1:]
    kwargs |= {
        "attention_mask": mask,
        "position_ids": kwargs["position_ids"][:, -1:],
        "position_embeddings": tuple(part[:, -1:] for part in rotation),
    }
    return (hidden[:, -1:],), kwargs


def rate(decoder: PreTrainedModel, hidden: Tensor, places: Tensor, probe: probes.Probe) -> None:
    """Fill in a probe of one layer with the attention that the layer would have, without running the layer.

    Args:
        decoder: a decoder with Llama-like layers.
        hidden: [B, L, D], the input of the layer.
        places: [B, L], the positions.
        probe: the probe, which names one layer.
    """
    layer = decoder.layers[probe.layers[0]]
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    rotation = tuple(part.to(normed.device) for part in decoder.rotary_emb(hidden, position_ids=places))
    key = _rotated(_heads(attention, attention.k_proj, normed), rotation)
    _fill(attention, normed, key, rotation, probe)


def _fill(attention: Any, normed: Tensor, key: Tensor, rotation: tuple[Tensor, ...], probe: probes.Probe) -> None:
    """Fill in a probe from a layer's normalised states [B, L, D] and rotated keys [B, H_kv, L + cached, d]."""
    rows = probe.among(normed.shape[1])
    query = _heads(attention, attention.q_proj, _picked(normed, rows))
    query = _rotated(query, tuple(_picked(part, rows) for part in rotation))
    probe.fill(attention.layer_idx, query, key, attention.scaling)


def _heads(attention: Any, projection: nn.Module, states: Tensor) -> Tensor:
    """Project states and split them into heads, [B, L, D] -> [B, H, L, d]."""
    return projection(states).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def _rotated(states: Tensor, rotation: tuple[Tensor, ...]) -> Tensor:
    """Apply the rotary embedding to states [B, H, L, d]."""
    return apply_rotary_pos_emb(states, states, *rotation)[0]


def _picked(states: Tensor, rows: Tensor) -> Tensor:
    """Select the positions [B, R] of states, [B, L, D] -> [B, R, D]."""
    return states.gather(1, rows.to(states.device)[..., None].expand(-1, -1, states.shape[-1]))

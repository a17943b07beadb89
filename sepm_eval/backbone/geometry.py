"""The shapes of a backbone, and of its parts: what decides how many operations an answer takes (see ``cost``).

Nothing here needs torch or a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Tower:
    """A vision tower of LLaVA-1.5 or VILA-1.5: a plain transformer over the patches of a square picture.

    Attributes:
        side: side of the picture, in pixels.
        patch: side of a patch, in pixels.
        width: width of the hidden states.
        intermediate: width inside the MLP.
        layers: number of layers; the last one is not computed, because the features are its input.
        class_token: whether a class token stands before the patches, as in CLIP.
    """

    side: int
    patch: int
    width: int
    intermediate: int
    layers: int
    class_token: bool


@dataclass(frozen=True)
class Encoder:
    """A vision tower of any kind with its projector, for pictures of one size.

    Attributes:
        tokens: number of visual tokens of a picture.
        multiply_adds: multiply-adds to encode a picture.
        resizes: whether a smaller picture has fewer tokens.
    """

    tokens: int
    multiply_adds: int
    resizes: bool = False


@dataclass(frozen=True)
class Recurrent:
    """Layers with a gated delta rule (Gated DeltaNet) instead of attention: their memory has a fixed size.

    The count follows transformers' PyTorch code: in chunks of ``CHUNK`` tokens, the last one padded.

    Attributes:
        layers: indices of these layers in the decoder.
        key_heads: number of heads of queries and keys.
        key_width: width of one of these heads.
        value_heads: number of heads of values.
        value_width: width of one of these heads.
        kernel: length of the convolution over queries, keys and values.
    """

    layers: frozenset[int]
    key_heads: int
    key_width: int
    value_heads: int
    value_width: int
    kernel: int


CHUNK = 64
"""Tokens in a chunk of a gated delta rule (``torch_chunk_gated_delta_rule`` in transformers' modeling_qwen3_5)."""


@dataclass(frozen=True)
class Experts:
    """A mixture of experts in the place of the MLP.

    Attributes:
        count: number of experts; a router rates all of them.
        active: number of experts that a token goes through.
        intermediate: width inside an expert.
        shared: width inside the shared expert that every token goes through; 0 without one.
        gated: whether the output of the shared expert is multiplied by a gate.
        first: the first layer that has experts; the layers before it have an MLP.
    """

    count: int
    active: int
    intermediate: int
    shared: int = 0
    gated: bool = False
    first: int = 0


@dataclass(frozen=True)
class Decoder:
    """A Llama-like decoder: gated MLP, grouped-query attention.

    Attributes:
        width: width of the hidden states.
        intermediate: width inside the MLP.
        layers: number of layers.
        heads: number of query heads.
        kv_heads: number of key and value heads.
        head_width: width of one head.
        vocabulary: number of rows of the output layer.
        spared: what of the last layer is computed for the last position only: all of it that can be ("layer", see
            ``last_layer.py``), or its MLP ("mlp").
        windows: for each layer, how many positions it sees while an answer is written, None for all; empty if all do.
        gated: whether the output of attention is multiplied by a gate as wide as the queries.
        recurrent: the layers without attention; None if there are none.
        experts: the mixture of experts that layers have in the place of the MLP; None without one.
    """

    width: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    spared: Literal["layer", "mlp"] = "layer"
    windows: tuple[int | None, ...] = ()
    gated: bool = False
    recurrent: Recurrent | None = None
    experts: Experts | None = None


@dataclass(frozen=True)
class Geometry:
    """The shapes of a backbone.

    Attributes:
        tower: the vision tower.
        decoder: the language model.
        merge: a visual token is made of merge x merge patches (LLaVA 1, VILA 2).
    """

    tower: Tower | Encoder
    decoder: Decoder
    merge: int = 1

    def visual_tokens(self, side: float = 1.0) -> int:
        """N_v, for a picture encoded at this share of the tower's usual side (see ``Backbone.see``)."""
        if isinstance(self.tower, Encoder):
            return max(round(self.tower.tokens * side**2), 1) if self.tower.resizes else self.tower.tokens
        patches = max(round(self.tower.side // self.tower.patch * side), 1)
        return (-(-patches // self.merge)) ** 2


def geometry_from_configs(text: Mapping[str, Any], vision: Mapping[str, Any], merge: int = 1) -> Geometry:
    """The geometry that two config.json sections describe.

    Args:
        text: the section of the language model (``text_config`` of llava-hf, the whole file of the original LLaVA,
            VILA's llm). Values that the llava-hf repositories leave out are those of Llama-7B, transformers' default.
        vision: the section of the vision tower (``vision_config``, or the tower's own file).
        merge: see ``Geometry``.
    """
    width, heads = text.get("hidden_size", 4096), text.get("num_attention_heads", 32)
    siglip = vision.get("model_type") == "siglip_vision_model"
    return Geometry(
        Tower(
            side=vision["image_size"],
            patch=vision["patch_size"],
            width=vision["hidden_size"],
            intermediate=vision["intermediate_size"],
            layers=vision["num_hidden_layers"],
            class_token=not siglip,
        ),
        Decoder(
            width=width,
            intermediate=text.get("intermediate_size", 11008),
            layers=text.get("num_hidden_layers", 32),
            heads=heads,
            kv_heads=text.get("num_key_value_heads") or heads,
            head_width=text.get("head_dim") or width // heads,
            vocabulary=text.get("vocab_size", 32000),
        ),
        merge,
    )

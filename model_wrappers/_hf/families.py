"""What is special about each family of models, by the model_type in config.json; which are refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sepm_eval.model_wrappers._hf import places

TRANSFORMERS = "5.20.2"
"""The first release whose models take a picture's features instead of its pixels (``mm_encoder_outputs``)."""


@dataclass(frozen=True)
class Family:
    """How a family differs from the usual: one grid, one-dimensional positions from 0, and causal attention.

    Attributes:
        places: function that says where the visual tokens lie; None if nobody has looked: a square, or else one row.
        first_position: position of a prompt's first token.
        token_types: what ``token_type_ids`` mark, if the model takes them.
        reads_prompt_both_ways: whether attention in the prompt is bidirectional, so that what the model makes of the
            picture depends on the question after it.
        resizes: whether a smaller picture has fewer tokens.
        needs_two_tokens: whether its class fails on a single visual token; it works with a second picture in the batch.
    """

    places: places.Places | None = None
    first_position: int = 0
    token_types: Literal["picture", "none"] = "picture"
    reads_prompt_both_ways: bool = False
    resizes: bool = False
    needs_two_tokens: bool = False


_GRID = Family(places.merged_grid, resizes=True)
_TILES = Family(places.canvas_tiles)
_ROWS = Family(places.base_and_rows)
_SQUARE = Family(places.square)

FAMILIES: dict[str, Family] = {
    "qwen2_vl": _GRID,
    "qwen2_5_vl": _GRID,
    "qwen3_vl": _GRID,
    "qwen3_vl_moe": _GRID,
    "qwen3_5": _GRID,
    "qwen3_5_moe": _GRID,
    "glm4v": _GRID,
    "glm4v_moe": _GRID,
    "glm46v": _GRID,
    "internvl": _TILES,
    "aya_vision": _TILES,
    "cohere2_vision": _TILES,
    "llava": Family(places.cropped_square),
    "vipllava": Family(places.cropped_square),
    "llava_next": _ROWS,
    "llava_onevision": _ROWS,
    "idefics3": Family(places.split_tiles),
    "smolvlm": Family(places.split_tiles),
    "mistral3": Family(places.patch_rows, resizes=True, needs_two_tokens=True),
    "gemma3": _SQUARE,
    "gemma4": Family(places.pooled_grid),
    "paligemma": Family(places.square, first_position=1, token_types="none", reads_prompt_both_ways=True),
}

_INDEXED = "its attention picks a few keys by an index of its own, so that a dropped token changes which are picked"
_RECURRENT = "its language model mixes recurrent and attention layers in a way that was not tried"
REFUSED: dict[str, str] = {
    "mllama": "its pictures are read by cross-attention and no visual tokens stand in the prompt that could be dropped",
    "phi4_multimodal": "transformers has no image-text-to-text class for it, and its pictures need a LoRA of their own",
    "qwen4_exp": _INDEXED,
    "glm5_next": _INDEXED,
    "mistral_large4": _INDEXED,
    "minimax_m3_vl": _INDEXED,
    "nemotron_h_omni": _RECURRENT,
    "inkling_mm_model": _RECURRENT,
    "inkling2": _RECURRENT,
    "diffusion_gemma": "it writes by diffusion: there is no next token whose probability could be read",
    "muse_spark": "it always thinks before it answers",
    "llama4": "it projects visual tokens inside the language model's call, so none can be dropped before it",
    "molmo2": "its visual features are added to those of the prompt's tokens, not put in their place",
    "llava_llama": "it is VILA in its original layout; use sepm_vila",
}


def family_of(config: Mapping[str, Any], name: str) -> Family:
    """The family of a checkpoint.

    Args:
        config: its config.json.
        name: the checkpoint as the user named it.

    Raises:
        ValueError: it cannot be used as a picture-and-text model of transformers; the message says why.
    """
    kind = config.get("model_type")
    reason = REFUSED.get(str(kind)) or _unknown_to_transformers(config) or _thinks(name)
    if reason:
        raise ValueError(f"{name} (model_type={kind!r}) cannot be loaded as hf: {reason}")
    return FAMILIES.get(str(kind), Family())


def _thinks(name: str) -> str | None:
    """Why a model that always thinks before it answers is refused, judged by its name; None for other models.

    Its chat template does not tell: an empty think block in it does not always switch thinking off.
    """
    if "thinking" in name.rstrip("/").rsplit("/", 1)[-1].lower():
        return (
            "it always thinks before it answers, so its first token is no option letter; use the checkpoint without "
            "Thinking in its name"
        )
    return None


def _unknown_to_transformers(config: Mapping[str, Any]) -> str | None:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    kind = config.get("model_type")
    if "mm_vision_tower" in config:
        return "it has the original LLaVA layout; use sepm_llava"
    if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return None
    if kind in CONFIG_MAPPING_NAMES:
        return "transformers knows it as a model of another kind (text only, audio ...), not of pictures and text"
    if "auto_map" in config:
        return (
            "it needs program code from its own repository, which is never run; look for a version of it converted for "
            "transformers (its name often ends in -hf)"
        )
    return f"transformers {transformers.__version__} has no such model; a newer release may"

"""The shapes of transformers checkpoints, from their configuration files alone, to compute what an answer costs.

Vision towers are counted in multiply-adds, as their classes compute them. Families whose decoder ``geometry.Decoder``
cannot describe (such as those with layers that share a cache) are not included; their runs have no known cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sepm_eval.backbone.geometry import Decoder, Encoder, Experts, Geometry, Recurrent
from sepm_eval.model_wrappers._hf.places import anyres_tiles, unpadded

PICTURE = (640, 480)
"""Width and height of the picture for which costs are computed, where the number of visual tokens depends on it."""

Config = Mapping[str, Any]
Grid = tuple[int, int]  # rows and columns of patches


def geometry(config: Config, pixels: Config, picture: tuple[int, int] = PICTURE) -> Geometry | None:
    """The shapes of a model, for a picture that is cut into tiles only if the model always does so.

    Args:
        config: the checkpoint's config.json.
        pixels: the settings of its image processor.
        picture: width and height of the picture, in pixels.

    Returns:
        The shapes, or None for a family that is not known.
    """
    kind = str(config.get("model_type"))
    if kind not in (*_ENCODERS, *_CUT_UP) or not _known(config["text_config"]):
        return None
    grid = _GRIDS.get(kind, _fixed)(config, pixels, picture)
    encoder = _cut_up(config, grid, picture) if kind in _CUT_UP else _ENCODERS[kind](config, grid)
    return Geometry(encoder, _decoder(config))


def _decoder(config: Config) -> Decoder:
    text = config["text_config"]
    width, heads, layers = text["hidden_size"], text["num_attention_heads"], text["num_hidden_layers"]
    kinds = text.get("layer_types") or []
    windows = tuple(text["sliding_window"] if kind == "sliding_attention" else None for kind in kinds)
    return Decoder(
        width=width,
        intermediate=text.get("intermediate_size", 0),  # Qwen3.5 has experts in all layers
        layers=layers,
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_width=text.get("head_dim") or width // heads,
        vocabulary=text["vocab_size"],
        spared="mlp",
        windows=windows if any(windows) else (),
        gated="linear_attention" in kinds,
        recurrent=_recurrent(text, kinds),
        experts=_experts(text),
    )


def _recurrent(text: Config, kinds: Sequence[str]) -> Recurrent | None:
    """The layers of Qwen3.5 that have no attention; None if there are none."""
    layers = frozenset(layer for layer, kind in enumerate(kinds) if kind == "linear_attention")
    if not layers:
        return None
    return Recurrent(
        layers=layers,
        key_heads=text["linear_num_key_heads"],
        key_width=text["linear_key_head_dim"],
        value_heads=text["linear_num_value_heads"],
        value_width=text["linear_value_head_dim"],
        kernel=text["linear_conv_kernel_dim"],
    )


def _experts(text: Config) -> Experts | None:
    """The mixture of experts in the configuration of a Qwen or GLM model; None without one."""
    count = next((text[key] for key in ("num_experts", "num_local_experts", "n_routed_experts") if text.get(key)), 0)
    if not count:
        return None
    inner = text["moe_intermediate_size"]
    shared = text.get("shared_expert_intermediate_size") or inner * text.get("n_shared_experts", 0)
    gated, first = "shared_expert_intermediate_size" in text, text.get("first_k_dense_replace", 0)
    return Experts(count, text["num_experts_per_tok"], inner, shared, gated=gated, first=first)


def _known(text: Config) -> bool:
    """Whether ``geometry.Decoder`` can describe every layer."""
    kinds = set(text.get("layer_types") or ())
    between = text.get("mlp_only_layers") or text.get("decoder_sparse_step", 1) != 1  # experts in some layers only
    return kinds <= {"full_attention", "sliding_attention", "linear_attention"} and not between


def _layers(config: Config, tokens: int, *, gated: bool = False, squares: int | None = None) -> int:
    """Multiply-adds of a tower's layers over ``tokens``; ``squares``: pairs of tokens that attend, in all layers."""
    vision = config["vision_config"]
    width, depth = vision["hidden_size"], vision.get("depth") or vision["num_hidden_layers"]
    mlp = (3 if gated else 2) * width * vision["intermediate_size"]
    pairs = depth * tokens**2 if squares is None else squares
    return depth * tokens * (4 * width**2 + mlp) + 2 * pairs * width


def _embedding(config: Config, patches: int) -> int:
    vision = config["vision_config"]
    patch = vision["patch_size"]
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    frames = vision.get("temporal_patch_size", 1)
    return patches * vision["hidden_size"] * vision.get("num_channels", 3) * rows * columns * frames


def _qwen2_5_vl(config: Config, grid: Grid) -> Encoder:
    vision = config["vision_config"]
    patches, merge, width = grid[0] * grid[1], vision["spatial_merge_size"] ** 2, vision["hidden_size"]
    whole = len(vision["fullatt_block_indexes"])
    pairs = whole * patches**2 + (vision["depth"] - whole) * _in_windows(vision, grid)
    look = _embedding(config, patches) + _layers(config, patches, gated=True, squares=pairs)
    return _merged(config, patches, look, merge * width)


def _in_windows(vision: Config, grid: Grid) -> int:
    """Number of pairs of patches that are in the same window, in one layer."""
    side = vision["window_size"] // vision["patch_size"]
    rows, columns = ([min(side, length - start) for start in range(0, length, side)] for length in grid)
    return sum((row * column) ** 2 for row in rows for column in columns)


def _qwen3_vl(config: Config, grid: Grid) -> Encoder:
    vision = config["vision_config"]
    patches, merged = grid[0] * grid[1], vision["spatial_merge_size"] ** 2 * vision["hidden_size"]
    look = _embedding(config, patches) + _layers(config, patches)
    return _merged(config, patches, look, merged, 1 + len(vision.get("deepstack_visual_indexes", ())))


def _merged(config: Config, patches: int, look: int, joined: int, times: int = 1) -> Encoder:
    """An encoder whose patches are merged into tokens by two matrices, ``times`` times."""
    vision = config["vision_config"]
    tokens = patches // vision["spatial_merge_size"] ** 2
    return Encoder(tokens, look + times * tokens * (joined**2 + joined * vision["out_hidden_size"]), resizes=True)


def _glm4v(config: Config, grid: Grid) -> Encoder:
    vision = config["vision_config"]
    patches, width, out = grid[0] * grid[1], vision["hidden_size"], vision["out_hidden_size"]
    own = {**config, "vision_config": {**vision, "intermediate_size": out}}
    look = _embedding(config, patches) + _layers(own, patches, gated=True)
    tokens = patches // vision["spatial_merge_size"] ** 2
    merge = patches * width * out + tokens * (out**2 + 3 * out * vision["intermediate_size"])
    return Encoder(tokens, look + merge, resizes=True)


def _internvl(config: Config, grid: Grid) -> Encoder:
    patches, width, out = (
        grid[0] * grid[1],
        config["vision_config"]["hidden_size"],
        config["text_config"]["hidden_size"],
    )
    joined = round(width / config["downsample_ratio"] ** 2)
    tokens = round(patches * config["downsample_ratio"] ** 2)
    look = _embedding(config, patches) + _layers(config, patches + 1)
    return Encoder(tokens, look + tokens * (joined * out + out**2))


def _cut_up(config: Config, grid: Grid, picture: tuple[int, int]) -> Encoder:
    """LLaVA-NeXT and OneVision: the whole picture, and its tiles as one finer grid with an extra token per row."""
    one, vision = _llava(config, grid), config["vision_config"]
    tiles = anyres_tiles(picture, config["image_grid_pinpoints"], vision["image_size"])
    rows, columns = unpadded(picture, tiles, grid[0], config.get("vision_aspect_ratio"))
    return Encoder(one.tokens + rows * (columns + 1), one.multiply_adds * (1 + tiles[0] * tiles[1]))


def _llava(config: Config, grid: Grid) -> Encoder:
    """Two matrices for each patch; CLIP's class token is only used inside the tower."""
    classes = int("clip" in config["vision_config"]["model_type"])
    patches, width, out = (
        grid[0] * grid[1],
        config["vision_config"]["hidden_size"],
        config["text_config"]["hidden_size"],
    )
    look = _embedding(config, patches) + _layers(config, patches + classes)
    return Encoder(patches, look + patches * (width * out + out**2))


def _one_matrix(config: Config, grid: Grid) -> Encoder:
    """PaliGemma, Gemma-3 (patches are pooled), SmolVLM (patches are joined): one matrix for each token."""
    patches, width, out = (
        grid[0] * grid[1],
        config["vision_config"]["hidden_size"],
        config["text_config"]["hidden_size"],
    )
    joined = config.get("scale_factor", 1) ** 2
    tokens = config.get("mm_tokens_per_image", patches // joined)
    look = _embedding(config, patches) + _layers(config, patches)
    return Encoder(tokens, look + tokens * joined * width * out)


def _aya_vision(config: Config, grid: Grid) -> Encoder:
    patches, width, out = (
        grid[0] * grid[1],
        config["vision_config"]["hidden_size"],
        config["text_config"]["hidden_size"],
    )
    joined, inner = config["downsample_factor"] ** 2, config.get("alignment_intermediate_size", out)
    look, tokens = _embedding(config, patches) + _layers(config, patches), patches // joined
    return Encoder(tokens, look + tokens * (joined * width * inner + inner // 2 * out))


def _mistral3(config: Config, grid: Grid) -> Encoder:
    patches, width, out = (
        grid[0] * grid[1],
        config["vision_config"]["hidden_size"],
        config["text_config"]["hidden_size"],
    )
    joined = config["spatial_merge_size"] ** 2
    look, tokens = _embedding(config, patches) + _layers(config, patches, gated=True), patches // joined
    return Encoder(tokens, look + tokens * (joined * width**2 + width * out + out**2), resizes=True)


def _fixed(config: Config, pixels: Config, picture: tuple[int, int]) -> Grid:
    """Every picture becomes a square of one size."""
    vision = config["vision_config"]
    side, patch = (one if isinstance(one, int) else one[0] for one in (vision["image_size"], vision["patch_size"]))
    return side // patch, side // patch


def _smart(config: Config, pixels: Config, picture: tuple[int, int]) -> Grid:
    """Qwen and GLM: the picture's own shape, rounded to whole tokens, within the limits of pixels."""
    vision, size = config["vision_config"], pixels["size"]
    cell = vision["patch_size"] * vision["spatial_merge_size"]
    width, height = picture
    rows, columns = (max(round(side / cell), 1) for side in (height, width))
    least, most = size["shortest_edge"], size["longest_edge"]
    if rows * columns * cell**2 > most:
        scale = math.sqrt(width * height / most)
        rows, columns = (max(math.floor(side / scale / cell), 1) for side in (height, width))
    elif rows * columns * cell**2 < least:
        scale = math.sqrt(least / (width * height))
        rows, columns = (math.ceil(side * scale / cell) for side in (height, width))
    merge = vision["spatial_merge_size"]
    return rows * merge, columns * merge


def _longest_edge(config: Config, pixels: Config, picture: tuple[int, int]) -> Grid:
    """Mistral-3: the picture's own shape within the longest edge, rounded up to whole tokens."""
    cell, most = config["vision_config"]["patch_size"] * config["spatial_merge_size"], pixels["size"]["longest_edge"]
    scale = max(max(picture) / most, 1)
    rows, columns = (math.ceil(math.floor(side / scale) / cell) for side in picture[::-1])
    return rows * config["spatial_merge_size"], columns * config["spatial_merge_size"]


_ENCODERS: dict[str, Callable[[Config, Grid], Encoder]] = {
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), _qwen3_vl),
    **dict.fromkeys(("glm4v", "glm46v", "glm4v_moe"), _glm4v),
    **dict.fromkeys(("paligemma", "gemma3", "smolvlm", "idefics3"), _one_matrix),
    "qwen2_5_vl": _qwen2_5_vl,
    "internvl": _internvl,
    "llava": _llava,
    "aya_vision": _aya_vision,
    "mistral3": _mistral3,
}
_CUT_UP = ("llava_next", "llava_onevision")
_GRIDS: dict[str, Callable[[Config, Config, tuple[int, int]], Grid]] = {
    **dict.fromkeys(("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), _smart),
    **dict.fromkeys(("glm4v", "glm46v", "glm4v_moe"), _smart),
    "mistral3": _longest_edge,
}

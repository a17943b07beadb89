"""VILA-1.5 (3B, Llama-3 8B, 13B) with current transformers, from its original layout.

It reproduces NVlabs/VILA at 0085724 (2024-07-07): pictures resized to the tower's square regardless of their shape, all
patches of SigLIP's second-to-last layer, the ``mlp_downsample`` projector with the token order of that time, and the
tokenisation procedure with all its quirks. In later VILA code the same projector has its tokens in another order, which
these weights were not trained with. Departure: the original computes in float16 everywhere.

Prompts of the Llama-3 models come in two versions, ``template=may2024`` and ``aug2024``. Which weights need which one
is not stated by the project but inferred from its history: by default, "-Fix" checkpoints get the later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from sepm_eval.backbone.causal_lm import CausalLM
from sepm_eval.backbone.checkpoints import Checkpoint, find_checkpoint
from sepm_eval.backbone.interface import Block, PictureTokens, VisualTokens
from sepm_eval.backbone.memory import computes_on
from sepm_eval.backbone.tokenizers import Tokenizer, load_tokenizer
from sepm_eval.backbone.weights import read_weights
from sepm_eval.model_wrappers._image_first import ImageFirst, pick_positions, preprocess
from sepm_eval.model_wrappers._loading import check_complete, check_processor, load_model
from sepm_eval.model_wrappers._placement import Loading, settle
from sepm_eval.model_wrappers._templates import LLAMA_3_AUG2024, LLAMA_3_MAY2024, VICUNA_V1
from sepm_eval.model_wrappers._unread_layers import skip_unread
from sepm_eval.model_wrappers.vila import SUPPORTS

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATES = {"may2024": LLAMA_3_MAY2024, "aug2024": LLAMA_3_AUG2024, "vicuna_v1": VICUNA_V1}
PARTS = ("llm", "vision_tower", "mm_projector")
FEATURE_LAYER = -2  # of the hidden states of the tower, see mm_vision_select_layer


class Projector(nn.Module):
    """``mlp_downsample``: 2x2 patches become one token of four times the width, then a two-layer MLP."""

    def __init__(self, vision_width: int, width: int) -> None:
        super().__init__()
        layers = [
            nn.LayerNorm(4 * vision_width),
            nn.Linear(4 * vision_width, width),
            nn.GELU(),
            nn.Linear(width, width),
        ]
        self.layers = nn.Sequential(nn.Identity(), *layers)  # so layers have the numbers of the checkpoint

    def forward(self, patches: Tensor) -> Tensor:
        """[B, h * h, C] -> [B, ceil(h / 2)^2, D]."""
        return self.layers(downsample(patches))


def downsample(patches: Tensor) -> Tensor:
    """Join 2x2 patches, [B, h * h, C] -> [B, n * n, 4C] with n = ceil(h / 2).

    An odd grid gets a row and a column of zeros. Within a block, the channels of its patches (row, column) are in the
    order (0, 0), (0, 1), (1, 0), (1, 1). Tokens run column by column: token t = j * n + i is block row i, column j.
    """
    side = round(patches.shape[1] ** 0.5)
    grid = patches.unflatten(1, (side, side))
    grid = nn.functional.pad(grid, (0, 0, 0, side % 2, 0, side % 2))
    blocks = grid.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # [B, i, row, j, column, C]
    return blocks.permute(0, 3, 1, 2, 4, 5).flatten(3).flatten(1, 2)


class Vila(ImageFirst):
    """VILA-1.5 behind the ``Backbone`` interface."""

    supports = SUPPORTS

    def __init__(
        self,
        checkpoint: Checkpoint,
        parts: tuple[SiglipVisionModel, Projector, PreTrainedModel],
        tokenizer: Tokenizer,
        processor: SiglipImageProcessorPil,
        settings: dict[str, str],
    ) -> None:
        self._tower, self._projector, llm = parts
        for part in parts:
            part.eval().requires_grad_(False)
        skip_unread(self._tower, FEATURE_LAYER)
        self._processor = processor
        self._bos = llm.config.bos_token_id
        ends = [llm.config.eos_token_id, tokenizer.id_of("<|end_of_text|>"), tokenizer.id_of("<|eot_id|>")]
        language_model = CausalLM(
            llm.model,
            llm.lm_head,
            vocab_size=llm.config.vocab_size,
            stop_ids=sorted({end for end in ends if end is not None}),
            positions=pick_positions(settings["positions"]),
        )
        super().__init__(checkpoint, language_model, tokenizer, TEMPLATES[settings["template"]], settings)

    @torch.inference_mode()
    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """See ``Backbone.see``; SigLIP has no class token, so ``tower`` is refused."""
        if tower:
            raise ValueError(f"{self.name}: its vision tower has no class token and no paired text tower to ask for")
        pixels = self._prepared_pixels(images, side).to(computes_on(self._tower), self._tower.dtype)
        smaller = {"interpolate_pos_encoding": True} if side != 1 else {}
        seen = self._tower(pixels, output_hidden_states=True, **smaller)
        features = self._projector(seen.hidden_states[FEATURE_LAYER])
        patch = self._tower.config.patch_size
        return VisualTokens(
            tuple(
                PictureTokens(one, (block_of(image.size, pixels.shape[-1], patch),))
                for image, one in zip(images, features, strict=True)
            )
        )

    def _pixels(self, images: Sequence[Image], side: float) -> Tensor:
        vision = self._tower.config
        return preprocess(self._processor, images, vision.image_size, vision.patch_size, side)

    def _encode(self, before: str, after: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Tokenise each side of the image by itself, as the original tokenizer_image_token does.

        The Llama-3 template contains a BOS and the tokenizer adds another, so there are two. If the tokenizer adds
        none, the original procedure mistakes the template's BOS for the tokenizer's, and so also cuts the first token
        off the second text.
        """
        added = [self._bos] if self._tokenizer.adds_bos else []
        first = [*added, *self._tokenizer.encode(before)[0]]
        ids, spans = self._tokenizer.encode(after)
        if not added and first[:1] == [self._bos]:
            return first, ids[1:], spans[1:]
        return first, ids, spans


def load(pretrained: str, template: str, positions: str, **placement: Any) -> Vila:
    """See ``load`` in ``vila.py``; ``placement`` has the keyword arguments of ``settle``."""
    chosen_positions = pick_positions(positions)
    checkpoint = find_checkpoint(pretrained)
    config = checkpoint.config()
    if not all(f"{key}_cfg" in config for key in PARTS):
        raise ValueError(
            f"{pretrained} is not VILA-1.5: its config.json says model_type={config.get('model_type')!r} and lacks "
            f"{[f'{key}_cfg' for key in PARTS if f'{key}_cfg' not in config]}"
        )
    parts = {key: Checkpoint(f"{checkpoint.name}/{key}", checkpoint.folder / key, checkpoint.revision) for key in PARTS}
    configs = {key: part.config() for key, part in parts.items()}
    _refuse_other_vilas(pretrained, config, configs)
    loading = settle([part.folder for part in parts.values()], configs["llm"], **placement)
    tokenizer = load_tokenizer(parts["llm"].folder)
    chosen = _template(template, checkpoint, tokenizer)
    modules = _load_parts(parts, loading)
    processor = _image_processor(parts["vision_tower"].folder, modules[0].config.image_size)
    settings = {**loading.settings, "template": chosen, "image_aspect_ratio": "resize", "positions": chosen_positions}
    return Vila(checkpoint, modules, tokenizer, processor, settings)


def _load_parts(
    parts: Mapping[str, Checkpoint], loading: Loading
) -> tuple[SiglipVisionModel, Projector, PreTrainedModel]:
    """Load vision tower, projector and language model, each where ``loading`` puts it."""
    named = loading.device_map if isinstance(loading.device_map, dict) else {}
    if unknown := [key for key in named if key and key.partition(".")[0] not in PARTS]:
        raise ValueError(f"device_map names {unknown[:4]}, which begin with none of the parts {', '.join(PARTS)}")
    tower = _load_tower(parts["vision_tower"], loading.part("vision_tower").whole())
    folder = parts["llm"].folder
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        projector = Projector(tower.config.hidden_size, config.hidden_size)
    taken = sum(one.numel() for part in (tower, projector) for one in part.parameters()) * loading.dtype.itemsize
    llm = load_model(AutoModelForCausalLM, parts["llm"].name, config, [folder], loading.part("llm").after(taken))
    _fill(projector, parts["mm_projector"], loading.part("mm_projector"))
    return tower, projector, llm


def _load_tower(part: Checkpoint, loading: Loading) -> SiglipVisionModel:
    config = SiglipVisionConfig.from_pretrained(part.folder, local_files_only=True)
    config.vision_use_head = False  # the head pools all patches into one vector, which is not used
    return load_model(SiglipVisionModel, part.name, config, [part.folder], loading, unread="head")


def _fill(projector: Projector, part: Checkpoint, loading: Loading) -> None:
    """Load the projector's weights, which are too few to be divided among devices."""
    keys = projector.load_state_dict(read_weights(part.folder, loading.dtype), strict=False, assign=True)
    check_complete(part.name, keys._asdict())
    projector.to(loading.undivided(part.name), loading.dtype)


def _image_processor(folder: Path, side: int) -> SiglipImageProcessorPil:
    """Bicubic resize to the tower's input size whatever the picture's shape, and SigLIP's normalisation."""
    processor = SiglipImageProcessorPil.from_pretrained(
        folder, size={"height": side, "width": side}, do_center_crop=False, do_pad=False, local_files_only=True
    )
    check_processor(folder, processor)
    return processor


def _refuse_other_vilas(name: str, config: dict[str, Any], configs: dict[str, dict[str, Any]]) -> None:
    """Refuse models in the same layout that differ in tower, tiling, projector or number format."""
    reasons = {
        "s2": (bool(config.get("s2")), "its tower reads several scales"),
        "AWQ": ("quantization_config" in configs["llm"], "its language model is quantised"),
        "vision tower": (
            configs["vision_tower"].get("model_type") != "siglip_vision_model",
            f"its tower is {configs['vision_tower'].get('model_type')!r} (the 40B's InternViT needs code of its own)",
        ),
        "tiling": (
            config.get("image_aspect_ratio") != "resize",
            f"image_aspect_ratio={config.get('image_aspect_ratio')!r}: NVILA cuts pictures into tiles",
        ),
        "projector": (
            configs["mm_projector"].get("mm_projector_type") != "mlp_downsample",
            f"its projector is {configs['mm_projector'].get('mm_projector_type')!r}",
        ),
        "layer": (
            (config.get("mm_vision_select_layer"), config.get("mm_vision_select_feature")) != (-2, "cls_patch"),
            "it takes other features of the tower",
        ),
    }
    for what, (refused, why) in reasons.items():
        if refused:
            raise ValueError(
                f"{name} is not supported ({what}): {why}. Supported are VILA1.5-3b, -13b, Llama-3-VILA1.5-8B"
            )


def _template(wanted: str, checkpoint: Checkpoint, tokenizer: Tokenizer) -> str:
    llama_3 = tokenizer.id_of("<|start_header_id|>") is not None
    possible = ["may2024", "aug2024"] if llama_3 else ["vicuna_v1"]
    if wanted == "auto":
        return "aug2024" if llama_3 and checkpoint.name.rstrip("/").endswith("-Fix") else possible[0]
    if wanted not in possible:
        raise ValueError(f"template={wanted!r}: the tokenizer of {checkpoint.name} allows auto or one of {possible}")
    return wanted


def block_of(size: tuple[int, int], side: int, patch: int) -> Block:
    """Where the visual tokens of a picture lie: column by column (see ``downsample``).

    Args:
        size: width and height of the picture, which is stretched to the tower's square.
        side: side of that square, in pixels.
        patch: side of a patch, in pixels.

    Along each side, the grid covers twice as many patches as it has cells. This need not be the whole square: an odd
    number of patches gets a row and a column of zeros, and left-over pixels at the edge belong to no patch.
    """
    cells = -(-(side // patch) // 2)
    covered = 2 * cells * patch / side
    return Block((0, 0, size[0] * covered, size[1] * covered), cells, cells, by_columns=True)

"""LLaVA-1.5 (7B, 13B) with current transformers, from the llava-hf layout or the original one.

It reproduces haotian-liu/LLaVA at c121f04: pictures padded to a square, features of the tower's second-to-last layer
without the class token, the vicuna_v1 prompt tokenised separately before and after the image, logits over the
vocabulary the model was trained with. Departures: float32 on a CPU instead of float16, and a batch may hold more than
one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
)

from sepm_eval.backbone.causal_lm import CausalLM
from sepm_eval.backbone.checkpoints import Checkpoint, find_checkpoint, find_tower
from sepm_eval.backbone.interface import Block, PictureTokens, VisualTokens
from sepm_eval.backbone.memory import computes_on
from sepm_eval.backbone.tokenizers import Tokenizer, load_tokenizer
from sepm_eval.backbone.weights import read_weights
from sepm_eval.model_wrappers._class_token import class_token_of
from sepm_eval.model_wrappers._image_first import ImageFirst, pick_positions, preprocess
from sepm_eval.model_wrappers._loading import check_processor, load_model
from sepm_eval.model_wrappers._placement import Loading, settle
from sepm_eval.model_wrappers._templates import VICUNA_V1
from sepm_eval.model_wrappers._unread_layers import skip_unread
from sepm_eval.model_wrappers.llava import IMAGE_ASPECT_RATIOS

if TYPE_CHECKING:
    from PIL.Image import Image


class Llava(ImageFirst):
    """LLaVA-1.5 behind the ``Backbone`` interface."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: LlavaForConditionalGeneration,
        tokenizer: Tokenizer,
        processor: LlavaImageProcessorPil,
        settings: dict[str, str],
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        skip_unread(model.model.vision_tower, model.config.vision_feature_layer)
        self._processor = processor
        text = model.config.text_config
        self._bos = text.bos_token_id
        language_model = CausalLM(
            model.model.language_model,
            model.lm_head,
            vocab_size=tokenizer.vocab_size,
            stop_ids=[text.eos_token_id],
            positions=pick_positions(settings["positions"]),
        )
        super().__init__(checkpoint, language_model, tokenizer, VICUNA_V1, settings)

    @torch.inference_mode()
    def see(self, images: Sequence[Image], side: float = 1.0, tower: bool = False) -> VisualTokens:
        """See ``Backbone.see``."""
        pixels = self._prepared_pixels(images, side).to(computes_on(self._model.model.vision_tower), self._model.dtype)
        smaller = {"interpolate_pos_encoding": True} if side != 1 else {}
        layer = self._model.config.vision_feature_layer
        watched = class_token_of(self._model.model.vision_tower, layer) if tower else nullcontext()
        with watched as class_token:
            seen = self._model.model.get_image_features(pixels, **smaller)
        more: list[dict[str, Any]] = [{} for _ in images]
        if class_token is not None:
            parts = zip(class_token.attention(), seen.hidden_states[layer][:, 1:], strict=True)
            more = [{"class_attention": attention, "tower_features": patches} for attention, patches in parts]
        side_tokens = pixels.shape[-1] // self._model.config.vision_config.patch_size
        ratio = self.settings["image_aspect_ratio"]
        return VisualTokens(
            tuple(
                PictureTokens(one, (Block(seen_box(image.size, ratio), side_tokens, side_tokens),), extra)
                for image, one, extra in zip(images, seen.pooler_output, more, strict=True)
            )
        )

    def _pixels(self, images: Sequence[Image], side: float) -> Tensor:
        vision = self._model.config.vision_config
        return preprocess(self._processor, images, vision.image_size, vision.patch_size, side)

    def _encode(self, before: str, after: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        """Tokenise each side of the image by itself, BOS first, as the original tokenizer_image_token does."""
        ids, spans = self._tokenizer.encode(after)
        return [self._bos, *self._tokenizer.encode(before)[0]], ids, spans


def load(pretrained: str, image_aspect_ratio: str, positions: str, **placement: Any) -> Llava:
    """See ``load`` in ``llava.py``; ``placement`` has the keyword arguments of ``settle``."""
    if image_aspect_ratio not in IMAGE_ASPECT_RATIOS:
        raise ValueError(f"image_aspect_ratio={image_aspect_ratio!r}: use one of {IMAGE_ASPECT_RATIOS}")
    chosen_positions = pick_positions(positions)
    checkpoint = find_checkpoint(pretrained)
    config, tower = checkpoint.config(), _tower(checkpoint)
    folders = [checkpoint.folder, *([] if tower is None else [tower.folder])]
    loading = settle(folders, config, **placement)
    model = _load_hf(checkpoint, loading) if tower is None else _load_original(checkpoint, tower, config, loading)
    folder = (tower or checkpoint).folder
    processor = _image_processor(folder, model.config.vision_config.image_size, image_aspect_ratio)
    settings = {**loading.settings, "template": "vicuna_v1", "image_aspect_ratio": image_aspect_ratio}
    settings["positions"] = chosen_positions
    known = checkpoint if tower is None else checkpoint.with_tower(tower)
    return Llava(known, model, load_tokenizer(checkpoint.folder), processor, settings)


def _tower(checkpoint: Checkpoint) -> Checkpoint | None:
    """The vision tower in the original layout, where it is a separate checkpoint; None in the llava-hf layout.

    Raises:
        ValueError: the checkpoint is not LLaVA-1.5.
    """
    config = checkpoint.config()
    if "mm_vision_tower" in config:
        _refuse_other_llavas(checkpoint.name, config)
        return find_tower(checkpoint, config["mm_vision_tower"])
    if config.get("model_type") == "llava" and "vision_config" in config:
        _refuse_other_parts(checkpoint.name, config)
        return None
    raise ValueError(
        f"{checkpoint.name} is not LLaVA-1.5: its config.json says model_type={config.get('model_type')!r}, "
        f"architectures={config.get('architectures')!r}. Known are the llava-hf layout (llava-hf/llava-1.5-7b-hf) "
        "and the original one (liuhaotian/llava-v1.5-7b)"
    )


def _load_hf(checkpoint: Checkpoint, loading: Loading) -> LlavaForConditionalGeneration:
    config = LlavaConfig.from_pretrained(checkpoint.folder, local_files_only=True)
    return load_model(LlavaForConditionalGeneration, checkpoint.name, config, [checkpoint.folder], loading)


def _load_original(
    checkpoint: Checkpoint, tower: Checkpoint, config: dict[str, Any], loading: Loading
) -> LlavaForConditionalGeneration:
    """Load the original layout: weights are renamed to transformers' names, and CLIP is in a repository of its own."""
    clip = tower.config()
    llava = LlavaConfig(
        vision_config=CLIPVisionConfig(**clip.get("vision_config", clip)),
        text_config=LlamaConfig(
            **{key: value for key, value in config.items() if key not in ("model_type", "architectures")}
        ),
        image_token_index=config["vocab_size"],  # an id that no text contains: images are inserted as features
        vision_feature_layer=config["mm_vision_select_layer"],
        vision_feature_select_strategy="default",
    )

    def weights() -> dict[str, Tensor]:
        found = {_hf_key(key): one for key, one in read_weights(checkpoint.folder, loading.dtype).items()}
        if not any(key.startswith("model.vision_tower.") for key in found):
            for key, one in read_weights(tower.folder, loading.dtype).items():
                if key.startswith("vision_model."):
                    found[f"model.vision_tower.{key.removeprefix('vision_model.')}"] = one
        return found

    folders = [checkpoint.folder, tower.folder]
    return load_model(LlavaForConditionalGeneration, checkpoint.name, llava, folders, loading, weights)


def _hf_key(key: str) -> str:
    """The name that a weight of the original LLaVA has in transformers' model."""
    for original, ours in (
        ("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
        ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
        ("model.vision_tower.vision_tower.vision_model.", "model.vision_tower."),
        ("model.", "model.language_model."),
    ):
        if key.startswith(original):
            return ours + key.removeprefix(original)
    return key


def _refuse_other_llavas(name: str, config: dict[str, Any]) -> None:
    """Refuse models in the original layout that differ from LLaVA-1.5 in projector, image grid or language model."""
    expected = {
        "architectures": (["LlavaLlamaForCausalLM"], ["LlavaLlamaDynamicForCausalLM"], None),  # the second: SparseVLM's
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_patch_merge_type": ("flat", None),
        "image_aspect_ratio": ("pad", None, "square"),
        "mm_vision_select_feature": ("patch", None),
        "mm_use_im_start_end": (False, None),
        "mm_use_im_patch_token": (False, None),
    }
    for key, allowed in expected.items():
        if config.get(key) not in allowed:
            raise ValueError(f"{name} is a LLaVA, but not LLaVA-1.5: its config.json says {key}={config.get(key)!r}")


def _refuse_other_parts(name: str, config: dict[str, Any]) -> None:
    """Refuse models in the llava-hf layout that differ from LLaVA-1.5 in tower or features."""
    tower = config["vision_config"] or {}
    found = {
        "vision_config": (tower.get("model_type", "clip_vision_model"), "clip_vision_model"),
        "vision_feature_select_strategy": (config.get("vision_feature_select_strategy", "default"), "default"),
        "vision_feature_layer": (type(config.get("vision_feature_layer", -2)).__name__, "int"),
    }
    for key, (told, expected) in found.items():
        if told != expected:
            raise ValueError(
                f"{name} is a LLaVA, but not LLaVA-1.5: its config.json says {key} is {told!r}, not {expected!r}; "
                "try sepm_hf"
            )


def _image_processor(folder: Path, side: int, image_aspect_ratio: str) -> LlavaImageProcessorPil:
    """Bicubic resize to the tower's input size and CLIP's normalisation, with Pillow, as the original does it."""
    processor = LlavaImageProcessorPil.from_pretrained(
        folder,
        do_pad=image_aspect_ratio == "pad",
        do_center_crop=True,
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        local_files_only=True,
    )
    check_processor(folder, processor)
    return processor


def seen_box(size: tuple[int, int], image_aspect_ratio: str) -> tuple[float, float, float, float]:
    """The square of a picture that the tower sees: left, top, right and bottom in the picture's own pixels.

    Args:
        size: width and height of the picture.
        image_aspect_ratio: "pad" for the square around the picture, which reaches beyond it, "crop" for the one inside.
    """
    width, height = size
    if image_aspect_ratio == "crop":
        side = min(size)
        left, top = (width - side) / 2, (height - side) / 2
    else:
        side = max(size)
        left, top = -((side - width) // 2), -((side - height) // 2)  # as the processor pads, in whole pixels
    return left, top, left + side, top + side

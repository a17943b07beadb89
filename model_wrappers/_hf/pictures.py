"""From pictures to visual tokens: the checkpoint's own image processor, vision tower and projector."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sepm_eval.backbone.interface import Block, PictureTokens
from sepm_eval.backbone.memory import computes_on, free_memory
from sepm_eval.images import MOST_PIXELS, UnreadableImage, check_size, enough_memory
from sepm_eval.model_wrappers._hf.families import FAMILIES, Family
from sepm_eval.model_wrappers._hf.places import Seen, square
from sepm_eval.model_wrappers._loading import outside_decoder

_EDGES = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}  # as image processors name them
_TILING = ("crop_to_patches", "do_image_splitting")
_TOGETHER = 2**23  # most values that the vision side is given at once: 13 pictures of 448 x 448 pixels
_BYTES_A_PIXEL = 36  # while a picture is enlarged: three colours in float32, and again as patches of two frames


@dataclass(frozen=True)
class _Features:
    """Output of the vision side for one picture.

    Attributes:
        features: [n, D].
        deepstack: deep-stack features, [n, D] for each level, if the family has them.
        batched: whether the family returns one tensor for all pictures, not one for each.
    """

    features: Tensor
    deepstack: tuple[Tensor, ...] | None
    batched: bool


class Pictures:
    """Turns pictures into visual tokens with one checkpoint; a picture's tokens do not depend on other pictures."""

    def __init__(self, name: str, model: Any, processor: Any, family: Family, options: Mapping[str, Any]) -> None:
        """Take over a model.

        Args:
            name: the checkpoint, for errors.
            model: a transformers model for pictures and text.
            processor: its processor.
            family: what is special about its family.
            options: options for every call of the image processor (see ``image_options``).
        """
        self._name, self._model, self._processor, self._family = name, model, processor, family
        self._tower = model.get_submodule(outside_decoder(model)[0])
        self._tried = model.config.model_type in FAMILIES  # other models are given pictures one by one
        self._visual_token = processor.tokenizer.convert_ids_to_tokens(model.config.image_token_id)
        self.options = dict(options)
        self._prepared: dict[int, tuple[weakref.ref[Image.Image], dict[str, Any]]] = {}
        wanted = inspect.signature(model.get_image_features).parameters
        self._wanted = [key for key, one in wanted.items() if one.kind is not one.VAR_KEYWORD]

    def prepare(self, image: Image.Image) -> int:
        """Preprocess a picture ahead of time, in any thread; the result is its number of visual tokens."""
        key = id(image)  # comparing pictures by content would take longer than preprocessing them
        if key not in self._prepared:
            known = weakref.ref(image, lambda _: self._prepared.pop(key, None))
            self._prepared[key] = known, self._process(image)
        return self._tokens(self._prepared[key][1])

    @torch.inference_mode()
    def see(self, images: Sequence[Image.Image], side: float = 1.0) -> tuple[PictureTokens, ...]:
        """Preprocess pictures and run vision tower and projector, on several pictures at once if the family can.

        Args:
            images: pictures of any mode.
            side: the wanted sides of the pictures as a share of those that the processor would give them.

        Raises:
            UnreadableImage: the processor refuses a picture, or it is too large.
            ValueError: ``side`` is not 1, and this family has the same number of tokens whatever the size.
        """
        processed = [self._ready(image, side) for image in images]
        found: dict[int, PictureTokens] = {}
        for rows in self._alike(processed):
            for row, output in zip(rows, self._features([processed[row] for row in rows]), strict=True):
                found[row] = self._picture(images[row], processed[row], output)
        return tuple(found[row] for row in range(len(images)))

    def _ready(self, image: Image.Image, side: float) -> dict[str, Any]:
        """The preprocessed picture, from ``prepare`` if it was called."""
        known = self._prepared.get(id(image))
        inputs = known[1] if known is not None and known[0]() is image else self._process(image)
        return inputs if side == 1 else self._process(self._smaller(image, inputs, side), **self._no_least_size())

    def _alike(self, processed: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Group rows that the vision side is given at once: their tensors can be joined and are not too large."""
        found: list[list[int]] = []
        last: dict[Any, tuple[list[int], int]] = {}  # by the tensors' shapes: the group that may still grow, its size
        for row, inputs in enumerate(processed):
            given = self._given(inputs).values()
            form = tuple(value.shape[1:] for value in given)
            more = max(value.numel() for value in given)
            rows, size = last.get(form, ([], 0))
            if not rows or not self._tried or size + more > _TOGETHER:
                rows, size = [], 0
                found.append(rows)
            rows.append(row)
            last[form] = rows, size + more
        return found

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of a preprocessed picture that the vision side takes."""
        return {key: value for key, value in inputs.items() if key in self._wanted and isinstance(value, Tensor)}

    def _picture(self, image: Image.Image, inputs: Mapping[str, Any], output: _Features) -> PictureTokens:
        more: dict[str, Any] = {"expansion": inputs["expansion"], "batched": output.batched}
        if "image_grid_thw" in inputs:
            more["image_grid_thw"] = inputs["image_grid_thw"]
        if output.deepstack is not None:
            more["deepstack"] = output.deepstack
        return PictureTokens(output.features, self._places(image, inputs, len(output.features)), more)

    def _features(self, processed: Sequence[Mapping[str, Any]]) -> list[_Features]:
        """Run the model's vision side on preprocessed pictures whose tensors can be joined along their first axis."""
        device, dtype = computes_on(self._tower), self._model.dtype
        pictures, tokens = [self._given(inputs) for inputs in processed], [self._tokens(inputs) for inputs in processed]
        if tokens == [1] and self._family.needs_two_tokens:
            pictures, tokens = pictures * 2, tokens * 2
        given = {key: torch.cat([inputs[key] for inputs in pictures]).to(device) for key in pictures[0]}
        given = {key: value.to(dtype) if value.is_floating_point() else value for key, value in given.items()}
        output = self._model.get_image_features(**given, return_dict=True)
        features = _divided(output.pooler_output, tokens)
        levels = [_divided(level, tokens) for level in getattr(output, "deepstack_features", None) or ()]
        return [
            _Features(
                features=features[row],
                deepstack=tuple(level[row] for level in levels) if levels else None,
                batched=isinstance(output.pooler_output, Tensor),
            )
            for row in range(len(processed))
        ]

    def _tokens(self, inputs: Mapping[str, Any]) -> int:
        """How many visual tokens a preprocessed picture will have."""
        return int(inputs["expansion"].count(self._visual_token))

    def _process(self, image: Image.Image, **changed: Any) -> dict[str, Any]:
        """The image processor's output for a picture, and the text that stands for it in the prompt ("expansion").

        changed: options with other values for this picture.
        """
        check_size(image)
        self._check_room(image)
        with enough_memory([image]):
            picture = image.convert("RGB")
            merged = self._processor._merge_kwargs(
                tokenizer_init_kwargs=self._processor.tokenizer.init_kwargs,
                return_tensors="pt",
                images_kwargs={**self.options, **changed},
            )["images_kwargs"]
            images, *_ = self._processor.prepare_inputs_layout(images=[picture], text=[self._processor.image_token])
            try:
                inputs, (expansion,) = self._processor._process_images(images, **merged)
            except ValueError as error:
                raise UnreadableImage(
                    f"the image processor of {self._name} refuses this picture of {image.width} x {image.height} "
                    f"pixels: {error}"
                ) from error
        return {**inputs, "expansion": expansion}

    def _check_room(self, image: Image.Image) -> None:
        """Refuse to enlarge a picture beyond the free memory, before it is tried.

        Raises:
            UnreadableImage: the enlarged picture would not fit into memory.
        """
        least = self.options.get("size", {}).get(_EDGES["min_pixels"], 0)
        if least > image.width * image.height and (lack := _lack_of_memory(least)):
            raise UnreadableImage(f"{lack}; it has {image.width} x {image.height}")

    def _smaller(self, image: Image.Image, inputs: Mapping[str, Any], side: float) -> Image.Image:
        """Resize a picture so that its grid has ``side`` times the rows and columns that it would have otherwise."""
        if not self._family.resizes:
            raise ValueError(f"{self._name} gives a fixed number of visual tokens: a smaller picture has as many")
        (block,) = self._places(image, inputs, 0)
        pixels = self._cell()
        width, height = (max(round(cells * side), 1) * pixels for cells in (block.columns, block.rows))
        return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)

    def _no_least_size(self) -> dict[str, Any]:
        """Options that keep a processor with a lower limit of pixels from enlarging a reduced picture again."""
        size = dict(self.options.get("size") or getattr(self._processor.image_processor, "size", None) or {})
        return {"size": {**size, "shortest_edge": 1}} if all(size.get(edge) for edge in _EDGES.values()) else {}

    def _cell(self) -> int:
        """Side of the part of a picture that becomes one visual token, in pixels of the preprocessed picture."""
        vision = self._model.config.vision_config
        merge = getattr(vision, "spatial_merge_size", None) or getattr(self._model.config, "spatial_merge_size", 1)
        return int(vision.patch_size * merge)

    def _places(self, image: Image.Image, inputs: Mapping[str, Any], tokens: int) -> tuple[Block, ...]:
        seen = Seen(image.size, tokens, inputs, self.options, self._model.config, self._processor)
        return (self._family.places or square)(seen)


def image_options(name: str, processor: Any, *, tiling: bool, limits: Mapping[str, int | None]) -> dict[str, Any]:
    """Options for every call of the image processor.

    Tiling is set in every call, because the default of some classes overrides what the processor's file says about it.

    Args:
        name: the checkpoint, for errors.
        processor: the checkpoint's processor.
        tiling: let the image processor cut pictures into tiles.
        limits: min_pixels and max_pixels, None for the processor's own.

    Raises:
        ValueError: limits are given that this image processor does not have, that are impossible, or that need more
            memory than is free; or ``tiling`` is neither True nor False.
    """
    if not isinstance(tiling, bool):
        raise ValueError(f"tiling={tiling!r}: use True or False")
    image_processor = processor.image_processor
    options: dict[str, Any] = {key: tiling for key in _TILING if hasattr(image_processor, key)}
    given = {_EDGES[limit]: pixels for limit, pixels in limits.items() if pixels is not None}
    if not given:
        return options
    size = dict(getattr(image_processor, "size", None) or {})
    if not hasattr(image_processor, "merge_size") or not set(_EDGES.values()) <= set(size):
        raise ValueError(f"{name}: its image processor has no min_pixels and max_pixels")
    size.update(given)
    least, most = (size[edge] for edge in _EDGES.values())
    if not (type(least) is type(most) is int and 0 < least <= most):
        raise ValueError(
            f"min_pixels={least!r}, max_pixels={most!r}: use whole numbers above 0, and the first not above the second"
        )
    if least > MOST_PIXELS:
        raise ValueError(f"min_pixels={least}: every picture would be enlarged beyond the {MOST_PIXELS} it may have")
    if lack := _lack_of_memory(least):
        raise ValueError(lack)
    return {**options, "size": size}


def _lack_of_memory(least: int) -> str:
    """A message that says why a picture cannot be enlarged to ``least`` pixels; "" if it can."""
    need, free = least * _BYTES_A_PIXEL, free_memory("cpu")
    if need <= free:
        return ""
    return (
        f"min_pixels={least} enlarges a picture until it takes {need / 2**30:.1f} GiB of memory, where "
        f"{free / 2**30:.1f} GiB are free; lower min_pixels"
    )


def tiles(processor: Any) -> bool:
    """Whether cutting pictures into tiles can be switched on and off in an image processor."""
    return any(hasattr(processor.image_processor, key) for key in _TILING)


def _divided(features: Any, counts: list[int]) -> list[Tensor]:
    """Divide the features of pictures, in whatever form a model returns them, into [n, D] for each picture.

    counts: n, the number of visual tokens of each picture.

    Raises:
        ValueError: there are not as many features as visual tokens.
    """
    parts = [features] if isinstance(features, Tensor) else list(features)
    whole = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    if len(whole) != sum(counts):
        raise ValueError(f"the prompts have places for {counts} visual tokens, and the vision side gave {len(whole)}")
    return list(whole.split(counts))

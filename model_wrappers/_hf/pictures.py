"""From pictures to visual tokens: the checkpoint's own image processor, vision tower and projector."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sepm_eval.backbone.interface import Block, PictureTokens
from sepm_eval.backbone.memory import computes_on, free_memory
from sepm_eval.images import MOST_PIXELS, UnreadableImage, check_size, enough_memory
from sepm_eval.model_wrappers._hf.families import Family
from sepm_eval.model_wrappers._hf.places import Seen, square
from sepm_eval.model_wrappers._loading import outside_decoder

_EDGES = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}  # as image processors name them
_TILING = ("crop_to_patches", "do_image_splitting")
_BYTES_A_PIXEL = 36  # of a picture being enlarged: three colours in float32, and again in patches of two frames


class Pictures:
    """Looks at pictures with one checkpoint, one by one: what is made of a picture depends on no other."""

    def __init__(self, name: str, model: Any, processor: Any, family: Family, options: Mapping[str, Any]) -> None:
        """Take over a model.

        Args:
            name: the checkpoint, for errors.
            model: of transformers, for pictures and text.
            processor: its processor.
            family: what is special in it.
            options: the image processor's, for every call (see ``image_options``).
        """
        self._name, self._model, self._processor, self._family = name, model, processor, family
        self._tower = model.get_submodule(outside_decoder(model)[0])
        self.options = dict(options)
        self._prepared: dict[int, tuple[weakref.ref[Image.Image], dict[str, Any]]] = {}
        wanted = inspect.signature(model.get_image_features).parameters
        self._wanted = [key for key, one in wanted.items() if one.kind is not one.VAR_KEYWORD]

    def prepare(self, image: Image.Image) -> int:
        """Preprocess a picture before its turn, in any thread; how many visual tokens it will give."""
        key = id(image)  # pictures compare by content, which would take longer than to preprocess them
        if key not in self._prepared:
            known = weakref.ref(image, lambda _: self._prepared.pop(key, None))
            self._prepared[key] = known, self._process(image)
        return self._tokens(self._prepared[key][1])

    @torch.inference_mode()
    def see(self, image: Image.Image, side: float) -> PictureTokens:
        """Preprocess a picture and run vision tower and projector.

        Args:
            image: a picture of any mode.
            side: the picture's sides as a share of what the processor would make of them.

        Raises:
            UnreadableImage: the processor refuses the picture, or it is too large.
            ValueError: ``side`` is not 1 and this family gives the same number of tokens whatever the size.
        """
        known = self._prepared.get(id(image))
        inputs = known[1] if known is not None and known[0]() is image else self._process(image)
        if side != 1:
            inputs = self._process(self._smaller(image, inputs, side), **self._no_least_size())
        device, dtype = computes_on(self._tower), self._model.dtype
        given = {
            key: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for key, value in inputs.items()
            if key in self._wanted and isinstance(value, Tensor)
        }
        output = self._features(given, self._tokens(inputs))
        features = _flat(output.pooler_output)
        more: dict[str, Any] = {"expansion": inputs["expansion"]}
        if "image_grid_thw" in inputs:
            more["image_grid_thw"] = inputs["image_grid_thw"]
        if getattr(output, "deepstack_features", None) is not None:
            more["deepstack"] = tuple(_flat(level) for level in output.deepstack_features)
        more["batched"] = isinstance(output.pooler_output, Tensor)
        return PictureTokens(features, self._places(image, inputs, len(features)), more)

    def _features(self, given: dict[str, Tensor], tokens: int) -> Any:
        """What the model's vision side makes of one preprocessed picture, which becomes so many visual tokens."""
        if tokens > 1 or not self._family.needs_two_tokens:
            return self._model.get_image_features(**given, return_dict=True)
        twice = {key: torch.cat([value, value]) for key, value in given.items()}
        output = self._model.get_image_features(**twice, return_dict=True)
        output.pooler_output = output.pooler_output[:1]
        return output

    def _tokens(self, inputs: Mapping[str, Any]) -> int:
        """How many visual tokens a preprocessed picture will give."""
        return int(inputs["expansion"].count(self._processor.image_token))

    def _process(self, image: Image.Image, **changed: Any) -> dict[str, Any]:
        """What the image processor makes of a picture, and what stands for it in the prompt ("expansion").

        changed: options that this picture needs otherwise.
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
        """Refuse to enlarge a picture beyond what memory holds, before it is tried.

        Raises:
            UnreadableImage: it would be.
        """
        least = self.options.get("size", {}).get(_EDGES["min_pixels"], 0)
        if least > image.width * image.height and (lack := _lack_of_memory(least)):
            raise UnreadableImage(f"{lack}; it has {image.width} x {image.height}")

    def _smaller(self, image: Image.Image, inputs: Mapping[str, Any], side: float) -> Image.Image:
        """The picture so that its grid has ``side`` of the rows and columns the processor would give it."""
        if not self._family.resizes:
            raise ValueError(f"{self._name} gives a fixed number of visual tokens: a smaller picture has as many")
        (block,) = self._places(image, inputs, 0)
        pixels = self._cell()
        width, height = (max(round(cells * side), 1) * pixels for cells in (block.columns, block.rows))
        return image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)

    def _no_least_size(self) -> dict[str, Any]:
        """Options with which a picture that was made smaller is not enlarged again, where there is such a limit."""
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
    """The image processor's options of every call.

    Tiling is switched in the call: what a processor's file says of it is overruled by some classes' own default.

    Args:
        name: the checkpoint, for errors.
        processor: the checkpoint's.
        tiling: let it cut pictures into tiles.
        limits: min_pixels and max_pixels, None for the processor's own.

    Raises:
        ValueError: pixels are limited, and this image processor has no such limits, or the limits are impossible or ask
            for more memory than is free.
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
    """Why a picture cannot be enlarged to so many pixels, in words; "" if it may be."""
    need, free = least * _BYTES_A_PIXEL, free_memory("cpu")
    if need <= free:
        return ""
    return (
        f"min_pixels={least} enlarges a picture until it takes {need / 2**30:.1f} GiB of memory, where "
        f"{free / 2**30:.1f} GiB are free; lower min_pixels"
    )


def tiles(processor: Any) -> bool:
    """Whether an image processor can cut pictures into tiles, and not do it."""
    return any(hasattr(processor.image_processor, key) for key in _TILING)


def _flat(features: Any) -> Tensor:
    """Features of one picture in whatever form a model gives them, as [n, D]."""
    parts = [features] if isinstance(features, Tensor) else list(features)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])

"""Where the visual tokens of each family lie in a picture.

Every function takes a ``Seen``: the image processor's output for one picture, its number of tokens, and the
configurations of model and processor. It returns the blocks in the order of the tokens. Boxes are in pixels of the
picture.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.backbone.interface import Block

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """One preprocessed picture, with what decides where its visual tokens lie.

    Attributes:
        size: width and height of the picture.
        tokens: number of its visual tokens.
        inputs: the image processor's output.
        options: the options with which the image processor was called.
        config: the model's configuration.
        processor: the checkpoint's processor.
    """

    size: tuple[int, int]
    tokens: int
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    config: Any
    processor: Any

    @property
    def whole(self) -> Box:
        """The box of the whole picture."""
        return (0.0, 0.0, float(self.size[0]), float(self.size[1]))

    def option(self, name: str) -> Any:
        """An option of the image processor: from its call, or else its own setting."""
        given = self.options.get(name)
        return getattr(self.processor.image_processor, name, None) if given is None else given


Places = Callable[[Seen], tuple[Block, ...]]


def square(seen: Seen) -> tuple[Block, ...]:
    """One square grid over the whole picture, which was stretched to a square."""
    return (Block(seen.whole, *_square(seen.tokens)),)


def cropped_square(seen: Seen) -> tuple[Block, ...]:
    """One square grid over the largest square in the middle of the picture, if the image processor crops to it."""
    if not seen.option("do_center_crop"):
        return square(seen)
    width, height = seen.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (Block((left, top, left + side, top + side), *_square(seen.tokens)),)


def merged_grid(seen: Seen) -> tuple[Block, ...]:
    """Qwen, GLM: one grid with the picture's own shape; their processors give its patches, merged into tokens here."""
    _, rows, columns = (int(side) for side in seen.inputs["image_grid_thw"][0])
    merge = seen.processor.image_processor.merge_size
    return (Block(seen.whole, rows // merge, columns // merge),)


def patch_rows(seen: Seen) -> tuple[Block, ...]:
    """Mistral-3: one grid; the tokens between its rows are text tokens."""
    height, width = (int(side) for side in seen.inputs["image_sizes"][0])
    cell = seen.config.vision_config.patch_size * seen.config.spatial_merge_size
    return (Block(seen.whole, height // cell, width // cell),)


def pooled_grid(seen: Seen) -> tuple[Block, ...]:
    """Gemma-4: one grid; the processor gives the column and row of each patch, and -1 for padding."""
    columns, rows = (int(side) + 1 for side in seen.inputs["image_position_ids"][0].amax(0))
    pool = seen.option("pooling_kernel_size")
    return (Block(seen.whole, rows // pool, columns // pool),)


def canvas_tiles(seen: Seen) -> tuple[Block, ...]:
    """InternVL, Aya, Cohere-2: tiles of a canvas the picture is stretched to, row by row, then the whole picture."""
    count = len(seen.inputs["pixel_values"])
    if count == 1:
        return square(seen)
    canvas_of = sys.modules[type(seen.processor.image_processor).__module__].get_optimal_tiled_canvas  # one per class
    size = seen.option("size")
    width, height = seen.size
    columns, rows = canvas_of(
        (height, width), (size["height"], size["width"]), seen.option("min_patches"), seen.option("max_patches")
    )
    return _tiles(seen, rows, columns)


def split_tiles(seen: Seen) -> tuple[Block, ...]:
    """Idefics-3, SmolVLM: tiles row by row, then the whole picture; the processor gives the number of tiles."""
    rows, columns = int(seen.inputs["rows"][0][0]), int(seen.inputs["cols"][0][0])
    return _tiles(seen, rows, columns) if rows else square(seen)


def base_and_rows(seen: Seen) -> tuple[Block, ...]:
    """LLaVA-NeXT and OneVision: the whole picture first, then a finer grid of it whose rows end in a newline token."""
    vision = seen.config.vision_config
    side = vision.image_size // vision.patch_size
    base = Block(seen.whole, side, side)
    left = seen.tokens - side * side
    if left == 0:
        return (base,)
    if left == 1:
        return (Block(seen.whole, side, side, separators="end"),)
    tiles = anyres_tiles(seen.size, seen.config.image_grid_pinpoints, vision.image_size)
    rows, columns = unpadded(seen.size, tiles, side, getattr(seen.config, "vision_aspect_ratio", None))
    return (base, Block(seen.whole, rows, columns, separators="rows"))


def anyres_tiles(size: tuple[int, int], pinpoints: Any, tile: int) -> tuple[int, int]:
    """Rows and columns of the tiles into which LLaVA-NeXT and OneVision cut a picture.

    Args:
        size: width and height of the picture.
        pinpoints: (height, width) of every possible canvas.
        tile: side of a tile.
    """
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

    rows, columns = get_anyres_image_grid_shape([size[1], size[0]], pinpoints, tile)
    return rows, columns


def unpadded(size: tuple[int, int], tiles: tuple[int, int], side: int, limit: str | None) -> tuple[int, int]:
    """Rows and columns of the finer grid: the grid of the tiles without padding, reduced if it is too large.

    Args:
        size: width and height of the picture.
        tiles: rows and columns of tiles.
        side: rows of visual tokens in a tile.
        limit: OneVision's vision_aspect_ratio, such as "anyres_max_9".
    """
    width, height = size
    rows, columns = tiles[0] * side, tiles[1] * side
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    if limit:
        ratio = math.sqrt(rows * columns / (int(limit.removeprefix("anyres_max_")) * side**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
    return rows, columns


def _tiles(seen: Seen, rows: int, columns: int) -> tuple[Block, ...]:
    """Tiles row by row, and after them the whole picture, each as a square grid."""
    width, height = seen.size
    grid = _square(seen.tokens // (rows * columns + 1))
    boxes = [
        (column * width / columns, row * height / rows, (column + 1) * width / columns, (row + 1) * height / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    return tuple(Block(box, *grid) for box in [*boxes, seen.whole])


def _square(tokens: int) -> tuple[int, int]:
    side = math.isqrt(tokens)
    return (side, side) if side * side == tokens else (1, tokens)

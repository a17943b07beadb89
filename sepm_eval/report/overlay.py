"""Draw a picture with its dropped visual tokens covered (Fig. 4 of the paper), or with a heat map of the tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sepm_eval.types import Block

_SIDE = 672
_VEIL = (30, 30, 30, 215)
_BEYOND = (122, 122, 122)
HEAT = "inferno"  # matplotlib's name of the colour map, dark for small values
_HEAT_SHARE = 0.65  # of a drawn pixel's colour; the rest is the picture's


def draw_dropped(picture: Image.Image, blocks: Sequence[Block], dropped: Collection[int]) -> Image.Image:
    """Cover the grid cells of dropped visual tokens, block by block.

    If blocks reach beyond the picture, because it was padded, grey is drawn there: tokens of padding can be dropped
    too, and count as dropped tokens.

    Args:
        picture: the original picture.
        blocks: where its visual tokens lie (``Answer.blocks``).
        dropped: indices of the tokens to cover.

    Returns:
        A picture whose longer side is 672 pixels.

    Raises:
        ValueError: the picture has no visual token of one of these indices.
    """
    cells = [(index, *place) for index, block in enumerate(blocks) for place in block.places()]
    unknown = [token for token in dropped if not 0 <= token < len(cells)]
    if unknown:
        raise ValueError(f"tokens {unknown[:5]} cannot have been dropped: the picture has {len(cells)}")
    drawn, scale = _drawn(picture, blocks)
    for index, block in enumerate(blocks):
        veil = Image.new("RGBA", drawn.size)
        pen = ImageDraw.Draw(veil)
        if not block.columns:  # a very narrow picture can have rows of separators only, which are never dropped
            continue
        columns = [scale.x(block.box[0], block.box[2], i / block.columns) for i in range(block.columns + 1)]
        rows = [scale.y(block.box[1], block.box[3], i / block.rows) for i in range(block.rows + 1)]
        for token in dropped:
            of, row, column = cells[token]
            if of == index:
                left, top = columns[column], rows[row]
                pen.rectangle((left, top, max(columns[column + 1] - 1, left), max(rows[row + 1] - 1, top)), fill=_VEIL)
        drawn = Image.alpha_composite(drawn, veil)
    return drawn.convert("RGB")


def draw_heat(picture: Image.Image, blocks: Sequence[Block], values: Sequence[float] | np.ndarray) -> Image.Image:
    """Colour the grid cell of each visual token by the token's value; the scale runs from the smallest to the largest.

    Where blocks overlap, such as a tile and a thumbnail of the whole picture, the mean of their values is shown.
    Separators show nothing of the picture and are left out. Grey is drawn where blocks reach beyond the picture.

    Args:
        picture: the original picture.
        blocks: where its visual tokens lie (``Answer.blocks``).
        values: [N_v], one value for each visual token, in the tokens' order.

    Returns:
        A picture whose longer side is 672 pixels.

    Raises:
        ValueError: there are not as many values as tokens.
    """
    from matplotlib import colormaps

    count = sum(map(len, blocks))
    if len(values) != count:
        raise ValueError(f"{len(values)} values cannot be drawn: the picture has {count} visual tokens")
    drawn, scale = _drawn(picture, blocks)
    total = np.zeros((drawn.height, drawn.width))
    painted = np.zeros_like(total)
    token = 0
    for block in blocks:
        columns = [scale.x(block.box[0], block.box[2], i / max(block.columns, 1)) for i in range(block.columns + 1)]
        rows = [scale.y(block.box[1], block.box[3], i / block.rows) for i in range(block.rows + 1)]
        for row, column in block.places():
            if column >= 0:
                cell = np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
                total[cell] += float(values[token])
                painted[cell] += 1
            token += 1
    seen = painted > 0
    mean = np.divide(total, painted, out=np.zeros_like(total), where=seen)
    low, high = (mean[seen].min(), mean[seen].max()) if seen.any() else (0.0, 1.0)
    colours = colormaps[HEAT]((mean - low) / max(high - low, np.finfo(float).tiny), bytes=True)
    colours[..., 3] = np.where(seen, round(255 * _HEAT_SHARE), 0)
    return Image.alpha_composite(drawn, Image.fromarray(colours, "RGBA")).convert("RGB")


@dataclass(frozen=True)
class _Scale:
    """Converts pixel coordinates of the picture to those of the drawing."""

    left: float
    top: float
    factor: float

    def x(self, start: float, end: float, share: float = 1) -> int:
        """The x coordinate in the drawing of the point at a share of the way from start to end."""
        return round((start + (end - start) * share - self.left) * self.factor)

    def y(self, start: float, end: float, share: float = 1) -> int:
        """The y coordinate in the drawing, likewise from y coordinates of the picture."""
        return round((start + (end - start) * share - self.top) * self.factor)


def _drawn(picture: Image.Image, blocks: Sequence[Block]) -> tuple[Image.Image, _Scale]:
    """The picture, enlarged or reduced, with grey where blocks reach beyond it; and the scale of this drawing."""
    boxes = [(0, 0, *picture.size), *(block.box for block in blocks)]
    left, top = (min(box[side] for box in boxes) for side in (0, 1))
    right, bottom = (max(box[side] for box in boxes) for side in (2, 3))
    scale = _Scale(left, top, _SIDE / max(right - left, bottom - top))
    canvas = Image.new("RGBA", (max(scale.x(0, right), 1), max(scale.y(0, bottom), 1)), _BEYOND)
    corner = scale.x(0, 0), scale.y(0, 0)
    size = max(scale.x(0, picture.width) - corner[0], 1), max(scale.y(0, picture.height) - corner[1], 1)
    canvas.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), corner)
    return canvas, scale

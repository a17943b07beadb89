"""A picture with the visual tokens that stage 2 did not see struck out (Fig. 4 of the paper)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PIL import Image, ImageDraw

_SIDE = 672
_VEIL = (30, 30, 30, 215)


def draw_dropped(frame: Image.Image, cells: Sequence[tuple[int, int]], dropped: Collection[int]) -> Image.Image:
    """Draw a picture with the cells of dropped visual tokens covered.

    Args:
        frame: the picture as the vision tower sees it (``Backbone.frame``).
        cells: (row, column) of each visual token in a square grid (``Backbone.cells``).
        dropped: indices of the tokens to cover.

    Returns:
        A square picture, 672 pixels wide.
    """
    side = max(max(cell) for cell in cells) + 1
    picture = frame.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS).convert("RGBA")
    veil = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(veil)
    edges = [round(i * _SIDE / side) for i in range(side + 1)]
    for token in dropped:
        row, column = cells[token]
        pen.rectangle((edges[column], edges[row], edges[column + 1] - 1, edges[row + 1] - 1), fill=_VEIL)
    return Image.alpha_composite(picture, veil).convert("RGB")

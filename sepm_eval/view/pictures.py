"""Pictures for the page, decoded as models are given them and encoded anew: nothing but pixels of pictures is sent."""

from __future__ import annotations

import io
from functools import lru_cache

from sepm_eval.images import open_image

_SMALL = 144  # pixels of a thumbnail's longer side: twice what the list shows
_QUALITY = 90


def encoded(path: str) -> bytes:
    """A picture as JPEG, in its own size.

    Raises:
        UnreadableImage: the file is gone, or is no picture.
    """
    return _jpeg(path, None)


@lru_cache(maxsize=4096)  # some 20 MB
def thumbnail(path: str) -> bytes:
    """The same, small.

    Raises:
        UnreadableImage: the file is gone, or is no picture.
    """
    return _jpeg(path, _SMALL)


def _jpeg(path: str, side: int | None) -> bytes:
    picture = open_image(path)
    if side is not None:
        picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()

"""Pictures for the page, decoded as for the models and encoded anew, so that only their pixels are sent."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

from sepm_eval.images import FORMATS, open_image

_SMALL = 144  # pixels of a thumbnail's longer side: twice what the list shows
_QUALITY = 90
_ORIENTATION = 0x0112  # the number of the EXIF tag


def encoded(path: str) -> bytes:
    """A picture as JPEG, in its own size.

    Raises:
        UnreadableImage: the file is gone, or is no picture.
    """
    return _jpeg(path, None)


@lru_cache(maxsize=4096)  # some 20 MB
def thumbnail(path: str) -> bytes:
    """A picture as a small JPEG.

    Raises:
        UnreadableImage: the file is gone, or is no picture.
    """
    return _jpeg(path, _SMALL)


def is_turned(path: str) -> bool:
    """Whether a picture's file asks to be rotated or mirrored (EXIF), which browsers do and models do not.

    Only the head of the file is read. The result is False for a file that is gone or is no picture.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except Exception:  # Pillow's readers raise nearly anything on damaged bytes
        return False


def _jpeg(path: str, side: int | None) -> bytes:
    picture = open_image(path)
    if side is not None:
        picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()

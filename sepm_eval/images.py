"""Pictures from disk, whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

_LOCK = threading.Lock()


class UnreadableImage(ValueError):
    """A picture that cannot be decoded; the message names the file and the reason."""


def open_image(source: str | Path | BinaryIO, name: str | None = None) -> Image.Image:
    """Open and decode a picture as RGB, as the original code does: alpha dropped, first frame, no EXIF turn.

    Args:
        source: a path or an open file.
        name: what an error calls it; by default the path.

    Raises:
        UnreadableImage: the file is missing, empty, cut off, not a picture or a decompression bomb.
    """
    try:
        with _strict_pillow(), Image.open(source) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{name or source} cannot be read as a picture: {error}") from error


def image_sha256(image: Image.Image) -> str:
    """What identifies a picture in the journal: the digest of its size and RGB values, whatever file they came from."""
    picture = image.convert("RGB")
    return hashlib.sha256(f"{picture.width}x{picture.height}\n".encode() + picture.tobytes()).hexdigest()


class _Strictness:
    """How many threads decode at the moment, and what Pillow was told before the first of them."""

    decoding = 0
    former = False


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Let Pillow refuse cut-off files, which lmms-eval tells it to fill with grey for the whole process."""
    with _LOCK:
        if not _Strictness.decoding:
            _Strictness.former = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        _Strictness.decoding += 1
    try:
        yield
    finally:
        with _LOCK:
            _Strictness.decoding -= 1
            if not _Strictness.decoding:
                ImageFile.LOAD_TRUNCATED_IMAGES = _Strictness.former

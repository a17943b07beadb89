"""Pictures from disk, whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

# What benchmarks consist of. Pillow's other readers are left out: the one of EPS starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 178_956_970  # where Pillow refuses; some tasks of lmms-eval lift Pillow's own limit for the process
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_LOCK = threading.Lock()


class UnreadableImage(ValueError):
    """A picture that cannot be decoded; the message names the file and the reason."""


def open_image(source: str | Path | BinaryIO, name: str | None = None) -> Image.Image:
    """Open and decode a picture as RGB, as the original code does: alpha dropped, first frame, no EXIF turn.

    What a file is, is decided by its content, not by its name. Of 16-bit grey the upper byte is taken, as viewers do;
    Pillow, and so the original code, would cut every value at 255 and see white.

    Args:
        source: a path or an open file.
        name: what an error calls it; by default the path.

    Raises:
        UnreadableImage: the file is missing, no file, empty, cut off, damaged, not a picture in one of ``FORMATS``, a
            decompression bomb, or has values without a known range (32-bit integers or floats).
    """
    try:
        if isinstance(source, (str, Path)) and not Path(source).is_file():
            raise OSError("no such file" if not Path(source).exists() else "it is no file")
        with _strict_pillow(), Image.open(source, formats=FORMATS) as image:
            return _as_rgb(image)
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes: struct.error, IndexError ...
        told = f"{name or source} cannot be read as a picture: {error or type(error).__name__}"
        raise UnreadableImage(told.encode("utf-8", "backslashreplace").decode()) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    width, height = image.size
    if not width or not height:
        raise ValueError(f"it has no pixels ({width} x {height})")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels, more than {MOST_PIXELS}, could be a decompression bomb")
    if image.mode in _SIXTEEN_BITS:
        upper = np.asarray(image).astype(np.uint16) >> 8
        image = Image.fromarray(upper.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range; store them with 8 or 16 bits")
    return image.convert("RGB")


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

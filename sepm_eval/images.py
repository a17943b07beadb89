"""Decode pictures from disk; a picture that is damaged or cut off is refused."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

# The formats that benchmarks use. Pillow's readers of other formats are left out: that of EPS starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 178_956_970  # Pillow's own limit, which some tasks of lmms-eval switch off for the whole process
DECODE_SECONDS = 30.0  # the largest pictures that are allowed take a few seconds
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_LOCK = threading.Lock()


class UnreadableImage(ValueError):
    """A picture that cannot be decoded; the message names the file and the reason."""


def open_image(source: str | Path | BinaryIO, name: str | None = None) -> Image.Image:
    """Open and decode a picture as RGB, as the original code does: no alpha, first frame, no rotation by EXIF.

    The content of a file decides its format, not its name. Of 16-bit grey values the upper byte is taken, as picture
    viewers do; Pillow, and so the original code, would clip every value at 255, which makes nearly all of it white.

    A file can keep a decoder busy for minutes, and a decoder cannot be interrupted. So after ``DECODE_SECONDS`` the
    call fails, and the decoder's thread is left to end by itself.

    Args:
        source: a path or an open file.
        name: the name of the picture in an error message; by default the path.

    Returns:
        The decoded picture, in mode RGB.

    Raises:
        UnreadableImage: the path does not exist or is not a file; the file is empty, cut off, damaged, not a picture in
            one of ``FORMATS``, a decompression bomb (see ``check_size``), too slow to decode, or too large for the
            available memory; or its values have no known range (32-bit integers or floats).
    """
    try:
        if isinstance(source, (str, Path)) and not Path(source).is_file():
            raise OSError("no such file" if not Path(source).exists() else "it is not a file")
        return _within_time(lambda: _decode(source))
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes: struct.error, IndexError ...
        reason = "there is not enough memory for it" if isinstance(error, MemoryError) else str(error)
        told = f"{name or source} cannot be read as a picture: {reason or type(error).__name__}"
        raise UnreadableImage(told.encode("utf-8", "backslashreplace").decode()) from error


def check_size(image: Image.Image) -> None:
    """Refuse a picture that has no pixels, or so many that it could be a decompression bomb.

    The pixels of the square around the picture count, because LLaVA pads a picture to a square: a PNG of 259 bytes can
    declare 20,000 x 1 pixels. So no side may be longer than 13,377 pixels; photographs and panoramas are smaller.

    Raises:
        UnreadableImage: the picture has no pixels or too many.
    """
    width, height = image.size
    if not width or not height:
        raise UnreadableImage(f"it has no pixels ({width} x {height})")
    if width * height > MOST_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels, more than {MOST_PIXELS}, could be a decompression bomb")
    if max(width, height) ** 2 > MOST_PIXELS:
        longest = math.isqrt(MOST_PIXELS)
        raise UnreadableImage(
            f"{width} x {height} pixels could be a decompression bomb: padded to a square they would be more than "
            f"{MOST_PIXELS}; a side may have {longest}"
        )


@contextmanager
def enough_memory(images: Sequence[Image.Image]) -> Iterator[None]:
    """Treat a lack of memory during work on pictures as an error of these pictures, not of the run.

    Raises:
        UnreadableImage: there was not enough memory.
    """
    try:
        yield
    except MemoryError as error:
        sizes = ", ".join(f"{image.width} x {image.height}" for image in images)
        raise UnreadableImage(f"a picture of {sizes} pixels needs more memory than there is") from error


def _within_time(decode: Callable[[], Image.Image]) -> Image.Image:
    """Call ``decode`` in a thread that the process does not wait for at exit; return or raise what it does.

    Raises:
        TimeoutError: the call took longer than ``DECODE_SECONDS``.
    """
    found: list[Image.Image | BaseException] = []

    def work() -> None:
        try:
            found.append(decode())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work, name="decode a picture", daemon=True)
    thread.start()
    thread.join(DECODE_SECONDS)
    if not found:
        raise TimeoutError(f"it was not decoded in {DECODE_SECONDS:g} s")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _decode(source: str | Path | BinaryIO) -> Image.Image:
    with _strict_pillow(), Image.open(source, formats=FORMATS) as image:
        return _as_rgb(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    check_size(image)
    if image.mode in _SIXTEEN_BITS:
        upper = np.asarray(image).astype(np.uint16) >> 8
        image = Image.fromarray(upper.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range; store them with 8 or 16 bits")
    return image.convert("RGB")


def image_sha256(image: Image.Image) -> str:
    """Compute the digest that identifies a picture in the journal, from its size and RGB values, not from its file.

    It is computed anew at every call, because a picture can be changed, unless ``remember_sha256`` has stored it.
    """
    known: str | None = vars(image).get(_REMEMBERED)
    return _sha256(image) if known is None else known


def remember_sha256(image: Image.Image) -> str:
    """Like ``image_sha256``, but store the digest as long as the picture exists; nobody may change the picture then."""
    digest = vars(image)[_REMEMBERED] = image_sha256(image)
    return digest


_REMEMBERED = "_sepm_eval_sha256"  # an attribute goes with its picture, and no copy by Pillow's own calls has it


def _sha256(image: Image.Image) -> str:
    with enough_memory([image]):
        picture = image.convert("RGB")
        return hashlib.sha256(f"{picture.width}x{picture.height}\n".encode() + picture.tobytes()).hexdigest()


class _Strictness:
    """How many threads decode at the moment, and the setting of Pillow before the first of them started."""

    decoding = 0
    former = False


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow refuse cut-off files; lmms-eval makes it fill them up with grey in the whole process."""
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

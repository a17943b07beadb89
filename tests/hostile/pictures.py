"""Pictures that are broken, too large, oddly stored or oddly named."""

from __future__ import annotations

import functools
import io
import os
import pickle
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hostile.case import BLUE, RED, Case
from sepm_eval.images import open_image


@functools.cache
def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    """A picture with something in every pixel."""
    values = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with a header that says anything."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def look(content: Callable[[], bytes], name: str = "picture.jpg") -> Callable[[Path], Any]:
    """Write a picture and open it: size and first pixel."""

    def act(folder: Path) -> Any:
        (folder / name).write_bytes(content())
        return first_pixel(folder / name)

    return act


def first_pixel(path: Path) -> Any:
    image = open_image(path)
    assert image.mode == "RGB"
    return image.size, image.getpixel((0, 0))


def a_picture(found: Any) -> bool:
    (width, height), _ = found
    return width > 0 and height > 0


UNREADABLE = r"picture\.jpg cannot be read as a picture: ."
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def pictures() -> Iterator[Case]:
    """Damaged, huge, empty and unusual pictures."""
    draw = random.Random(8)
    for kind in KINDS:
        for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
            cut = int(share * len(encoded(kind)))
            content = functools.partial(lambda kind, cut: encoded(kind)[:cut], kind, cut)
            yield Case(f"picture/{kind}-cut-at-{cut}", look(content), UNREADABLE)
        for number in range(8):
            content = functools.partial(flipped, encoded(kind), draw.randrange(1 << 30), 1 + number)
            yield Case(f"picture/{kind}-flipped-{number}", look(content), UNREADABLE, a_picture, either=True)
        for other in KINDS:
            if other != kind:
                content = functools.partial(lambda a, b: encoded(a)[:60] + encoded(b)[60:], kind, other)
                yield Case(f"picture/{kind}-head-on-{other}", look(content), UNREADABLE, a_picture, either=True)
        ending = f"picture.{'png' if kind == 'JPEG' else 'jpg'}"
        whole = functools.partial(lambda kind: saved(Image.new("RGB", (5, 4), RED), kind, **LOSSLESS[kind]), kind)
        yield Case(f"picture/{kind}-named-{ending}", look(whole, ending), gives=((5, 4), RED))
    for name, junk in JUNK.items():
        yield Case(f"picture/is-{name}", look(functools.partial(bytes, junk)), UNREADABLE)
    for name, make in BOMBS.items():
        yield Case(f"picture/bomb-{name}", look(make), UNREADABLE)
    for name, make in EMPTY.items():
        yield Case(f"picture/no-pixels-{name}", look(make), UNREADABLE)
    for name, (make, pixel) in MODES.items():
        yield Case(f"picture/mode-{name}", look(make), gives=((4, 3), pixel))
    for name, make in UNKNOWN_RANGE.items():
        yield Case(f"picture/mode-{name}", look(make), UNREADABLE)
    for turn in range(9):
        yield Case(f"picture/exif-turn-{turn}", look(functools.partial(turned, turn)), gives=((6, 3), RED))
    yield Case("picture/exif-garbage", look(lambda: exif(b"Exif\0\0II*\0\xff\xff\xff\xff")), gives=((6, 3), RED))
    for kind in ("GIF", "PNG", "WEBP"):
        yield Case(f"picture/animated-{kind}", look(functools.partial(animated, kind)), gives=((4, 4), RED))
    for size in ((1, 1), (13_377, 1), (1, 13_377)):
        content = functools.partial(lambda size: saved(Image.new("RGB", size, RED), "PNG"), size)
        yield Case(f"picture/size-{size[0]}x{size[1]}", look(content), gives=(size, RED))


def flipped(content: bytes, seed: int, bits: int) -> bytes:
    """The same with some bits turned over."""
    draw, changed = random.Random(seed), bytearray(content)
    for _ in range(bits):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def turned(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return saved(Image.new("RGB", (6, 3), RED), "JPEG", quality=100, exif=found)


def exif(block: bytes) -> bytes:
    return saved(Image.new("RGB", (6, 3), RED), "JPEG", quality=100, exif=block)


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    return saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )


LOSSLESS = {kind: {} for kind in KINDS} | {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}
JUNK = {
    "empty": b"",
    "zeros": bytes(5000),
    "text": b"not a picture\n" * 40,
    "html": b"<html><body>404 not found</body></html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n%%EOF",
    "zip": b"PK\x03\x04" + bytes(26),
    "pickle": pickle.dumps({"a": 1}),
    "program": b"\x7fELF\x02\x01\x01" + bytes(57),
    "xpm": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #ff0000", "a"};',
    "pixmap": b"P6 4 4 255\n" + bytes(48),
    "jpeg-magic": b"\xff\xd8\xff",
    "png-magic": b"\x89PNG\r\n\x1a\n",
    "gif-magic": b"GIF89a",
    "webp-magic": b"RIFF\xff\xff\xff\x7fWEBPVP8 ",
    "tiff-magic": b"II*\0\xff\xff\xff\xff",
    "bmp-magic": b"BM",
}


def bomb_tiff() -> bytes:
    tags = [(256, 3, 60000), (257, 3, 60000), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 9)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(9)


def jpeg_sized(width: int, height: int) -> bytes:
    content = bytearray(encoded("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def gif(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x02D\x01\0;"


BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(50_000, 50_000, 1, 0, bytes(1_000_000)),
    "png-just-over": lambda: png(13_378, 13_378, 1, 0, bytes(1000)),
    "png-widest": lambda: png(2**31 - 1, 1, 8, 6, bytes(1000)),
    "png-thin": lambda: png(20_000, 1, 8, 2, bytes(60_001)),
    "png-thinnest": lambda: png(60_000, 1, 8, 2, bytes(180_001)),
    "png-tall": lambda: png(1, 30_000, 8, 2, bytes(120_000)),
    "png-text": lambda: png(1, 1, 8, 2, bytes(4), (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))),
    "gif": lambda: gif(65_535, 65_535),
    "bmp": lambda: bmp(65_535, 65_535),
    "jpeg": lambda: jpeg_sized(65_500, 65_500),
    "tiff": bomb_tiff,
}
EMPTY: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(0, 0, 8, 2, b""),
    "png-width": lambda: png(0, 5, 8, 2, bytes(5)),
    "gif": lambda: gif(0, 0),
    "bmp": lambda: bmp(0, 0),
    "bmp-height": lambda: bmp(5, 0),
    "jpeg": lambda: jpeg_sized(0, 0),
    "jpeg-height": lambda: jpeg_sized(48, 0),
}


BROKEN_PICTURES: dict[str, Callable[[], bytes]] = {
    **{f"{kind}-cut": functools.partial(lambda kind: encoded(kind)[:200], kind) for kind in ("JPEG", "PNG", "WEBP")},
    **{f"bomb-{kind}": BOMBS[kind] for kind in ("png", "gif", "jpeg")},
    **{f"no-pixels-{kind}": EMPTY[kind] for kind in ("png", "bmp")},
    **{name: functools.partial(bytes, JUNK[name]) for name in ("html", "postscript")},
}


def tile(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (4, 3), value)


def palette(**options: Any) -> bytes:
    return saved(tile("RGB", RED).convert("P", palette=Image.Palette.ADAPTIVE), "PNG", **options)


def array(kind: Any, value: float) -> Image.Image:
    return Image.fromarray(np.full((3, 4), value, dtype=kind))


MODES: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "1": (lambda: saved(tile("1", 1), "PNG"), (255, 255, 255)),
    "L": (lambda: saved(tile("L", 90), "PNG"), (90, 90, 90)),
    "L-jpeg": (lambda: saved(tile("L", 90), "JPEG", quality=100), (90, 90, 90)),
    "LA": (lambda: saved(tile("LA", (90, 0)), "PNG"), (90, 90, 90)),
    "P": (palette, RED),
    "P-see-through": (lambda: palette(transparency=0), RED),
    "P-gif": (lambda: saved(tile("RGB", RED), "GIF"), RED),
    "RGBA": (lambda: saved(tile("RGBA", (*RED, 0)), "PNG"), RED),
    "RGBA-webp": (lambda: saved(tile("RGBA", (*RED, 128)), "WEBP", lossless=True, exact=True), RED),
    "CMYK": (lambda: saved(tile("CMYK", (0, 0, 0, 255)), "TIFF"), (0, 0, 0)),
    "CMYK-jpeg": (lambda: saved(tile("CMYK", (0, 0, 0, 255)), "JPEG", quality=100), (0, 0, 0)),
    "16-bit": (lambda: saved(array(np.uint16, 40_000), "PNG"), (156, 156, 156)),
    "16-bit-tiff": (lambda: saved(array(np.uint16, 40_000), "TIFF"), (156, 156, 156)),
    "16-bit-rgb": (lambda: png(4, 3, 16, 2, 3 * (b"\0" + 4 * b"\xfe\x01\x00\x01\x00\x01")), RED),
    "2-bit": (lambda: png(4, 3, 2, 0, 3 * b"\0\xaa"), (170, 170, 170)),
    "progressive": (lambda: saved(tile("RGB", RED), "JPEG", quality=100, progressive=True), RED),
}
UNKNOWN_RANGE: dict[str, Callable[[], bytes]] = {
    "I": lambda: saved(array(np.int32, 70_000), "TIFF"),
    "F": lambda: saved(array(np.float32, 0.5), "TIFF"),
    "F-nan": lambda: saved(array(np.float32, float("nan")), "TIFF"),
}


def places() -> Iterator[Case]:
    """What may lie where a picture should, and what it may be called."""
    # long because: a list of cases

    def at(make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            make(folder / "picture.jpg")
            return first_pixel(folder / "picture.jpg")

        return act

    def loop(path: Path) -> None:
        path.symlink_to(path.with_name("other"))
        path.with_name("other").symlink_to(path)

    def listen(path: Path) -> None:
        before = Path.cwd()
        os.chdir(path.parent)  # the path of a socket must be short
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(before)

    def linked(path: Path) -> None:
        path.with_name("far").write_bytes(saved(tile("RGB", RED), "PNG"))
        path.symlink_to("far")

    for name, make in {
        "nothing": lambda path: None,
        "folder": Path.mkdir,
        "fifo": os.mkfifo,
        "socket": listen,
        "dangling-link": lambda path: path.symlink_to("nowhere"),
        "looping-link": loop,
        "link-to-itself": lambda path: path.symlink_to(path),
        "endless-device": lambda path: path.symlink_to("/dev/zero"),
        "link-to-folder": lambda path: path.symlink_to("."),
    }.items():
        yield Case(f"place/{name}", at(make), UNREADABLE)
    yield Case("place/good-link", at(linked), gives=((4, 3), RED))
    names = {
        "not-utf8": os.fsdecode(b"a\xff\xfe.jpg"),
        "newline": "a\nb.jpg",
        "escape": "a\x1b[31m.jpg",
        "option": "-rf.jpg",
        "emoji": "\U0001f600.jpg",
        "right-to-left": "a\u202egpj.exe",
        "longest": "x" * 251 + ".jpg",
        "brackets": "[a]*?.jpg",
    }
    for name, text in names.items():
        good = functools.partial(saved, tile("RGB", RED), "PNG")
        yield Case(f"name/{name}", look(good, text), gives=((4, 3), RED))
        yield Case(f"name/{name}-broken", look(lambda: b"x", text), "cannot be read as a picture: .")
    for name, text in {"nul": "a\0b.jpg", "too-long": "x" * 300, "far-too-long": "x/" * 3000}.items():
        act = functools.partial(lambda text, folder: first_pixel(folder / text), text)
        yield Case(f"name/{name}", act, "cannot be read as a picture: .")

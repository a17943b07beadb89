"""Inputs that are broken, misleading or meant to do harm, each with what must become of it.

Everything is made when it is wanted, from a fixed seed. A case builds its input in a folder of its own, which is also
the data folder, and hands it to the function that a user's file would reach.
"""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import random
import re
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from make_runs import LLAVA
from make_runs import run as make_run
from miniature import abstract_release, artphoto_release, emoset_release, emotion6_release, webemo_release
from PIL import Image

from sepm_eval.backbone.checkpoints import checkpoint_revision, find_checkpoint
from sepm_eval.backbone.shards import check_files
from sepm_eval.backbone.tokenizers import load_tokenizer
from sepm_eval.backbone.weights import read_weights
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases import hub_copies
from sepm_eval.datasets.releases.prepare import prepare, unpack, verify
from sepm_eval.images import open_image
from sepm_eval.runs.plan import load_plan
from sepm_eval.runs.results import read_runs
from sepm_eval.types import Question

BENCHMARKS = find_benchmarks()
RED, BLUE = (254, 0, 0), (0, 0, 254)

# Names that lead elsewhere, on this system or on another.
TRAVERSALS = {
    "up": "../outside.jpg",
    "up-inside": "image/../../outside.jpg",
    "absolute": "/etc/passwd",
    "backslash": "..\\outside.jpg",
    "backslash-inside": "image\\..\\..\\outside.jpg",
    "drive": "C:/outside.jpg",
    "drive-relative": "C:outside.jpg",
    "share": "\\\\host\\share\\outside.jpg",
    "stream": "picture.jpg:hidden",
    "nul": "picture.jpg\0.png",
    "newline": "picture\n.jpg",
    "escape": "picture\x1b[2J.jpg",
    "long": "x" * 300 + ".jpg",
    "deep": "x/" * 800 + "x.jpg",
}


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        name: area and what is wrong.
        act: makes the input in a folder and reads it.
        refused: what the error must say, as a pattern; None if the input must be read.
        gives: what reading it must give.
        either: both are right, as the damage cannot always be seen: an error that says ``refused``, or what ``gives``
            as a function accepts.
    """

    name: str
    act: Callable[[Path], Any]
    refused: str | None = None
    gives: Any = None
    either: bool = False


def cases() -> list[Case]:
    """All of them."""
    areas = (pictures, places, emoset, emotion6, webemo, abstract, artphoto, item_lists, archives, copies)
    more = (plans, results, journals, manifests, questions, checkpoints)
    return [case for area in (*areas, *more) for case in area()]


# Pictures


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


# Releases


def items(name: str, chosen: str | None = None) -> dict[str, str]:
    """Ids and labels of a benchmark's list, in order."""
    return {item.id: item.label for item in BENCHMARKS[name].items(chosen)}


def released(make: Callable[[Path], Path], name: str, file: str, change: Callable[[bytes], bytes | None]) -> Any:
    """Make a miniature release, change its list (None: a folder in its place), and read it."""

    def act(folder: Path) -> Any:
        path = make(folder) / file
        content = change(path.read_bytes())
        path.unlink()
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        return items(name, {"emotion6": "full"}.get(name))

    return act


def put(text: str | bytes) -> Callable[[bytes], bytes]:
    content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return lambda _: content


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return change


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "empty": lambda content: b"",
    "folder": lambda content: None,
    "utf16": lambda content: content.decode("utf-8").encode("utf-16"),
    "nul-bytes": lambda content: content[:40] + bytes(8) + content[40:],
    "not-utf8": lambda content: content[:40] + b"\xff\xfe" + content[40:],
    "compressed": lambda content: zlib.compress(content),
    "pickle": lambda content: pickle.dumps([1, 2]),
    "giant-field": lambda content: content[:40] + b"x" * 3_000_000 + content[40:],
}


def emoset() -> Iterator[Case]:
    """EmoSet's test.json."""
    first = "image/amusement/amusement_00000.jpg"
    row = ["awe", "image/awe/awe_00000.jpg", "annotation/awe/awe_00000.json"]

    def rows(*some: Any) -> Callable[[bytes], bytes]:
        return put(json.dumps(list(some)))

    def case(name: str, change: Any, refused: str | None, gives: Any = None) -> Case:
        return Case(f"emoset/{name}", released(emoset_release, "emoset", "test.json", change), refused, gives)

    for name, change in DAMAGE.items():
        yield case(name, change, r"test\.json|is not an EmoSet")
    for name, path in TRAVERSALS.items():
        target = path if path.startswith("image") else f"image/{path}"
        refused = r"test\.json, row 0: (the path .* (leads out|is no file name)|expected)"
        if name == "absolute":
            refused = r"pictures are missing or empty, such as .*etc/passwd"  # "image//etc/passwd" lies inside
        yield case(f"path-{name}", rows(["awe", target, "annotation/x.json"]), refused)
    yield case("absolute-path", rows(["awe", "/etc/passwd", "x"]), "row 0: expected")
    for name, content, refused in (
        ("cut-off", '[["awe", "image/awe', "is not JSON"),
        ("object", '{"awe": 1}', "is not a list of rows"),
        ("number", "7", "is not a list of rows"),
        ("null", "null", "is not a list of rows"),
        ("no-rows", "[]", "is not a list of rows"),
        ("nested", "[" * 100_000, "is not JSON"),
        ("long-number", "[" + "9" * 5000 + "]", "is not JSON"),
        ("two-documents", "[] []", "is not JSON"),
        ("lone-surrogate", '[["awe", "image/awe/\\ud800.jpg", "x"]]', "row 0: the path .* is no file name"),
    ):
        yield case(name, put(content), rf"test\.json.*{refused}")
    for name, some, refused in (
        ("no-list", ["awe"], "row 0: expected"),
        ("row-is-text", ["awe", "image/awe/awe_00000.jpg"], "row 0: expected"),
        ("row-is-null", [None], "row 0: expected"),
        ("row-is-empty", [[]], "row 0: expected"),
        ("row-of-numbers", [[1, 2, 3]], "row 0: expected"),
        ("label-typo", [["aww", *row[1:]]], "row 0: expected"),
        ("label-case", [["Awe", *row[1:]]], "row 0: expected"),
        ("label-space", [["awe ", *row[1:]]], "row 0: expected"),
        ("label-like-prompt", [["awe\nB. Anger", *row[1:]]], "row 0: expected"),
        ("no-picture", [["awe", "x", "y"]], "row 0: expected"),
        ("two-pictures", [[*row, "image/x.jpg"]], "row 0: expected"),
        ("columns-swapped", [row[::-1]], "row 0: expected"),
        ("twice", [row, row], "names 1 items twice, such as 'awe_00000'"),
        ("picture-missing", [["awe", "image/awe/awe_77777.jpg", "x"]], "1 of 1 pictures are missing or empty"),
        ("picture-is-folder", [["awe", "image/awe", "x"]], "1 of 1 pictures are missing or empty"),
        ("second-row", [row, ["x", *row[1:]]], "row 1: expected"),
    ):
        yield case(name, rows(*some), refused)
    yield case("bom", lambda content: b"\xef\xbb\xbf" + json.dumps([row]).encode(), None, {"awe_00000": "awe"})
    yield case("extra-cells", rows([*row, 1, None, {}]), None, {"awe_00000": "awe"})

    for name, make in {"empty": lambda path: path.write_bytes(b""), "fifo": os.mkfifo}.items():

        def act(folder: Path, make: Any = make) -> Any:
            path = emoset_release(folder) / first
            path.unlink()
            make(path)
            return items("emoset")

        yield Case(f"emoset/picture-is-{name}", act, "1 of 16 pictures are missing or empty, such as .*amusement_00000")


def emotion6() -> Iterator[Case]:
    """Emotion6's ground_truth.txt: tab-separated."""

    def case(name: str, change: Any, refused: str | None, gives: Any = None) -> Case:
        act = released(emotion6_release, "emotion6", "ground_truth.txt", change)
        return Case(f"emotion6/{name}", act, refused, gives)

    good = {f"{c}/{n}": c for c in BENCHMARKS["emotion6"].names for n in range(1, 5)}
    for name, change in DAMAGE.items():
        in_header = name in ("giant-field", "nul-bytes")  # columns are read by position: what they are called is free
        yield case(name, change, None if in_header else r"ground_truth\.txt|has no items of the list", good)
    for name, path in TRAVERSALS.items():
        refused = r"ground_truth\.txt, line \d+: (the path .* (leads out|is no file name)|expected)"
        refused = refused if name != "absolute" else r"pictures are missing or empty, such as .*etc/passwd"
        yield case(f"path-{name}", swap("anger/1.jpg", f"anger/{path}"), refused)
    for name, old, new, refused in (
        ("label-typo", "anger/2.jpg", "angr/2.jpg", "line 3: expected"),
        ("label-case", "anger/2.jpg", "Anger/2.jpg", "line 3: expected"),
        ("label-space", "anger/2.jpg", "anger /2.jpg", "line 3: expected"),
        ("neutral-as-keyword", "anger/2.jpg", "neutral/2.jpg", "line 3: expected"),
        ("word-for-number", "\t0.6", "\tmany", "line 2: expected .* shares from 0 to 1"),
        ("comma-in-number", "\t0.6", "\t0,6", "line 2: expected .* shares from 0 to 1"),
        ("underscore-in-number", "\t0.6", "\t0_1", "line 2: expected .* shares from 0 to 1"),
        ("arabic-digits", "\t0.6", "\t\u0660.\u0666", "line 2: expected .* shares from 0 to 1"),
        ("fullwidth-digits", "\t0.6", "\t\uff10.\uff16", "line 2: expected .* shares from 0 to 1"),
        ("space-in-number", "\t0.6", "\t 0.6", "line 2: expected .* shares from 0 to 1"),
        ("plus-sign", "\t0.6", "\t+0.6", "line 2: expected .* shares from 0 to 1"),
        ("many-digits", "\t0.6", "\t" + "0" * 5000, "line 2: expected .* shares from 0 to 1"),
        ("nan", "\t0.6", "\tnan", "line 2: expected .* shares from 0 to 1"),
        ("infinite", "\t0.6", "\tinf", "line 2: expected .* shares from 0 to 1"),
        ("negative", "\t0.6", "\t-0.6", "line 2: expected .* shares from 0 to 1"),
        ("percent", "\t0.6", "\t60", "line 2: expected .* shares from 0 to 1"),
        ("column-missing", "\t0.6", "", "line 2: expected"),
        ("column-extra", "\t0.6", "\t0.6\t0.1", "line 2: expected"),
        ("twice", "anger/2.jpg", "anger/1.jpg", "names 1 items twice, such as 'anger/1'"),
        ("picture-missing", "anger/2.jpg", "anger/999.jpg", "1 of 24 pictures are missing or empty"),
    ):
        yield case(name, swap(old, new), refused)
    yield case("no-header", lambda content: content.split(b"\n", 1)[1], "line 1: expected a header")
    yield case("comma-separated", lambda content: content.replace(b"\t", b","), "line 2: expected")
    yield case("cut-off", lambda content: content[:-30], "line 25: expected")
    yield case("header-only", lambda content: content.split(b"\n")[0], "has no items of the list 'full'")
    yield case("bom", lambda content: b"\xef\xbb\xbf" + content, None, good)
    yield case("windows-line-ends", lambda content: content.replace(b"\n", b"\r\n"), None, good)
    yield case("mixed-line-ends", lambda content: content.replace(b"\n", b"\r\n", 9), None, good)
    yield case("empty-lines", lambda content: content.replace(b"\n", b"\n\n"), None, good)
    yield case("share-of-a-millionth", swap("\t0.6", "\t1e-06"), None, good)


def webemo() -> Iterator[Case]:
    """WebEmo's list of URLs."""

    def case(name: str, change: Any, refused: str) -> Case:
        return Case(f"webemo/{name}", released(webemo_release, "webemo25", "test25.txt", change), refused)

    for name, change in DAMAGE.items():
        yield case(name, change, r"test25\.txt|has no items|WebEmo")
    for name, line, refused in (
        ("no-id", "https://h/a.jpg", "line 1: expected"),
        ("no-url", " 3", "line 1: expected"),
        ("id-too-high", "https://h/a.jpg 25", "line 1: expected"),
        ("id-negative", "https://h/a.jpg -1", "line 1: expected"),
        ("id-superscript", "https://h/a.jpg \u00b2", "line 1: expected"),
        ("id-in-arabic-digits", "https://h/a.jpg \u0663", "line 1: expected"),
        ("id-with-underscore", "https://h/a.jpg 1_0", "line 1: expected"),
        ("id-with-zero", "https://h/a.jpg 03", "line 1: expected"),
        ("id-of-many-digits", f"https://h/a.jpg {'9' * 5000}", "line 1: expected"),
        ("id-is-name", "https://h/a.jpg awe", "line 1: expected"),
        ("tab", "https://h/a.jpg\t3", "line 1: expected"),
        ("bracket", "https://[::1/a.jpg 3", "is no URL"),
        ("no-file-name", "https://h/ 3", "leads out"),
        ("no-path", "https://h 3", "leads out"),
        ("up", "https://h/x/.. 3", "leads out"),
        ("backslash", "https://h/..\\..\\a.jpg 3", "leads out"),
        ("drive", "https://h/C:a.jpg 3", "leads out"),
        ("long-name", f"https://h/{'x' * 300}.jpg 3", "is no file name"),
        ("twice", "https://h/a.jpg 3\nhttps://g/a.jpg 3", "names 1 items twice, such as '3/a.jpg'"),
        ("nothing-there", "https://h/a.jpg 3", "1 of 1 pictures are missing or empty"),
        ("escape", "https://h/a\x1b[2J.jpg 3", "is no file name"),
    ):
        yield case(name, put(line + "\r\n"), refused)


def abstract() -> Iterator[Case]:
    """Abstract's CSV of votes."""

    def case(name: str, change: Any, refused: str | None, gives: Any = None) -> Case:
        act = released(abstract_release, "abstract", "ABSTRACT_groundTruth.csv", change)
        return Case(f"abstract/{name}", act, refused, gives)

    labels = ["amusement", "anger", "awe", "contentment", "disgust", "awe", "fear", "sadness"]
    good = {f"abstract_{1 + 3 * n:04d}": label for n, label in enumerate(labels)}
    for name, change in DAMAGE.items():
        yield case(name, change, r"ABSTRACT_groundTruth\.csv")
    for name, path in TRAVERSALS.items():
        refused = r"ABSTRACT_groundTruth\.csv, line \d+: (the path .* (leads out|is no file name)|expected)"
        yield case(f"path-{name}", swap("'abstract_0001.jpg'", f'"{path}"'), refused)
    for name, old, new, refused in (
        ("label-typo", "'Awe'", "'Aww'", "not the eight emotions"),
        ("label-twice", "'Awe'", "'Fear'", "not the eight emotions"),
        ("label-of-another-set", "'Awe'", "'Joy'", "not the eight emotions"),
        ("ninth-label", "'Awe'", "'Awe','Awe'", "not the eight emotions"),
        ("label-like-prompt", "'Awe'", '"Awe\nB. Anger"', "not the eight emotions"),
        ("no-label", "'Awe'", "", "not the eight emotions"),
        ("word", ",6", ",six", "line 2: expected"),
        ("fraction", ",6", ",6.5", "line 2: expected"),
        ("negative", ",6", ",-6", "line 2: expected"),
        ("superscript", ",6", ",\u00b2", "line 2: expected"),
        ("arabic-digits", ",6", ",\u0666", "line 2: expected"),
        ("underscore", ",6", ",1_0", "line 2: expected"),
        ("many-digits", ",6", f",{'9' * 5000}", "line 2: expected"),
        ("cell-missing", ",6", "", "line 2: expected"),
        ("cell-extra", ",6", ",6,6", "line 2: expected"),
        ("open-quote", "'abstract_0001.jpg'", '"abstract_0001.jpg', "is not CSV"),
        ("no-votes", "6,1,1,1,1,1,1,1", "0,0,0,0,0,0,0,0", "line 2: expected"),
        ("twice", "abstract_0004", "abstract_0001", "names 1 items twice, such as 'abstract_0001'"),
        ("picture-missing", "abstract_0004", "abstract_9999", "1 of 8 pictures are missing or empty"),
    ):
        yield case(name, swap(old, new), refused)
    yield case("semicolons", lambda content: content.replace(b",", b";"), "not the eight emotions")
    yield case("header-only", lambda content: content.split(b"\n")[0], "has no items of the list")
    yield case("bom", lambda content: b"\xef\xbb\xbf" + content, None, good)
    yield case("mixed-line-ends", lambda content: content.replace(b"\r\n", b"\n", 3), None, good)


def artphoto() -> Iterator[Case]:
    """ArtPhoto's file names, which are its labels."""

    def named(name: str) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            (artphoto_release(folder) / name).write_bytes(saved(tile("RGB", RED), "JPEG"))
            return len(items("artphoto"))

        return act

    for name, text, refused in (
        ("typo", "angr_1.jpg", "does not begin with one of the eight emotions"),
        ("of-another-set", "joy_1.jpg", "does not begin with one of the eight emotions"),
        ("hidden", "._awe_1.jpg", "does not begin with one of the eight emotions"),
        ("not-utf8", os.fsdecode(b"awe_\xff.jpg"), "not UTF-8; rename its file"),
        ("newline", "awe_\n1.jpg", "control characters .*; rename its file"),
        ("tab", "awe_\t1.jpg", "control characters .*; rename its file"),
    ):
        yield Case(f"artphoto/name-{name}", named(text), refused)
    yield Case("artphoto/name-case", named("AWE_1.jpg"), gives=17)
    yield Case("artphoto/name-emoji", named("awe_\U0001f600.jpg"), gives=17)
    yield Case("artphoto/other-files", named("Thumbs.db"), gives=16)

    def folder_as_picture(folder: Path) -> Any:
        (artphoto_release(folder) / "awe_7.jpg").mkdir()
        return items("artphoto")

    def nothing(folder: Path) -> Any:
        (folder / "testImages_artphoto").mkdir()
        return items("artphoto")

    yield Case("artphoto/folder-as-picture", folder_as_picture, r"1 of 17 pictures are missing or empty.*awe_7\.jpg")
    yield Case("artphoto/nothing", nothing, "holds no .jpg files")


def item_lists() -> Iterator[Case]:
    """A user's own CSV."""

    def listed(content: bytes) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            artphoto_release(folder)
            (folder / "mine.csv").write_bytes(content)
            return items("artphoto", str(folder / "mine.csv"))

        return act

    two = {"awe_0001": "awe", "sad_0000": "fear"}
    for name, text in {
        "plain": "id,label\nawe_0001,\nsad_0000,fear\n",
        "bom": "\ufeffid,label\nawe_0001,\nsad_0000,fear\n",
        "windows": "id,label\r\nawe_0001,\r\nsad_0000,fear\r\n",
        "old-mac": "id,label\rawe_0001,\rsad_0000,fear\r",
        "mixed": "id,label\r\nawe_0001,\nsad_0000,fear",
        "quoted": '"id","label"\n"awe_0001",""\n"sad_0000","fear"\n',
        "empty-lines": "id,label\n\nawe_0001,\n\nsad_0000,fear\n\n",
        "more-columns": "sha256,label,id\nx,,awe_0001\ny,fear,sad_0000\n",
    }.items():
        yield Case(f"list/{name}", listed(text.encode()), gives=two)
    for name, text, refused in (
        ("empty", "", "needs a column id"),
        ("header-only", "id,label\n", "needs a column id, one row an item"),
        ("no-header", "awe_0001\nsad_0000\n", "needs a column id"),
        ("semicolons", "id;label\nawe_0001;fear\n", "needs a column id"),
        ("tabs", "id\tlabel\nawe_0001\tfear\n", "needs a column id"),
        ("json", '[{"id": "awe_0001"}]\n1\n', "needs a column id"),
        ("id-case", "ID\nawe_0001\n", "needs a column id"),
        ("label-case", "id,Label\nawe_0001,fear\n", "write id and label, once each"),
        ("label-space", "id, label\nawe_0001,fear\n", "write id and label, once each"),
        ("label-twice", "id,label,label\nawe_0001,fear,awe\n", "write id and label, once each"),
        ("id-twice", "id,id\nawe_0001,awe_0000\n", "write id and label, once each"),
        ("short-row", "id,label\nawe_0001\n", r"line 2: expected the 2 cells"),
        ("long-row", "id,label\nawe_0001,fear,awe\n", r"line 2: expected the 2 cells"),
        ("unknown-id", "id\nawe_9999\n", r"line 2: 'awe_9999' is no item of artphoto"),
        ("third-line", "id\nawe_0001\nawe_9999\n", r"line 3: 'awe_9999' is no item"),
        ("id-with-space", "id\nawe_0001 \n", "line 2: 'awe_0001 ' is no item"),
        ("id-with-ending", "id\nawe_0001.jpg\n", "is no item"),
        ("id-case-of-item", "id\nAWE_0001\n", "is no item"),
        ("empty-id", 'id,label\n"",fear\n', "line 2: '' is no item"),
        ("path", "id\n../../etc/passwd\n", "is no item"),
        ("nul", "id\nawe_0000\nawe_0001\0\n", "line 3: .* has control characters|after line 2: line contains NUL"),
        ("nul-in-label", "id,label\nawe_0001,fe\0ar\n", "line 2: .* has control characters|line contains NUL"),
        ("escape", "id\nawe_0000\nawe_0001\x1b[2J\n", r"line 3: 'awe_0001\\x1b\[2J' has control characters"),
        ("escape-in-label", "id,label\nawe_0001,\x1b[31mfear\n", r"line 2: '\\x1b\[31mfear' has control characters"),
        ("bell", "id\n\aawe_0001\n", "line 2: .* has control characters"),
        ("c1-control", "id\nawe_0001\x9b2J\n", "line 2: .* has control characters"),
        ("tab-in-label", "id,label\nawe_0001,fear\t\n", "line 2: .* has control characters"),
        ("line-separator", "id\nawe_0001\u2028\n", "line 2: .* has control characters"),
        ("twice", "id\nawe_0001\nawe_0001\n", "names 1 items twice"),
        ("twice-other-label", "id,label\nawe_0001,awe\nawe_0001,fear\n", "names 1 items twice"),
        ("label-typo", "id,label\nawe_0001,aww\n", "line 2: 'aww' is no label of artphoto"),
        ("label-other-case", "id,label\nawe_0001,Awe\n", "line 2: 'Awe' is no label"),
        ("label-with-space", "id,label\nawe_0001, awe\n", "line 2: ' awe' is no label"),
        ("label-of-another-set", "id,label\nawe_0000,\nawe_0001,joy\n", "line 3: 'joy' is no label"),
        ("label-like-prompt", 'id,label\nawe_0001,"A. Joy\nB. Anger"\n', "line 3: .* has control characters"),
        ("label-formula", "id,label\nawe_0001,=1+1\n", "line 2: '=1\\+1' is no label"),
        ("open-quote", 'id,label\n"awe_0001,fear\n', "cannot be read"),
        ("giant-field", "id\n" + "x" * 3_000_000 + "\n", "cannot be read"),
        ("giant-header", "x" * 3_000_000, "cannot be read"),
    ):
        yield Case(f"list/{name}", listed(text.encode()), refused)

    def badly_named(folder: Path) -> Any:
        artphoto_release(folder)
        (folder / "a\x1b[2J.csv").write_text("id\nawe_0001\n")
        return items("artphoto", str(folder / "a\x1b[2J.csv"))

    yield Case("list/name-escape", badly_named, r"a\\x1b\[2J\.csv' has control characters in its name")
    for name, content in {
        "utf16": "id\nawe_0001\n".encode("utf-16"),
        "latin1": b"id\nawe_0001\xe9\n",
        "compressed": zlib.compress(b"id\nawe_0001\n"),
        "parquet": b"PAR1" + bytes(40) + b"PAR1",
        "random": random.Random(3).randbytes(4000),
    }.items():
        yield Case(f"list/is-{name}", listed(content), r"mine\.csv (cannot be read|needs a column)")
    for name, make in {"folder": Path.mkdir, "fifo": os.mkfifo, "nothing": lambda path: None}.items():

        def act(folder: Path, make: Any = make) -> Any:
            artphoto_release(folder)
            make(folder / "mine.csv")
            return items("artphoto", str(folder / "mine.csv"))

        yield Case(f"list/is-{name}", act, r"mine\.csv cannot be read: no such file")


# Archives and copies


def archives() -> Iterator[Case]:
    """Zip files of a release."""

    def unpacked(make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            inner = folder / "data"
            inner.mkdir()
            make(folder / "release.zip")
            try:
                unpack(folder / "release.zip", inner)
            finally:
                outside = {path.name for path in folder.rglob("*") if not path.is_relative_to(inner)}
                assert outside <= {"release.zip"}, f"written outside: {outside}"
            return sorted(path.relative_to(inner).as_posix() for path in inner.rglob("*") if path.is_file())

        return act

    def written(*members: tuple[Any, bytes], kind: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
        def make(path: Path) -> None:
            with zipfile.ZipFile(path, "w", kind) as archive:
                for name, content in members:
                    archive.writestr(name, content)

        return make

    def changed(make: Callable[[Path], None], change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
        def damaged(path: Path) -> None:
            make(path)
            path.write_bytes(change(path.read_bytes()))

        return damaged

    def bit(old: bytes, offset: int, value: int) -> Callable[[bytes], bytes]:
        """Set a byte at a distance from every occurrence of a signature."""

        def change(content: bytes) -> bytes:
            found = bytearray(content)
            place = content.find(old)
            while place >= 0:
                found[place + offset] |= value
                place = content.find(old, place + 1)
            return bytes(found)

        return change

    def in_member(content: bytes) -> bytes:
        return content[:60] + bytes(b ^ 0x55 for b in content[60:400]) + content[400:]

    def link(name: str) -> zipfile.ZipInfo:
        member = zipfile.ZipInfo(name)
        member.external_attr = 0o120777 << 16
        return member

    noise = random.Random(5).randbytes(3000)
    good = written(("a/1.jpg", noise), ("a/2.jpg", noise[::-1]))
    for name, path in TRAVERSALS.items():
        # zipfile writes no NUL into a name: it stands there after a change of the finished file
        make = written((path.replace("\0", "\1"), b"x"))
        if "\0" in path:
            make = changed(make, lambda content: content.replace(b"\1", b"\0"))
        yield Case(f"archive/path-{name}", unpacked(make), r"release\.zip.*(leads out|is no file name|not a whole)")
    for name, share in (("start", 0.05), ("middle", 0.5), ("end", 0.98)):
        cut = changed(good, functools.partial(lambda share, content: content[: int(share * len(content))], share))
        yield Case(f"archive/cut-at-{name}", unpacked(cut), r"release\.zip is not a whole zip file.*download it again")
    for name, make, refused in (
        ("empty-file", lambda path: path.write_bytes(b""), "not a whole zip file"),
        ("text", lambda path: path.write_text("404 not found"), "not a whole zip file"),
        ("gzip", lambda path: path.write_bytes(b"\x1f\x8b" + noise), "not a whole zip file"),
        ("folder", Path.mkdir, "is no file"),
        ("fifo", os.mkfifo, "is no file"),
        ("nothing", lambda path: None, "is no file"),
        ("encrypted", changed(changed(good, bit(b"PK\3\4", 6, 1)), bit(b"PK\1\2", 8, 1)), "encrypted.*unpack it"),
        ("checksum", changed(good, in_member), "not a whole zip file"),
        ("unknown-method", changed(changed(good, bit(b"PK\3\4", 8, 99)), bit(b"PK\1\2", 10, 99)), "not a whole zip"),
        ("deflate-damage", changed(written(("a", noise), kind=zipfile.ZIP_DEFLATED), in_member), "not a whole zip"),
        ("lzma-damage", changed(written(("a", noise), kind=zipfile.ZIP_LZMA), in_member), "not a whole zip"),
        ("bz2-damage", changed(written(("a", noise), kind=zipfile.ZIP_BZIP2), in_member), "is damaged|not a whole zip"),
        ("bomb", written(("a", bytes(20_000_000)), kind=zipfile.ZIP_DEFLATED), "not a picture archive"),
        (
            "bomb-of-many",
            written(*((str(n), bytes(500_000)) for n in range(40)), kind=zipfile.ZIP_DEFLATED),
            "not a pic",
        ),
        ("bomb-lzma", written(("a", bytes(20_000_000)), kind=zipfile.ZIP_LZMA), "not a picture archive"),
        ("file-and-folder", written(("a", b"x"), ("a/b", b"y")), "'a' is both a file and a folder"),
        ("twice", written(("a", b"x"), ("./a", b"y")), "two members are called"),
        (
            "bad-utf8-name",
            changed(written(("\u00e9", b"x")), lambda c: c.replace(b"\xc3\xa9", b"\xc3\xc3")),
            "not a whole",
        ),
    ):
        yield Case(f"archive/{name}", unpacked(make), rf"release\.zip.*{refused}")
    # a link is written as what it says: a short text file, which no picture is
    yield Case("archive/link-up", unpacked(written((link("a"), b"../.."))), gives=["a"])
    yield Case(
        "archive/link-then-through-it", unpacked(written((link("a"), b"/tmp"), ("a/b", b"x"))), "both a file and a"
    )
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(20_000_000))
    inner = written(("in.zip", nested.getvalue()), ("1.jpg", noise))
    yield Case("archive/nested-bomb", unpacked(inner), gives=["1.jpg", "in.zip"])
    yield Case("archive/good", unpacked(good), gives=["a/1.jpg", "a/2.jpg"])

    def through_link(folder: Path) -> Any:
        (folder / "elsewhere").mkdir()
        (folder / "data").mkdir()
        (folder / "data" / "a").symlink_to(folder / "elsewhere")
        good(folder / "release.zip")
        try:
            unpack(folder / "release.zip", folder / "data")
        finally:
            assert not list((folder / "elsewhere").iterdir())

    yield Case("archive/through-a-link-that-is-there", through_link, "leads out of .* through a link")


def copies() -> Iterator[Case]:
    """Parquet files of a copy on the hub."""
    import pyarrow
    from pyarrow import parquet

    jpeg = {"bytes": encoded("JPEG"), "path": None}
    good = {"image": jpeg, "image_id": "awe_1", "emotion": "awe"}

    def copied(content: Callable[[], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            path = folder / "test-0.parquet"
            path.write_bytes(content())
            (folder / "EmoSet-118K").mkdir()
            columns = hub_copies.COPIES["emoset"][0].columns
            hub_copies._emoset_from_parquet([path], columns, folder / "EmoSet-118K", BENCHMARKS["emoset"])
            return items("emoset")

        return act

    def table(*rows: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
        return buffer.getvalue()

    yield Case("copy/good", copied(lambda: table(good)), gives={"awe_1": "awe"})
    for name, change, refused in (
        ("label-typo", {"emotion": "aww"}, "label 'aww' of 'awe_1'"),
        ("label-number", {"emotion": 3}, "label 3 of 'awe_1'"),
        ("label-missing", {"emotion": None}, "label None of 'awe_1'"),
        ("label-list", {"emotion": ["awe"]}, r"label \['awe'\]"),
        ("label-like-prompt", {"emotion": "awe\nB. Anger"}, "label"),
        ("picture-missing", {"image": None}, "the row 'awe_1' has no id or no picture"),
        ("picture-text", {"image": "x.jpg"}, "the row 'awe_1' has no id or no picture"),
        ("picture-only-path", {"image": {"path": "/etc/passwd"}}, "the row 'awe_1' has no id or no picture"),
        ("id-missing", {"image_id": None}, "the row None has no id"),
        ("id-fraction", {"image_id": 1.5}, "the row 1.5 has no id"),
        ("id-up", {"image_id": "../../../outside"}, "leads out"),
        ("id-absolute", {"image_id": "/../x"}, "leads out"),
        ("id-backslash", {"image_id": "..\\x"}, "leads out"),
        ("id-newline", {"image_id": "a\nb"}, "is no file name"),
    ):
        content = functools.partial(lambda change: table({**good, **change}), change)
        yield Case(f"copy/{name}", copied(content), rf"test-0\.parquet is not the expected copy.*{refused}")
    yield Case("copy/twice", copied(lambda: table(good, good)), "names 1 items twice")
    yield Case("copy/column-missing", copied(lambda: table({"image": jpeg, "image_id": "a"})), "has the columns")
    yield Case("copy/no-rows", copied(lambda: table(good)[:0] + _no_rows(table(good))), "hold no rows")
    for name, change in {
        "empty": lambda content: b"",
        "cut": lambda content: content[: len(content) // 2],
        "text": lambda content: b"404",
        "footer": lambda content: content[:-200] + bytes(150) + content[-50:],
        "footer-length": lambda content: content[:-8] + b"\xff\xff\xff\x7f" + content[-4:],
        "pages": lambda content: content[:4] + bytes(200) + content[204:],
    }.items():
        damaged = functools.partial(lambda change: change(table(good)), change)
        yield Case(f"copy/{name}", copied(damaged), r"test-0\.parquet is not the expected copy: .")


def _no_rows(content: bytes) -> bytes:
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(parquet.read_table(io.BytesIO(content)).slice(0, 0), buffer)
    return buffer.getvalue()


# Plans, runs and what lies beside them


def plans() -> Iterator[Case]:
    """A plan as YAML."""
    good = "tasks: [emoset]\nmethods: [zero_shot]\nmodels: [{model: sepm_llava}]\n"

    def loaded(content: bytes) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            (folder / "plan.yaml").write_bytes(content)
            plan = load_plan(str(folder / "plan.yaml"))
            return plan.tasks, plan.methods, plan.limit

        return act

    right = (("emoset",), ("zero_shot",), None)
    laughs = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijkl"))
    yield Case("plan/good", loaded(good.encode()), gives=right)
    yield Case("plan/bom", loaded(b"\xef\xbb\xbf" + good.encode()), gives=right)
    yield Case("plan/windows", loaded(good.replace("\n", "\r\n").encode()), gives=right)
    yield Case("plan/mixed-line-ends", loaded(good.replace("\n", "\r\n", 1).encode()), gives=right)
    for name, text, refused in (
        ("empty", "", "is no plan"),
        ("text", "run everything", "is no plan"),
        ("list", "[1, 2]", "is no plan"),
        ("null", "null", "is no plan"),
        ("brace", "{", "is not YAML"),
        ("tab", "tasks:\n\t- emoset", "is not YAML"),
        ("nul", good + "\0", "is not YAML"),
        ("escape", good + "# \x1b[2J", "is not YAML"),
        ("two-documents", good + "---\n" + good, "is not YAML"),
        ("python", good + "x: !!python/object/apply:os.system [touch owned]", "is not YAML"),
        ("python-name", good + "x: !!python/name:os.system", "is not YAML"),
        ("bad-bool", good + "x: !!bool maybe", "is not YAML"),
        ("bad-int", good + "x: !!int ''", "is not YAML"),
        ("bad-date", good + "x: 2024-99-99", "is not YAML"),
        ("bad-timestamp", good + "x: !!timestamp nothing", "is not YAML"),
        ("bad-binary", good + "x: !!binary '%'", "is not YAML|is no plan"),
        ("unknown-alias", good + "x: *nothing", "is not YAML"),
        ("own-alias", "tasks: &a [*a]", "is no plan"),
        ("laughs", laughs, "is no plan"),
        ("nested", "[" * 20_000, "is not YAML"),
        ("long-number", good + "limit: " + "9" * 5000, "is not YAML"),
        ("key-twice", good + "tasks: [webemo7]\n", "'tasks' stands twice"),
        ("inner-key-twice", good.replace("llava}", "llava, model: sepm_vila}"), "'model' stands twice"),
        ("unknown-key", good + "task: [x]", "task: there is no such setting"),
        ("key-case", good.replace("tasks", "Tasks"), "tasks: is missing"),
        ("no-models", "tasks: [emoset]\nmethods: [zero_shot]\nmodels: []", "models: is empty"),
        ("task-number", good.replace("[emoset]", "[7]"), "tasks.0: found 7; write text"),
        ("task-no", good.replace("[emoset]", "[no]"), "tasks.0: found False; write text"),
        ("task-text", good.replace("[emoset]", "emoset"), r"tasks: found 'emoset'; write a list: \[emoset\]"),
        ("task-twice", good.replace("[emoset]", "[emoset, emoset]"), "are named twice"),
        ("limit-zero", good + "limit: 0", "limit: found .*; it should be greater"),
        ("limit-negative", good + "limit: -3", "limit: found .*; it should be greater"),
        ("limit-yes", good + "limit: yes", "limit: found .*; it should be a valid integer"),
        ("limit-text", good + "limit: '5'", "limit: found .*; it should be a valid integer"),
        ("limit-fraction", good + "limit: 1.5", "limit: found .*; it should be a valid integer"),
        ("limit-nan", good + "limit: .nan", "limit: found .*; it should be a valid integer"),
        ("method-typo", good.replace("zero_shot", "zeroshot"), "unknown method 'zeroshot'"),
        ("method-option", good.replace("[zero_shot]", "['sepm,gamma=1']"), "unknown options"),
        ("method-no-value", good.replace("[zero_shot]", "['sepm,beta']"), "write name=value"),
        ("method-nan", good.replace("[zero_shot]", "['sepm,beta=nan']"), "beta"),
        ("method-infinite", good.replace("[zero_shot]", "['sepm,alpha=1e999']"), "alpha"),
        ("method-code", good.replace("[zero_shot]", "['sepm,beta=__import__(0)']"), "beta"),
        ("method-nested", good.replace("[zero_shot]", f"['sepm,beta={'(' * 5000}']"), "beta"),
        ("method-unhashable", good.replace("[zero_shot]", "['sepm,beta={[]:1}']"), "beta"),
        ("args-list", good.replace("llava}", "llava, args: {pretrained: [a]}}"), "args.pretrained"),
        ("args-taken", good.replace("llava}", "llava, args: {journal: /etc/x}}"), "must not hold"),
        (
            "batch-size",
            good.replace("llava}", "llava, batch_size: true}"),
            "batch_size: found True; it should be a valid int",
        ),
    ):
        yield Case(f"plan/{name}", loaded(text.encode()), rf"(?s)plan\.yaml .*{refused}")
    for name, content in {
        "not-utf8": b"tasks: [\xff\xfe]",
        "utf16": good.encode("utf-16"),
        "pickle": pickle.dumps([1]),
        "random": random.Random(4).randbytes(3000),
    }.items():
        yield Case(f"plan/is-{name}", loaded(content), r"plan\.yaml is not (YAML|UTF-8 text)")

    def at(make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            make(folder / "plan.yaml")
            return load_plan(str(folder / "plan.yaml"))

        return act

    for name, make in {"folder": Path.mkdir, "fifo": os.mkfifo, "link": lambda p: p.symlink_to(p)}.items():
        yield Case(f"plan/is-{name}", at(make), "no plan .*give a YAML file")
    for name, text in {"nul": "a\0b", "long": "x" * 300, "nothing": "plans/nowhere.yaml"}.items():
        act = functools.partial(lambda text, folder: load_plan(text), text)
        yield Case(f"plan/name-{name}", act, "no plan .*give a YAML file")


def finished(folder: Path, entry: str = "sepm_llava", method: str = "sepm") -> None:
    """A small finished run."""
    make_run(folder, entry, LLAVA, method, "emoset", 0.5, "20261101_120000")


def results() -> Iterator[Case]:
    """What lmms-eval wrote."""

    def read(folder: Path) -> Any:
        (found,) = read_runs([folder])
        return len(found.outcomes), found.complete

    def logged(pattern: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            (path,) = folder.rglob(pattern)
            path.write_bytes(change(path.read_bytes()))
            return read(folder)

        return act

    def sample(**more: Any) -> Callable[[bytes], bytes]:
        """Change the first sample; a value ... takes the key away."""

        def change(content: bytes) -> bytes:
            first, rest = content.split(b"\n", 1)
            found = {**json.loads(first), **more}
            found = {key: value for key, value in found.items() if value is not ...}
            return json.dumps(found).encode() + b"\n" + rest

        return change

    def result(**more: Any) -> Callable[[bytes], bytes]:
        return lambda content: json.dumps({**json.loads(content), **more}).encode()

    samples = "*_samples_emoset.jsonl"
    for name, change, refused in (
        ("doc-id-text", sample(doc_id="0"), "doc_id is '0', no number"),
        ("doc-id-fraction", sample(doc_id=0.5), "doc_id is 0.5, no number"),
        ("doc-id-null", sample(doc_id=None), "doc_id is None, no number"),
        ("doc-id-list", sample(doc_id=[0]), r"doc_id is \[0\], no number"),
        ("doc-id-true", sample(doc_id=True), "doc_id is True, no number"),
        ("label-typo", sample(label="aww"), "label is 'aww', none of"),
        ("label-case", sample(label="Awe"), "label is 'Awe', none of"),
        ("label-space", sample(label="awe "), "label is 'awe ', none of"),
        ("label-number", sample(label=3), "label is 3, none of"),
        ("label-list", sample(label=["awe"]), "label is .*, none of"),
        ("answer-null", sample(filtered_resps=None), "filtered_resps is None, no text"),
        ("answer-number", sample(filtered_resps=7), "filtered_resps is 7, no text"),
        ("answer-empty-list", sample(filtered_resps=[]), r"filtered_resps is \[\], no text"),
        ("answer-nested", sample(filtered_resps=[["A"]]), "no text"),
        ("acc-two", sample(acc=2), "acc is 2, neither 0 nor 1"),
        ("acc-text", sample(acc="1"), "acc is '1', neither 0 nor 1"),
        ("acc-nan", sample(acc=float("nan")), "acc is nan, neither 0 nor 1"),
        ("not-json", lambda content: content.replace(b"{", b"(", 1), "line 1 is no sample"),
        ("list", lambda content: b"[1]\n" + content, "line 1 is no sample"),
        ("null", lambda content: b"null\n" + content, "line 1 is no sample"),
        ("number", lambda content: b"7\n" + content, "line 1 is no sample"),
        ("nested", lambda content: b"[" * 100_000 + b"\n" + content, "line 1 is no sample"),
        ("empty-line", lambda content: b"\n" + content, "line 1 is no sample"),
        ("cut-off", lambda content: content[:-80], "line 32 is no sample"),
        ("utf16", lambda content: content.decode().encode("utf-16"), r"line \d is no sample"),
        ("not-utf8", lambda content: content.replace(b"mini", b"m\xff\xfe", 1), "line 1 is no sample"),
        ("nul", lambda content: content.replace(b"mini", b"m\0", 1), "line 1 is no sample"),
        ("twice", lambda content: content.split(b"\n")[0] + b"\n" + content, "has several samples of 1 items"),
        ("item-twice", sample(item_id="emoset/001"), "has several samples of 1 items, such as 'emoset/001'"),
        ("doc-id-twice", sample(doc_id=1), "has several samples of 1 doc_ids, such as 1"),
    ):
        yield Case(f"samples/{name}", logged(samples, change), rf"_samples_emoset\.jsonl.*{refused}.*move")
    yield Case("samples/bom", logged(samples, lambda content: b"\xef\xbb\xbf" + content), gives=(32, True))
    yield Case("samples/windows", logged(samples, lambda content: content.replace(b"\n", b"\r\n")), gives=(32, True))
    yield Case("samples/none", logged(samples, lambda content: b""), "no results of image-emotion tasks")
    last = re.compile(rb"[^\n]+\n\Z")
    yield Case("samples/one-less", logged(samples, lambda content: last.sub(b"", content)), gives=(31, False))
    first = "names the run [0-9a-f]{16}, whose identity is in none of the logs"
    yield Case("samples/no-identity", logged(samples, lambda content: content.split(b"\n", 1)[1]), first)
    for name, media in {"text": "x", "number": 5, "nul": ["a\0b"], "long": ["x" * 9000], "folder": ["/"]}.items():
        change = sample(input_media=media)
        if name == "number":
            yield Case(f"samples/media-{name}", logged(samples, change), "not as lmms-eval writes them")
        else:
            yield Case(f"samples/media-{name}", logged(samples, change), gives=(32, True))

    for name, change, refused in (
        ("empty", lambda content: b"", "is no results file"),
        ("list", lambda content: b"[1]", "is no results file"),
        ("cut-off", lambda content: content[:-9], "is no results file"),
        ("nested", lambda content: b"[" * 100_000, "is no results file"),
        ("utf16", lambda content: content.decode().encode("utf-16"), "is no results file"),
        ("bom", lambda content: b"\xef\xbb\xbf" + content, "is no results file"),
        ("config-list", result(config=[1]), "not as lmms-eval writes them"),
        ("config-null", result(config=None), "not as lmms-eval writes them"),
        ("other-entry", result(config={"model": "sepm_gpt"}), "is of sepm_gpt, and its samples are of sepm_llava"),
        ("counts-negative", result(**{"n-samples": {"emoset": {"effective": -1}}}), "-1 items were asked"),
        ("counts-list", result(**{"n-samples": [1]}), "not as lmms-eval writes them"),
        ("counts-text", result(**{"n-samples": {"emoset": {"effective": "many"}}}), "'many' items were asked"),
        ("counts-null", result(**{"n-samples": {"emoset": {"effective": None}}}), "None items were asked"),
    ):
        yield Case(f"results/{name}", logged("*_results.json", change), refused)
    for name, arguments in {
        "number": 7,
        "list": ["a"],
        "bad-option": "method=sepm,beta=7",
    }.items():  # nobody reads them
        change = result(config={"model": "sepm_llava", "model_args": arguments})
        yield Case(f"results/args-{name}", logged("*_results.json", change), gives=(32, True))

    def beside(name: str, make: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            make(folder / name)
            return read(folder)

        return act

    for name, make in {
        "fifo": os.mkfifo,
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to(path),
        "dangling-link": lambda path: path.symlink_to("nowhere"),
    }.items():
        for file in ("x_results.json", "x.jsonl"):
            yield Case(f"results/{file}-is-{name}", beside(file, make), gives=(32, True))
    yield Case("results/folder-loop", beside("loop", lambda path: path.symlink_to(path.parent)), gives=(32, True))


def journals() -> Iterator[Case]:
    """Journals beside a run."""

    def beside(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            finished(folder)
            (path,) = folder.rglob("journals/*.jsonl")
            path.write_bytes(change(path.read_bytes()))
            (found,) = read_runs([folder])
            return sum(outcome.record is not None for outcome in found.outcomes)

        return act

    def record(**more: Any) -> Callable[[bytes], bytes]:
        def change(content: bytes) -> bytes:
            first, rest = content.split(b"\n", 1)
            found = {key: value for key, value in {**json.loads(first), **more}.items() if value is not ...}
            return json.dumps(found).encode() + b"\n" + rest

        return change

    for name, change in {
        "no-text": record(text=...),
        "text-number": record(text=7),
        "no-versions": record(versions=...),
        "versions-text": record(versions="1"),
        "method-text": record(method="sepm"),
        "model-list": record(model=[1]),
        "doc-id-list": record(doc_id=[1]),
        "doc-id-text": record(doc_id="1"),
        "no-status": record(status=...),
        "no-task": record(task=...),
        "not-json": lambda content: content.replace(b",", b";", 1),
        "not-utf8": lambda content: content.replace(b"emoset", b"\xff\xfe", 1),
        "nul": lambda content: content.replace(b"emoset", b"\0", 1),
        "spliced": lambda content: content[:300] + content[250:],
        "nested": lambda content: b'{"key": ' + b"[" * 100_000 + b"\n" + content,
    }.items():
        yield Case(f"journal/{name}", beside(change), r"journals/.*\.jsonl")
    yield Case("journal/torn", beside(lambda content: content[:-40]), gives=31)
    yield Case("journal/nothing-whole", beside(lambda content: content[:100]), gives=0)
    yield Case("journal/of-another-answer", beside(record(text="Z")), gives=31)


def manifests() -> Iterator[Case]:
    """What ``prepare`` wrote."""

    def changed(change: Callable[[Path], None]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            abstract_release(folder)
            prepare(BENCHMARKS["abstract"], folder / "out")
            change(folder / "out")
            return verify(folder / "out")

        return act

    for name, content in {
        "empty": b"",
        "cut-off": b'{"files": {"a',
        "list": b"[]",
        "no-files": b"{}",
        "files-number": b'{"files": 3}',
        "nested": b"[" * 100_000,
        "not-utf8": b'{"files": {"\xff": "x"}}',
        "path-up": b'{"files": {"../secret": "x"}}',
        "path-absolute": b'{"files": {"/etc/passwd": "x"}}',
    }.items():
        change = functools.partial(lambda content, out: (out / "manifest.json").write_bytes(content), content)
        yield Case(f"manifest/{name}", changed(change), r"manifest\.json is damaged .*prepare the release again")
    yield Case("manifest/nothing", changed(lambda out: (out / "manifest.json").unlink()), "has no manifest.json")
    yield Case("manifest/folder", changed(lambda out: shutil.rmtree(out)), "has no manifest.json")

    def fifo(out: Path) -> None:
        (out / "test-00000.parquet").unlink()
        os.mkfifo(out / "test-00000.parquet")

    yield Case("manifest/shard-is-fifo", changed(fifo), gives=["test-00000.parquet is missing"])

    def report_damaged(folder: Path) -> Any:
        abstract_release(folder)
        first = prepare(BENCHMARKS["abstract"], folder / "out")
        for path in (folder / "out").glob("test-*.json"):
            path.write_bytes(b"[" * 100_000)
        return prepare(BENCHMARKS["abstract"], folder / "out") == first

    yield Case("manifest/shard-report-damaged", report_damaged, gives=True)

    def bad_pictures(folder: Path) -> Any:
        release = abstract_release(folder)
        (release / "abstract_0001.jpg").write_bytes(encoded("JPEG")[:300])
        (release / "abstract_0004.jpg").write_bytes(BOMBS["png"]())
        found = prepare(BENCHMARKS["abstract"], folder / "out")
        return found["n"], sorted(found["unreadable"])

    yield Case("manifest/bad-pictures", bad_pictures, gives=(6, ["abstract_0001", "abstract_0004"]))


def questions() -> Iterator[Case]:
    """Labels and the names they are shown by."""

    def asked(labels: tuple[str, ...], names: tuple[str, ...]) -> Callable[[Path], Any]:
        return lambda folder: Question(Image.new("RGB", (1, 1)), labels, names).names

    two = ("joy", "fear")
    for name, labels, names, refused in (
        ("like-prompt", two, ("A. Joy\nB. Anger", "Fear"), "a name on one line"),
        ("line-separator", two, ("Joy\u2028C. Awe", "Fear"), "a name on one line"),
        ("carriage-return", two, ("Joy\rC. Awe", "Fear"), "a name on one line"),
        ("empty", two, ("", "Fear"), "a name on one line"),
        ("blank", two, ("  ", "Fear"), "a name on one line"),
        ("same", two, ("Joy", "Joy"), "shown by the same name"),
        ("same-but-case", two, ("Joy", "JOY "), "shown by the same name"),
        ("typo", ("joy", "feer"), (), "unknown emotions"),
        ("case", ("Joy", "fear"), (), "unknown emotions"),
        ("space", ("joy ", "fear"), (), "unknown emotions"),
        ("twice", ("joy", "joy"), (), "each label once"),
        ("one", ("joy",), (), "2 to 26 options, not 1"),
        ("too-many", tuple(f"x{n}" for n in range(27)), (), "2 to 26 options, not 27"),
        ("names-missing", two, ("Joy",), "as many names"),
    ):
        yield Case(f"question/{name}", asked(labels, names), refused)


def checkpoints() -> Iterator[Case]:
    """A checkpoint's files; a malicious pickle is in ``test_security.py``."""

    def read(name: str, content: bytes, how: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            (folder / name).write_bytes(content)
            return how(folder)

        return act

    def config(folder: Path) -> Any:
        return find_checkpoint(str(folder)).config()

    for name, content in {
        "empty": b"",
        "list": b"[]",
        "cut-off": b'{"model_type": "ll',
        "nested": b"[" * 100_000,
        "not-utf8": b'{"a": "\xff"}',
        "long-number": b'{"a": ' + b"9" * 5000 + b"}",
    }.items():
        yield Case(f"checkpoint/config-{name}", read("config.json", content, config), r"config\.json ")
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    for name, content in {
        "empty": b"",
        "header-too-long": struct.pack("<Q", 2**60) + header,
        "header-not-json": struct.pack("<Q", 9) + b"not json!" + bytes(16),
        "tensor-cut-off": struct.pack("<Q", len(header)) + header + bytes(7),
        "tensor-overlap": struct.pack("<Q", len(header)) + header + bytes(99),
        "pickle": pickle.dumps({"w": 1}),
    }.items():
        act = read("model.safetensors", content, read_weights)
        yield Case(f"checkpoint/safetensors-{name}", act, r"model\.safetensors is not a whole safetensors file")
    for name, content in {
        "empty": b"",
        "text": b"404 not found",
        "numbers": pickle.dumps({"w": 1}),
        "list": pickle.dumps([1]),
        "zip": b"PK\x03\x04" + bytes(60),
        "random": random.Random(6).randbytes(900),
    }.items():
        act = read("pytorch_model.bin", content, read_weights)
        yield Case(f"checkpoint/bin-{name}", act, r"pytorch_model\.bin (is damaged|holds)")
    half = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    for name, (content, refused) in {
        "shard-missing": (json.dumps(half).encode(), r"[ab]\.safetensors is missing"),
        "not-json": (b"{", r"index\.json is no index of weights"),
        "outside": (b'{"weight_map": {"w": "../../etc/passwd.bin"}}', r"index\.json is no index of weights"),
        "nested": (b"[" * 100_000, r"index\.json is no index of weights"),
    }.items():
        for how in (check_files, read_weights):
            act = read("model.safetensors.index.json", content, how)
            yield Case(f"checkpoint/index-{name}-{how.__name__}", act, refused)
    for name, path in {"folder-of-the-system": "/usr", "file": __file__, "empty-name": "", "nul": "a\0/b"}.items():
        refused = "not a model checkpoint: no config|is a file|no checkpoint"
        for find in (find_checkpoint, checkpoint_revision):
            yield Case(
                f"checkpoint/{name}-{find.__name__}", functools.partial(lambda f, p, _: f(p), find, path), refused
            )
    for file in ("tokenizer.json", "tokenizer.model"):
        for name, content in {"empty": b"", "text": b"{}", "random": random.Random(7).randbytes(900)}.items():
            act = read(file, content, load_tokenizer)
            yield Case(f"checkpoint/{file}-{name}", act, rf"{file} is not a whole tokenizer")
    yield Case("checkpoint/nothing", read("a.txt", b"", read_weights), "holds no weights")

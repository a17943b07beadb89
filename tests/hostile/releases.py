"""Releases of the benchmarks whose lists are damaged or say what cannot be."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from miniature import abstract_release, artphoto_release, emoset_release, emotion6_release, webemo_release

from hostile.case import BENCHMARKS, RED, TRAVERSALS, Case
from hostile.pictures import saved, tile


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
    # long because: a list of cases
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
        refused = r"test\.json, row 0: (the path .* (leads out|is not a file name)|expected)"
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
        ("lone-surrogate", '[["awe", "image/awe/\\ud800.jpg", "x"]]', "row 0: the path .* is not a file name"),
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
        refused = r"ground_truth\.txt, line \d+: (the path .* (leads out|is not a file name)|expected)"
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
        ("long-name", f"https://h/{'x' * 300}.jpg 3", "is not a file name"),
        ("twice", "https://h/a.jpg 3\nhttps://g/a.jpg 3", "names 1 items twice, such as '3/a.jpg'"),
        ("nothing-there", "https://h/a.jpg 3", "1 of 1 pictures are missing or empty"),
        ("escape", "https://h/a\x1b[2J.jpg 3", "is not a file name"),
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
        refused = r"ABSTRACT_groundTruth\.csv, line \d+: (the path .* (leads out|is not a file name)|expected)"
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

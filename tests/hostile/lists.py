"""Item lists, archives and hub copies that are damaged or lead elsewhere."""

from __future__ import annotations

import functools
import io
import os
import random
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from miniature import artphoto_release

from hostile.case import BENCHMARKS, TRAVERSALS, Case
from hostile.pictures import encoded
from hostile.releases import items
from sepm_eval.datasets.releases import hub_copies
from sepm_eval.datasets.releases.archives import unpack


def item_lists() -> Iterator[Case]:
    """A user's own CSV."""
    # long because: a list of cases

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
    # long because: a list of cases

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
        yield Case(f"archive/path-{name}", unpacked(make), r"release\.zip.*(leads out|is not a file name|not a whole)")
    for name, share in (("start", 0.05), ("middle", 0.5), ("end", 0.98)):
        cut = changed(good, functools.partial(lambda share, content: content[: int(share * len(content))], share))
        yield Case(f"archive/cut-at-{name}", unpacked(cut), r"release\.zip is not a whole zip file.*download it again")
    for name, make, refused in (
        ("empty-file", lambda path: path.write_bytes(b""), "not a whole zip file"),
        ("text", lambda path: path.write_text("404 not found"), "not a whole zip file"),
        ("gzip", lambda path: path.write_bytes(b"\x1f\x8b" + noise), "not a whole zip file"),
        ("folder", Path.mkdir, "is not a file"),
        ("fifo", os.mkfifo, "is not a file"),
        ("nothing", lambda path: None, "is not a file"),
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
    # long because: a list of cases
    import pyarrow
    from pyarrow import parquet

    jpeg = {"bytes": encoded("JPEG"), "path": None}
    good = {"image": jpeg, "image_id": "awe_1", "emotion": "awe"}

    def copied(content: Callable[[], bytes]) -> Callable[[Path], Any]:
        def act(folder: Path) -> Any:
            path = folder / "test-0.parquet"
            path.write_bytes(content())
            (folder / "EmoSet-118K").mkdir()
            copy = BENCHMARKS["emoset"].hub[0]
            hub_copies._convert([path], copy, copy.columns, folder / "EmoSet-118K")
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
    ):
        content = functools.partial(lambda change: table({**good, **change}), change)
        yield Case(f"copy/{name}", copied(content), rf"items\.jsonl, line 1: .*{refused}")
    for name, change, refused in (
        ("picture-missing", {"image": None}, "row 0 has no picture's bytes"),
        ("picture-text", {"image": "x.jpg"}, "row 0 has no picture's bytes"),
        ("picture-only-path", {"image": {"path": "/etc/passwd"}}, "row 0 has no picture's bytes"),
        ("id-missing", {"image_id": None}, "the id of row 0 is None"),
        ("id-fraction", {"image_id": 1.5}, "the id of row 0 is 1.5"),
        ("id-up", {"image_id": "../../../outside"}, "leads out"),
        ("id-absolute", {"image_id": "/../x"}, "leads out"),
        ("id-backslash", {"image_id": "..\\x"}, "leads out"),
        ("id-newline", {"image_id": "a\nb"}, "is not a file name"),
    ):
        content = functools.partial(lambda change: table({**good, **change}), change)
        yield Case(f"copy/{name}", copied(content), rf"test-0\.parquet is not the expected copy.*{refused}")
    yield Case("copy/twice", copied(lambda: table(good, good)), "1 rows have an id that another has, 'awe_1'")
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

"""Find the items of a release that a copy holds: by id, by the bytes of the file, or by the decoded picture."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from sepm_eval.datasets import Item
from sepm_eval.digests import readable_sha256s
from sepm_eval.files import text_of, writing_whole
from sepm_eval.images import FORMATS, UnreadableImage, image_sha256, open_image


@dataclass(frozen=True)
class Matched:
    """The result of matching a copy with a release.

    Attributes:
        ids: ids of the release's items that were found, in the copy's order, each once.
        by: how many rows of the copy were found "by id", "by file" and "by picture".
        absent: ids of the copy's rows that match no item of the release.
    """

    ids: tuple[str, ...]
    by: dict[str, int]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        """A sentence that says how many pictures were found, and how."""
        found = sum(self.by.values())
        ways = ", ".join(f"{count} {way}" for way, count in self.by.items())
        return f"{found} of {found + len(self.absent)} pictures are in the release ({ways}): {len(self.ids)} items"


def match(copy: Sequence[Item], release: Sequence[Item]) -> Matched:
    """Find each picture of a copy among the items of a release.

    A row of the copy matches the item with the same id, if their labels agree; otherwise the item with the same bytes;
    otherwise the item with the same label, size and decoded pixels. For a copy may have ids of its own, and its
    pictures may have been saved again without loss.

    Args:
        copy: the pictures of the copy.
        release: all items of the release.

    Returns:
        Which items were found, and how.
    """
    by_id = {item.id: item for item in release}
    found: list[Item | None] = [_same(by_id.get(one.id), one) for one in copy]
    by = {"by id": sum(one is not None for one in found), "by file": 0, "by picture": 0}
    for way, keyed in (("by file", _files), ("by picture", _pixels)):
        left = [number for number, one in enumerate(found) if one is None]
        if not left:
            break
        keys = keyed([copy[number] for number in left], release)
        for number, item in zip(left, keys, strict=True):
            found[number] = item
            by[way] += item is not None
    absent = tuple(one.id for one, item in zip(copy, found, strict=True) if item is None)
    return Matched(tuple(dict.fromkeys(item.id for item in found if item is not None)), by, absent)


def write_list(path: Path, ids: Iterable[str]) -> None:
    """Write an item list as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing_whole(path, repeatable=True) as binary, text_of(binary) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id"])
        writer.writerows([key] for key in ids)


def _same(item: Item | None, one: Item) -> Item | None:
    return item if item is not None and item.label == one.label else None


def _files(wanted: Sequence[Item], release: Sequence[Item]) -> list[Item | None]:
    digests = readable_sha256s([item.path for item in release])
    known = {digest: item for digest, item in zip(digests, release, strict=True) if digest}
    return [known.get(digest) for digest in readable_sha256s([one.path for one in wanted])]


def _pixels(wanted: Sequence[Item], release: Sequence[Item]) -> list[Item | None]:
    """For each wanted picture, the item with the same label, size and pixels; only items that may match are decoded."""
    sizes = {(one.label, _size(one.path)) for one in wanted}
    groups: dict[tuple[str, tuple[int, int] | None], list[Item]] = defaultdict(list)
    for item in tqdm(release, desc="comparing pictures", unit="picture"):
        key = (item.label, _size(item.path))
        if key in sizes and key[1] is not None:
            groups[key].append(item)
    known = {key: {_digest(item.path): item for item in items} for key, items in groups.items()}
    return [known.get((one.label, _size(one.path)), {}).get(_digest(one.path)) for one in wanted]


def _size(path: Path) -> tuple[int, int] | None:
    """A picture's size, from the header of its file; None if it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _digest(path: Path) -> str:
    """The digest of a decoded picture; "" if it cannot be decoded."""
    try:
        return image_sha256(open_image(str(path)))
    except UnreadableImage:
        return ""

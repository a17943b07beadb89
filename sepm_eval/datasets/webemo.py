"""WebEmo: stock photos labelled with 25 emotions, which are grouped into seven (Panda et al., ECCV 2018).

The release has no pictures, only text: ``category.txt`` and lists of rows "URL id". ``test25.txt`` has 53,489 rows but
51,212 URLs; a URL that occurs again always has another class id, so an item is identified by class id and file name.
Pictures must be where ``sepm-eval download webemo`` puts them, ``images/test25/<id>/<file>``. Many have vanished from
the web since 2017; the existing ones are evaluated, and N says how many they are.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sepm_eval.datasets import Benchmark, Item, proportional, read_text, safe_path, whole
from sepm_eval.emotions import WEBEMO7, WEBEMO25, WEBEMO_CATEGORIES


def rows(folder: Path) -> list[tuple[str, int]]:
    """Read the URL and the class id of each row of test25.txt.

    Raises:
        ValueError: the file is missing or a row is broken.
    """
    return [_row(where, line) for where, line in _lines(folder)]


def links(folder: Path, limit: int | None = None) -> tuple[list[tuple[str, Path]], list[str]]:
    """List the URL and the file path of each row.

    Args:
        folder: the release's folder.
        limit: how many rows to read; None for all.

    Returns:
        The URL and path of each valid row, and an error message for each of the other rows.

    Raises:
        ValueError: the file is missing.
    """
    found, faults = [], []
    for where, line in _lines(folder)[:limit]:
        try:
            url, label = _row(where, line)
            found.append((url, place(folder, url, label)))
        except ValueError as error:
            faults.append(str(error))
    return found, faults


def _lines(folder: Path) -> list[tuple[str, str]]:
    path = folder / "test25.txt"
    lines = enumerate(read_text(path, "a WebEmo release").splitlines(), start=1)
    return [(f"{path}, line {number}", line) for number, line in lines if line.strip()]


def _row(where: str, line: str) -> tuple[str, int]:
    url, _, label = line.strip().rpartition(" ")
    if not url or label not in _IDS:
        raise ValueError(f"{where}: expected a URL and an id below 25, found {line!r}")
    return url, _IDS[label]


def place(folder: Path, url: str, label: int) -> Path:
    """The file path of the picture of a row.

    Raises:
        ValueError: the URL is invalid, or has no valid file name.
    """
    try:
        name = PurePosixPath(urlsplit(url).path).name
    except ValueError as error:
        raise ValueError(f"WebEmo: {url!r} is no URL: {error}") from error
    return safe_path(folder / "images" / "test25" / str(label), name, f"WebEmo, {url!r}")


def read25(folder: Path) -> list[Item]:
    """Read the test rows, labelled with the 25 emotions."""
    return [_item(folder, url, label, WEBEMO_CATEGORIES[label][0]) for url, label in rows(folder)]


def read7(folder: Path) -> list[Item]:
    """Read the test rows, labelled with the seven emotions of level 2."""
    return [_item(folder, url, label, WEBEMO_CATEGORIES[label][2]) for url, label in rows(folder)]


def _item(folder: Path, url: str, label: int, emotion: str) -> Item:
    path = place(folder, url, label)
    return Item(f"{label}/{path.name}", path, emotion)


_IDS = {str(number): number for number in range(len(WEBEMO_CATEGORIES))}
_COMMON = {
    "folder": "WEBEmo",
    "obtain": (
        "Get category.txt and test25.txt from the project page rpand002.github.io/emotion.html, put them there, and "
        "fetch the pictures: sepm-eval download webemo."
    ),
    "terms": "a list of links; the authors give no assurance on the rights in the stock photos",
    "partial": True,
    "links": links,
    "size": 53489,
    "licence": "no assurance",
}

BENCHMARKS = {
    name: Benchmark(
        name=name,
        title=f"WebEmo{len(names)}",
        names=names,
        read=read,
        lists={"test25": whole, "proportional2000": proportional(2000)},
        **_COMMON,  # type: ignore[arg-type]
    )
    for name, names, read in (("webemo25", WEBEMO25, read25), ("webemo7", WEBEMO7, read7))
}

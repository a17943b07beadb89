"""The explorer as files beside a report: they work from the file system, without a server or a network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from sepm_eval.report.links import ITEMS_PAGE
from sepm_eval.runs.outcomes import Run
from sepm_eval.view import PAGE, PARTS
from sepm_eval.view.catalog import Catalog, catalog
from sepm_eval.view.details import details
from sepm_eval.view.journals import Journals
from sepm_eval.view.pictures import is_turned

FOLDER = "items"
_READERS = 8  # threads that read the heads of pictures, which may lie on a slow disk
_ANSWERS = 400  # answers in one file, which is read whole when one of its items is opened


def write_items(runs: Sequence[Run], folders: Sequence[Path], out: Path, *, quiet: bool = True) -> Path:
    """Write the explorer of some finished runs.

    Args:
        runs: the result of ``read_runs(folders)``.
        folders: where the runs' journals are, from which the details are read.
        out: a report's folder; items.html and a folder "items" are written to it, in place of those of an earlier call.
        quiet: show no progress.

    Returns:
        The path of items.html. Pictures are not copied but linked to where the runs found them.
    """
    journals = Journals(folders)
    journals.read_on()
    shown = catalog(runs, notes=journals.flaws)
    answers = shown.answers_of()
    each = max(1, _ANSWERS * len(shown.items.keys) // max(1, sum(map(len, answers.values()))))
    place = out / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("[0-9]*.js"):
        old.unlink()
    for name in PARTS:
        (place / name).write_bytes((PAGE / name).read_bytes())
    parts = range(0, len(shown.items.keys), each)
    for first in tqdm(parts, "items", unit="file", disable=quiet):
        part = range(first, min(first + each, len(shown.items.keys)))
        content = json.dumps(details(shown, answers, part, journals), allow_nan=False)
        (place / f"{first // each}.js").write_text(f"view.takeItems({first // each}, {content});\n", encoding="utf-8")
    content = json.dumps(
        {
            **shown.as_json(),
            "follow": False,
            "reading": False,
            "where": "",
            "chunk": each,
            "pictures": _pictures(shown),
        },
        allow_nan=False,
    )
    (place / "list.js").write_text(f"view.takeList({content});\n", encoding="utf-8")
    page = out / ITEMS_PAGE
    page.write_bytes((PAGE / "index.html").read_bytes())
    return page


def _pictures(shown: Catalog) -> dict[str, object]:
    """Addresses of the pictures' files: their common start once, and the rest of each; "" for an item without one.

    Also the numbers of the pictures that a browser rotates, because it obeys EXIF in files whatever a page says.
    """
    paths = [os.path.abspath(path) if _is_path(path) else "" for path in shown.items.pictures]
    folders = sorted({os.path.dirname(path) for path in paths if path})
    root = os.path.commonpath(folders) if folders and len({Path(one).drive for one in folders}) == 1 else ""
    address = Path(root).as_uri().rstrip("/") + "/" if root else "file:///"
    with ThreadPoolExecutor(_READERS) as readers:
        turned = [number for number, one in enumerate(readers.map(is_turned, paths)) if one]
    return {"root": address, "files": list(_below(paths, root)), "turned": turned}


def _is_path(path: str) -> bool:
    return bool(path) and "\0" not in path and not path.startswith(("data:", "http:", "https:"))


def _below(paths: Sequence[str], root: str) -> Iterator[str]:
    start = len(root.rstrip(os.sep)) + 1 if root else 0
    for path in paths:
        yield quote(path[start:].replace(os.sep, "/"), errors="surrogatepass") if path else ""

"""Fetch data sets from the Hugging Face hub (``Benchmark.hub``) into the data folder, and check their columns.

We know their columns and files only from public code and web pages, and could not look at any of them. So columns are
checked, an error message prints the columns that were found, and the user can name others by ``sepm-eval prepare
--column``. A label that the benchmark does not have is refused later, when the items are read.

Parquet files become ``items.jsonl`` and ``images/``. Each file is read in small batches of rows, and a row's picture is
written before the next row is used. When a file is done, its rows are recorded in ``rows/``, so that a call after an
interruption skips finished files, and writes no picture twice.

The list of items or labels is removed before the first picture is written or replaced, and is put in place last. So a
set whose preparation was interrupted has no list, and is reported as missing; old labels never stand on new pictures.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from sepm_eval.datasets import Benchmark, HubCopy, Item, safe_path
from sepm_eval.datasets.converted import IMAGES, ITEMS, ROWS, rows
from sepm_eval.datasets.releases.archives import PICTURES, top_folders, unpack
from sepm_eval.datasets.releases.matching import match, write_list
from sepm_eval.digests import readable_sha256s, sha256_of
from sepm_eval.emotions import label_of
from sepm_eval.files import write_whole, writing_whole

logger = logging.getLogger(__name__)

PREFIX = "hf:"
_LISTS = (".json", ".csv")
_ROWS_AT_ONCE = 100


def fetch(benchmark: Benchmark, source: str, into: Path, columns: Mapping[str, str] | None = None) -> None:
    """Fetch a copy into a benchmark's folder; files in the hub's own cache are not fetched again.

    Args:
        benchmark: the benchmark of whose release the source is a copy.
        source: "hf:owner/name" or "hf:owner/name@revision" of one of the known copies.
        into: the data folder.
        columns: key of ``HubCopy.columns`` -> name of the column, where it is another than that expected.

    Raises:
        ValueError: the copy is unknown, cannot be fetched, or has other files or columns than expected.
        OSError: the disk is full, or a folder cannot be written; finished work is kept.
    """
    repository, _, revision = source.removeprefix(PREFIX).partition("@")
    known = {copy.repository: copy for copy in benchmark.hub}
    if repository not in known:
        there = [PREFIX + name for name in known] or "none"
        raise ValueError(f"{benchmark.name}: {source} is no known copy; there are {there}")
    copy = known[repository]
    if odd := set(columns or ()) - set(copy.columns):
        raise ValueError(
            f"--column {', '.join(sorted(odd))}: {source} is read for {list(copy.columns) or 'no columns'}"
        )
    snapshot = _snapshot(source, repository, revision or None, copy)
    files = [path for path in sorted(snapshot.rglob("*")) if path.is_file() and _wanted(path, snapshot, copy)]
    if not files:
        raise ValueError(f"{source} holds no file {' or '.join(copy.files)}; it has {_listing(repository, revision)}")
    tables = [path for path in files if path.suffix == ".parquet"]
    folder = into / (repository.rpartition("/")[2] if copy.item_list else benchmark.folder)
    if copy.columns:
        if not tables:
            raise ValueError(f"{source}: expected Parquet files, found {[path.name for path in files][:20]}")
        named = {what: (name,) for what, name in (columns or {}).items()}
        _convert(tables, copy, {**copy.columns, **named}, folder)
    if copy.item_list:
        _match(benchmark, copy, folder, into)
    if not copy.columns:
        _file(files, snapshot, copy, folder, into)


def _snapshot(source: str, repository: str, revision: str | None, copy: HubCopy) -> Path:
    """Fetch the needed files into the hub's cache, and return their folder; huggingface_hub shows progress and resumes.

    Raises:
        ValueError: the files cannot be fetched.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=list(copy.files))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError) as error:
        told = str(error).strip().splitlines()
        raise ValueError(
            f"{source} cannot be fetched ({type(error).__name__}: {told[0] if told else ''}). What was fetched is "
            "kept: call it again where the hub can be reached, without HF_HUB_OFFLINE, or give the folder of your own "
            "copy"
        ) from error


def _wanted(path: Path, snapshot: Path, copy: HubCopy) -> bool:
    return any(fnmatch(path.relative_to(snapshot).as_posix(), pattern) for pattern in copy.files)


def _listing(repository: str, revision: str) -> str:
    """The files of a repository in words, for a message; they are known only if the hub can be reached."""
    from huggingface_hub import list_repo_files

    try:
        found = list_repo_files(repository, repo_type="dataset", revision=revision or None)
    except Exception as error:
        return f"files that cannot be listed here ({type(error).__name__})"
    return f"{len(found)} files, such as {found[:20]}"


def _file(files: Sequence[Path], snapshot: Path, copy: HubCopy, folder: Path, into: Path) -> None:
    """Put the files into the benchmark's folder, the lists last; if a picture changes, the old lists are removed."""

    def remove_lists() -> None:
        for path in [path for path in folder.rglob("*") if path.suffix in _LISTS and _wanted(path, folder, copy)]:
            path.unlink()

    before = functools.cache(remove_lists)  # once is enough: no list is written until the last picture is there
    in_order = sorted(files, key=lambda path: path.suffix in _LISTS)
    for path in tqdm(in_order, desc=f"filing {copy.repository}", unit="file"):
        told = (lambda: None) if path.suffix in _LISTS else before
        _file_away(path, path.relative_to(snapshot), folder, into, told)


def _file_away(path: Path, name: Path, folder: Path, into: Path, before: Callable[[], object]) -> None:
    """Put a file from the hub's cache into the benchmark's folder; a zip file is unpacked.

    ``before`` is called before a file is written or replaced.

    If the only top folder in the zip file is the benchmark's folder, and the zip file is at the top of the copy, it is
    unpacked into the data folder. If the only top folder has the zip file's own name, it is unpacked into the folder
    where the zip file would be. Any other zip file is unpacked into a new folder with its name.
    """
    place = safe_path(folder, name.as_posix(), "the hub's list of files").parent
    if path.suffix == ".zip":
        tops = top_folders(path)
        if tops == {folder.name} and len(name.parts) == 1:
            unpack(path, into, before)
        else:
            unpack(path, place if tops == {path.stem} else place / path.stem, before)
        return
    target = place / path.name
    if target.is_file() and (target.samefile(path) or sha256_of(target) == sha256_of(path)):
        return
    before()
    place.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path.resolve(), target)
    except OSError:  # the cache is on another disk, or the system has no hard links
        with path.open("rb") as source, writing_whole(target, repeatable=True) as file:
            shutil.copyfileobj(source, file)


def _convert(tables: Sequence[Path], copy: HubCopy, columns: Mapping[str, tuple[str, ...]], folder: Path) -> None:
    """Write every row of the Parquet files as a picture and a line of JSON, in the format of ``converted.rows``.

    Raises:
        ValueError: a file is damaged, or its columns or rows are not as expected.
        OSError: the disk is full.
    """
    (folder / ROWS).mkdir(parents=True, exist_ok=True)
    whole: list[str] = []
    places = [folder / ROWS / f"{_version(table, columns)}.jsonl" for table in tables]
    for other in set((folder / ROWS).glob("*.jsonl")) - set(places):
        other.unlink()  # rows of another revision, whose pictures may be overwritten now
    noted = [_noted(notes, folder) for notes in places]
    if None in noted:
        (folder / ITEMS).unlink(missing_ok=True)
    for table, notes, lines in zip(tables, places, noted, strict=True):
        if lines is None:
            lines = list(_lines(table, copy, columns, folder, len(whole)))
            write_whole(notes, "\n".join(lines))
        whole += lines
    keys = [json.loads(line)["id"] for line in whole]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            f"{tables[0].parent}: {len(keys) - len(set(keys))} rows have an id that another has, {twice!r}"
        )
    if not whole:
        raise ValueError(f"{[path.name for path in tables]} hold no rows")
    write_whole(folder / ITEMS, "\n".join(whole) + "\n")


def _match(benchmark: Benchmark, copy: HubCopy, folder: Path, into: Path) -> None:
    """Write the item list that a copy defines, and report how many of its pictures are in the release.

    Raises:
        MissingData: the release is not in the data folder.
        ValueError: none of the pictures is in the release, or a row has no label of the benchmark.
    """
    pictures = []
    for where, key, path, row in rows(folder):
        label = label_of(str(row.get("label")))
        if label not in benchmark.names:
            raise ValueError(f"{where}: label {row.get('label')!r} of {key!r} is not one of {list(benchmark.names)}")
        pictures.append(Item(key, path, label))
    found = match(pictures, benchmark.read(benchmark.release()))
    if not found.ids:
        raise ValueError(
            f"{benchmark.name}: none of the {len(pictures)} pictures of {copy.repository} is in the release"
        )
    write_list(into / benchmark.folder / f"{copy.item_list}.csv", found.ids)
    logger.warning("%s, list %s: %s", benchmark.name, copy.item_list, found)


def _version(table: Path, columns: Mapping[str, tuple[str, ...]]) -> str:
    """A digest of a Parquet file's content and of the column names, which names the record of its rows."""
    told = json.dumps([sha256_of(table), sorted(columns.items())])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _noted(notes: Path, folder: Path) -> list[str] | None:
    """The lines of a file that an earlier call finished; None if there are none, or a picture is not as it was."""
    if not notes.is_file():
        return None
    lines = notes.read_text(encoding="utf-8").splitlines()
    try:
        noted = [json.loads(line) for line in lines]
        expected = [row["sha256"] for row in noted]
        found = readable_sha256s([folder / row["file"] for row in noted])
    except (OSError, ValueError, LookupError, TypeError):  # the record is damaged, or an older version's: read again
        return None
    return lines if found == expected else None


def _lines(
    table: Path, copy: HubCopy, columns: Mapping[str, tuple[str, ...]], folder: Path, before: int
) -> Iterator[str]:
    """Write each row's picture, and yield the row as a line of JSON; ``before`` counts the rows of earlier files."""
    import pyarrow
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(table)
        found = opened.schema_arrow.names
        used = {what: name for what, names in columns.items() if (name := next((n for n in names if n in found), ""))}
        if lacking := [what for what in columns if what not in used and what not in copy.optional]:
            told = ", ".join(f"{what} in {' or '.join(columns[what])}" for what in lacking)
            raise ValueError(
                f"it has the columns {found}; not found: {told}. If another column holds it, add "
                f"--column {lacking[0]}=ITS_NAME"
            )
        batches = opened.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(dict.fromkeys(used.values())))
        with tqdm(total=opened.metadata.num_rows, desc=table.name, unit="row") as bar:
            for batch in batches:
                for row in batch.to_pylist():
                    yield _line({what: row[name] for what, name in used.items()}, folder, before + int(bar.n))
                    bar.update()
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk; a damaged file has no errno
            raise
        raise ValueError(f"{table} is not the expected copy: {error}") from error


def _line(row: dict[str, Any], folder: Path, number: int) -> str:
    """Write a row's picture, unless it is already there, and return the row without its picture as JSON.

    Raises:
        ValueError: the row has no picture, or its id is neither a text nor a number.
    """
    picture = row.pop("picture")
    if isinstance(picture, list) and len(picture) == 1:
        picture = picture[0]
    content = picture.get("bytes") if isinstance(picture, dict) else None
    if not isinstance(content, bytes):
        raise ValueError(f"row {number} has no picture's bytes, but {str(picture)[:100]!r}")
    name = str(picture.get("path") or "")
    if "id" in row:
        key = row.pop("id")
    else:
        known = PurePosixPath(name)
        key = (known.name if known.is_absolute() or ".." in known.parts else name) or number
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        raise ValueError(f"the id of row {number} is {key!r}, no text and no number")
    suffix = next((s for s in (Path(str(key)).suffix.lower(), Path(name).suffix.lower()) if s in PICTURES), ".jpg")
    stem = str(key)[: -len(suffix)] if str(key).lower().endswith(suffix) else str(key)
    if stem.isdigit():  # spreadsheets and pandas would read it as a number, and lose leading zeros
        stem = f"picture_{stem}"
    path = safe_path(folder / IMAGES, f"{stem}{suffix}", "the column of ids")
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, repeatable=True)
    digest = hashlib.sha256(content).hexdigest()
    about = {"id": stem, "file": path.relative_to(folder).as_posix(), "sha256": digest, **row}
    return json.dumps(about, default=str)

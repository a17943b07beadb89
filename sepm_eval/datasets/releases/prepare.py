"""Check a benchmark's release picture by picture, and write it as Parquet and as TSV, with a manifest.

The work is done in shards. Each shard is written atomically, and then a small report of it. So an interrupted run
continues with the first shard that has no report, or whose file or pictures differ from its report, and another call of
``prepare`` repairs what ``verify`` finds. Pictures are read by threads and written in small row groups, so memory does
not grow with the size of the data set.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sepm_eval.datasets import Benchmark, Item, data_folder, safe_path
from sepm_eval.datasets.releases.tsv import write_tsv
from sepm_eval.digests import readable_sha256s, sha256_of
from sepm_eval.files import text_of, write_whole, writing_whole
from sepm_eval.images import UnreadableImage, open_image

MANIFEST = "manifest.json"
ITEMS = "items.csv"
SHARD = 2000  # pictures per file
ROW_GROUP = 100  # pictures in memory at a time


@dataclass(frozen=True)
class _Checked:
    """One picture after the check: its bytes, its digest ("" if the file cannot be read), and its problem, if any."""

    item: Item
    content: bytes
    sha256: str
    problem: str | None


def prepare(benchmark: Benchmark, out: Path, chosen: str | None = None, workers: int = 4) -> dict[str, Any]:
    """Check every picture of a list and write ``test-*.parquet``, a TSV, ``items.csv`` and ``manifest.json``.

    Unreadable pictures are left out of these files and named in the manifest. ``items.csv`` (id, path in the release,
    label, sha256) is the item list as a file, which can be given wherever an item list is expected. The TSV is in
    VLMEvalKit's format; it is written only for benchmarks that ask the same question about all pictures.

    Args:
        benchmark: the benchmark; its release must be in the data folder.
        out: the folder to write to.
        chosen: the item list, as for ``Benchmark.items``.
        workers: how many pictures are read at the same time.

    Returns:
        The manifest.

    Raises:
        MissingData: see ``Benchmark.items``.
        ValueError: see ``Benchmark.items``.
        OSError: see ``Benchmark.items``; or the disk is full.
    """
    chosen = chosen or benchmark.chosen_list()
    items = benchmark.items(chosen)
    out.mkdir(parents=True, exist_ok=True)
    reports = []
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(items), desc=benchmark.name, unit="picture") as bar:
        for number, start in enumerate(range(0, len(items), SHARD)):
            part = items[start : start + SHARD]
            file = out / f"test-{number:05d}.parquet"
            reports.append(_finished(file, part) or _write_shard(pool, file, part, bar))
            bar.update(start + len(part) - bar.n)
    manifest = _manifest(benchmark, chosen, items, reports)
    if manifest["n"] and not benchmark.own_questions:
        readable = [item for item in items if item.id not in manifest["unreadable"]]
        table = _write_table(out / f"{benchmark.table_name}.tsv", benchmark, readable, chosen)
        manifest["files"][table["file"]] = table["sha256"]
    written = {out / name for report in reports for name in (report["file"], f"{report['file']}.json")}
    for stale in set(out.glob("test-[0-9][0-9][0-9][0-9][0-9].*")) - written:
        stale.unlink()
    _write_list(out / ITEMS, benchmark, items, reports)
    _write_json(out / MANIFEST, manifest)
    return manifest


def verify(folder: Path) -> list[str]:
    """Compare the files that ``prepare`` wrote with their manifest.

    Returns:
        The problems, one sentence each; empty if all files are as they were written.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: the manifest is damaged.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(f"{folder} has no {MANIFEST}")
    try:
        files = dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
        paths = {name: safe_path(folder, name, str(manifest)) for name in files}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{manifest} is damaged ({error!r}): prepare the release again") from error
    problems = []
    for name, expected in files.items():
        path = paths[name]
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != expected:
            problems.append(f"{name} has changed since it was written")
    return problems


def prepared_folder(name: str) -> Path:
    """The folder that ``prepare`` writes to by default."""
    return data_folder() / "prepared" / name


def _check(item: Item) -> _Checked:
    try:
        content = item.path.read_bytes()
    except OSError as error:
        return _Checked(item, b"", "", str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        open_image(io.BytesIO(content), name=str(item.path))
    except UnreadableImage as error:
        return _Checked(item, b"", digest, str(error))
    return _Checked(item, content, digest, None)


def _write_shard(pool: ThreadPoolExecutor, file: Path, items: Sequence[Item], bar: Any) -> dict[str, Any]:
    import pyarrow
    from datasets import Features, Image, Value
    from pyarrow import parquet

    columns = ("id", "image", "label", "sha256")
    features = Features({name: Image() if name == "image" else Value("string") for name in columns})
    digests: dict[str, str] = {}
    problems: dict[str, str] = {}
    pictures: list[str] = []
    with writing_whole(file, repeatable=True) as whole, parquet.ParquetWriter(whole, features.arrow_schema) as writer:
        checked = _in_order(pool, items)
        while group := list(islice(checked, ROW_GROUP)):
            good = [one for one in group if one.problem is None]
            rows = [
                {
                    "id": one.item.id,
                    "image": {"bytes": one.content, "path": one.item.path.name},
                    "label": one.item.label,
                    "sha256": one.sha256,
                }
                for one in good
            ]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=features.arrow_schema))
            pictures += [one.sha256 for one in group]
            digests |= {one.item.id: one.sha256 for one in good}
            problems |= {one.item.id: one.problem for one in group if one.problem is not None}
            bar.update(len(group))
    report = {
        "file": file.name,
        "items": _items_sha256(items, pictures),
        "sha256": sha256_of(file),
        "digests": digests,
        "problems": problems,
    }
    _write_json(file.with_name(f"{file.name}.json"), report)
    return report


def _in_order(pool: ThreadPoolExecutor, items: Sequence[Item]) -> Iterator[_Checked]:
    """Check the pictures in parallel, one row group after another, and yield the results in the order of the items."""
    for start in range(0, len(items), ROW_GROUP):
        yield from pool.map(_check, items[start : start + ROW_GROUP])


def _finished(file: Path, items: Sequence[Item]) -> dict[str, Any] | None:
    """The report of a file that an earlier run finished; None if the file, the items or the pictures have changed."""
    path = file.with_name(f"{file.name}.json")
    if not file.is_file() or not path.is_file():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        told = report["items"], report["sha256"]
        same = told == (_items_sha256(items, readable_sha256s([item.path for item in items])), sha256_of(file))
        return report if same else None
    except (ValueError, LookupError, TypeError, RecursionError):  # the report is damaged: write the shard again
        return None


def _write_table(file: Path, benchmark: Benchmark, items: Sequence[Item], chosen: str) -> dict[str, Any]:
    """Write the TSV, unless an earlier run finished it with these items; return its report."""
    found = _finished(file, items)
    about = {"item_list": chosen, "release": str(benchmark.release().absolute())}
    if found is not None and about.items() <= found.items():
        return found
    write_tsv(file, benchmark, items, chosen)
    pictures = readable_sha256s([item.path for item in items])
    report = {"file": file.name, "items": _items_sha256(items, pictures), "sha256": sha256_of(file), **about}
    _write_json(file.with_name(f"{file.name}.json"), report)
    return report


def _manifest(
    benchmark: Benchmark, chosen: str, items: Sequence[Item], reports: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    digests = {key: digest for report in reports for key, digest in report["digests"].items()}
    problems = {key: problem for report in reports for key, problem in report["problems"].items()}
    same: dict[str, list[str]] = defaultdict(list)
    for key, digest in digests.items():
        same[digest].append(key)
    counts = Counter(item.label for item in items if item.id in digests)
    return {
        "benchmark": benchmark.name,
        "item_list": chosen,
        "items_sha256": _items_sha256(items, readable_sha256s([item.path for item in items])),
        "n": len(digests),
        "per_class": {label: counts[label] for label in benchmark.names},
        "unreadable": problems,
        "duplicates": [ids for ids in same.values() if len(ids) > 1],
        "files": {report["file"]: report["sha256"] for report in reports},
        "sepm_eval": version("sepm-eval"),
    }


def _write_list(path: Path, benchmark: Benchmark, items: Sequence[Item], reports: Sequence[dict[str, Any]]) -> None:
    digests = {key: digest for report in reports for key, digest in report["digests"].items()}
    folder = benchmark.release()
    with writing_whole(path, repeatable=True) as binary, text_of(binary) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "path", "label", "sha256"])
        for item in items:
            if item.id in digests:
                writer.writerow([item.id, item.path.relative_to(folder).as_posix(), item.label, digests[item.id]])


def _items_sha256(items: Sequence[Item], pictures: Sequence[str]) -> str:
    """Digest of a list of items in their order: of their ids, labels, file names and the digests of their files."""
    rows = [[i.id, i.label, i.path.name, picture] for i, picture in zip(items, pictures, strict=True)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False), repeatable=True)

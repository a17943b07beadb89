"""Known copies of the releases on the Hugging Face hub, brought into the official layout.

All are unofficial uploads; what their columns hold is known from their pages only, so they are checked, and a label
that is not the benchmark's is refused. The official release is the first choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sepm_eval.datasets import Benchmark, inside
from sepm_eval.datasets.releases.prepare import unpack
from sepm_eval.files import write_whole

PREFIX = "hf:"


@dataclass(frozen=True)
class Copy:
    """A copy on the hub: a zip of the release, or Parquet files of the test split.

    Attributes:
        repository: its id.
        files: pattern of the files needed.
        columns: for Parquet, the names of the columns with picture, id and label.
    """

    repository: str
    files: str
    columns: tuple[str, str, str] | None = None


COPIES = {
    "emoset": (Copy("Woleek/EmoSet-118K", "*test*.parquet", ("image", "image_id", "emotion")),),
    "emotion6": (Copy("wudq/Small-Scale_VSA_Datasets", "*Emotion6.zip"),),
}


def fetch(benchmark: Benchmark, source: str, into: Path) -> Path:
    """Bring a copy into the official layout below a data folder.

    Args:
        benchmark: which release it is a copy of.
        source: "hf:owner/name", one of the known copies.
        into: the data folder.

    Returns the data folder.

    Raises:
        ValueError: an unknown copy, or one whose files or columns are not the expected ones.
    """
    from huggingface_hub import snapshot_download

    repository = source.removeprefix(PREFIX)
    known = {copy.repository: copy for copy in COPIES.get(benchmark.name, ())}
    if repository not in known:
        there = [PREFIX + name for name in known] or "none"
        raise ValueError(f"{benchmark.name}: {source} is no known copy; there are {there}")
    copy = known[repository]
    snapshot = Path(snapshot_download(repository, repo_type="dataset", allow_patterns=copy.files))
    files = sorted(snapshot.rglob(copy.files))
    if not files:
        raise ValueError(f"{source} holds no file {copy.files}")
    if copy.columns is None:
        return unpack(files[0], into)
    _emoset_from_parquet(files, copy.columns, into / benchmark.folder, benchmark)
    return into


def _emoset_from_parquet(files: list[Path], columns: tuple[str, str, str], folder: Path, benchmark: Benchmark) -> None:
    """Write rows of (picture, id, label) as image/<label>/<id>.jpg and test.json."""
    import pyarrow
    from pyarrow import parquet

    listed: list[list[str]] = []
    for path in files:
        try:
            opened = parquet.ParquetFile(path)
            missing = set(columns) - set(opened.schema_arrow.names)
            if missing:
                raise ValueError(f"it has the columns {opened.schema_arrow.names}, not {sorted(missing)}")
            batches = opened.iter_batches(batch_size=100, columns=list(columns))
            for batch in tqdm(batches, desc=path.name, unit="hundred"):
                listed += [_write(row, columns, folder, benchmark) for row in batch.to_pylist()]
        except (pyarrow.ArrowException, ValueError, OSError) as error:
            if (
                isinstance(error, OSError) and error.errno is not None
            ):  # the disk failed; damage of the Parquet file has no errno
                raise
            raise ValueError(f"{path} is not the expected copy: {error}") from error
    if not listed:
        raise ValueError(f"{[path.name for path in files]} hold no rows")
    write_whole(folder / "test.json", json.dumps(listed))


def _write(row: dict[str, Any], columns: tuple[str, str, str], folder: Path, benchmark: Benchmark) -> list[str]:
    image, key, label = (row[column] for column in columns)
    if not isinstance(label, str) or label not in benchmark.names:
        raise ValueError(f"label {label!r} of {key!r} is not one of {list(benchmark.names)}")
    content = image.get("bytes") if isinstance(image, dict) else None
    if not isinstance(content, bytes) or not isinstance(key, (str, int)):
        raise ValueError(f"the row {key!r} has no id or no picture's bytes")
    name = str(key).removesuffix(".jpg")
    place = f"image/{label}/{name}.jpg"
    path = inside(folder, place, "the column of ids")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.stat().st_size != len(content):
        path.write_bytes(content)
    return [label, place, f"annotation/{label}/{name}.json"]

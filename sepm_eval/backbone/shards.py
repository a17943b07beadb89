"""Which files of a folder hold its weights, and whether they are complete, from headers alone; nothing is loaded."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

_LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors library
# Bytes per number by the name of its type, in safetensors and in torch's own format.
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_STORAGES = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2}
_AGAIN = "download the checkpoint again"


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights, found in the order in which transformers looks for them.

    These are ``model.safetensors``, or the shards that its index names, or any other ``*.safetensors``; if there are
    none, ``pytorch_model.bin``, its shards, or any other ``pytorch_model*.bin``.

    Raises:
        FileNotFoundError: the folder holds no weights, or a shard is missing.
        ValueError: an index is damaged.
    """
    for whole, others in (("model.safetensors", "*.safetensors"), ("pytorch_model.bin", "pytorch_model*.bin")):
        single, index = folder / whole, folder / f"{whole}.index.json"
        if single.is_file():
            return [single]
        if index.is_file():
            shards = sorted({folder / shard for shard in _weight_map(index).values()})
            for path in shards:
                if not path.is_file():
                    raise FileNotFoundError(f"{path} is missing, which {index.name} names: {_AGAIN}")
            return shards
        if found := sorted(path for path in folder.glob(others) if path.is_file()):
            return found
    raise FileNotFoundError(f"{folder} holds no weights (*.safetensors or pytorch_model*.bin): {_AGAIN}")


def check_files(folder: Path) -> None:
    """Check that the weights of a folder are complete and undamaged, as far as sizes and headers tell.

    Raises:
        FileNotFoundError: there are no weights, or a shard that the index names is missing.
        ValueError: a file is empty, cut off or damaged, or lacks a tensor that the index says it holds.
    """
    files = weight_files(folder)
    for path in files:
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty: {_AGAIN}")
    held = {path.name: _names(path) for path in files}
    whole = "pytorch_model.bin" if files[0].suffix == ".bin" else "model.safetensors"
    index = folder / f"{whole}.index.json"
    if index.is_file() and files != [folder / whole]:
        for tensor, shard in _weight_map(index).items():
            names = held[shard]
            if names is not None and tensor not in names:
                raise ValueError(
                    f"{folder / shard} lacks the tensor {tensor!r}, which {index.name} says it holds: "
                    f"it may be of another checkpoint; {_AGAIN}"
                )


def bytes_in_memory(folder: Path, bytes_a_number: float) -> int:
    """How many bytes of memory the weights of a folder take, from headers and sizes; nothing is loaded.

    A ``.bin`` file is assumed to hold only the widest type of number that it names, so its weights may take more memory
    than computed, but not less.

    Args:
        folder: where the files are.
        bytes_a_number: bytes per floating-point number in memory. Other numbers, as in quantised checkpoints, take as
            many bytes as they are stored in.

    Raises:
        FileNotFoundError: see ``check_files``.
        ValueError: see ``check_files``.
    """
    return int(sum(_in_memory(path, bytes_a_number) for path in weight_files(folder)))


def _in_memory(path: Path, bytes_a_number: float) -> float:
    if path.suffix == ".bin":
        stored = max((_STORAGES[word] for word in _pickled(path) or () if word in _STORAGES), default=4)
        return path.stat().st_size / stored * bytes_a_number
    need, described = 0.0, _tensors(path)
    try:
        for about in described.values():
            size = about["data_offsets"][1] - about["data_offsets"][0]
            need += size / _FLOATS[about["dtype"]] * bytes_a_number if about["dtype"] in _FLOATS else size
    except (LookupError, TypeError) as error:
        raise ValueError(f"{path} is not a whole safetensors file ({type(error).__name__}): {_AGAIN}") from error
    return need


def _names(path: Path) -> Collection[str] | None:
    """Names of a file's tensors, for a ``.bin`` mixed with other words; None if they are only known by loading it."""
    return _tensors(path).keys() if path.suffix == ".safetensors" else _pickled(path)


def _weight_map(index: Path) -> dict[str, str]:
    """The file name of each tensor; all files are in the index's own folder."""
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = set(found.values())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index} is no index of weights ({type(error).__name__}): {_AGAIN}") from error
    for shard in shards:
        if not isinstance(shard, str) or not shard.endswith((".safetensors", ".bin")) or Path(shard).name != shard:
            raise ValueError(f"{index} is no index of weights (it names the file {shard!r}): {_AGAIN}")
    return found


def _tensors(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, which is: eight bytes with the header's length, the header as JSON, tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LONGEST_HEADER + 1
        if length > min(_LONGEST_HEADER, size - 8):
            raise ValueError(f"{path} is not a whole safetensors file (a header of {length} bytes): {_AGAIN}")
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = max((int(about["data_offsets"][1]) for about in header.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file ({type(error).__name__}): {_AGAIN}") from error
    if 8 + length + end != size:
        how = "is cut off" if 8 + length + end > size else "is longer than its header says"
        raise ValueError(f"{path} {how} ({size} bytes, not {8 + length + end}): {_AGAIN}")
    return header


def _pickled(path: Path) -> set[str] | None:
    """All words in the pickle that describes a ``.bin`` file's tensors, read without running it; None before torch 1.6.

    Since torch 1.6 such a file is a zip archive with its table of contents at the end: a file that is cut off has none.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80":  # a bare pickle, as torch wrote before release 1.6
        return None
    if start != b"PK":
        raise ValueError(f"{path} is not a file of weights (it begins with {start!r}): {_AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            (inside,) = (name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl")
            described = pickletools.genops(archive.read(inside))
            words = [argument for _, argument, _ in described if isinstance(argument, str)]
    except Exception as error:  # whatever these readers raise for a damaged archive
        raise ValueError(f"{path} is cut off or damaged ({type(error).__name__}: {error}): {_AGAIN}") from error
    return {part for word in words for part in (word, *word.split(" "))}

"""Which files of a folder hold its weights, and whether they are whole: seen from their headers, nothing is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

_LONGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it
_AGAIN = "download the checkpoint again"


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights, found in the order in which transformers looks for them.

    These are ``model.safetensors``, or the shards that its index names, or any other ``*.safetensors``; where there are
    none, ``pytorch_model.bin`` and so on.

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
    """See that the weights of a folder are all there and whole, as far as sizes and headers say.

    Raises:
        FileNotFoundError: there are no weights, or a shard that the index names is missing.
        ValueError: a file is empty, cut off or damaged, or is not the shard that the index takes it for.
    """
    files = weight_files(folder)
    for path in files:
        if not path.stat().st_size:
            raise ValueError(f"{path} is empty: {_AGAIN}")
    held = {path.name: _tensors(path) for path in files if path.suffix == ".safetensors"}
    index = folder / "model.safetensors.index.json"
    if held and index.is_file() and files != [folder / "model.safetensors"]:
        for tensor, shard in _weight_map(index).items():
            if tensor not in held[shard]:
                raise ValueError(
                    f"{folder / shard} lacks the tensor {tensor!r}, which {index.name} says it holds: "
                    f"it may be of another checkpoint; {_AGAIN}"
                )


def _weight_map(index: Path) -> dict[str, str]:
    """File by tensor, all in the index's own folder."""
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
    """The header of a safetensors file: its length in eight bytes, JSON, and then nothing but the tensors."""
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

"""From what a user calls a model to a folder on disk and what identifies it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sepm_eval import demo

_EDGE = 1 << 20  # bytes read at either end of a file
_PATTERNS = ["*.json", "*.model", "*.safetensors", "*.bin", "*.jinja"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: as the user wrote it.
        folder: where its files are.
        revision: the hub commit, or for a folder "files-" and a digest of its files' names, sizes and first and last
            MiB (reading 14 GB whole would take longer than a small run).
    """

    name: str
    folder: Path
    revision: str

    def config(self) -> dict[str, Any]:
        """The folder's config.json.

        Raises:
            FileNotFoundError: there is none, so the folder is no checkpoint.
            ValueError: it is not a JSON object.
        """
        path = self.folder / "config.json"
        if not path.is_file():
            held = sorted(entry.name for entry in self.folder.iterdir())[:8]
            raise FileNotFoundError(f"{self.folder} is not a model checkpoint: no config.json (it holds {held})")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{path} holds a JSON {type(config).__name__}, not an object")
        return config


def find_checkpoint(pretrained: str) -> Checkpoint:
    """Find a checkpoint by folder, hub id ("owner/name" or "owner/name@revision") or the word "demo".

    Hub files go through ``huggingface_hub`` and its cache; HF_HUB_OFFLINE and HF_TOKEN work as everywhere.

    Raises:
        FileNotFoundError: no such folder, and not the form of a hub id; or the hub does not have it or is out of reach.
    """
    if pretrained == "demo":
        return Checkpoint("demo", demo.MODEL, _fingerprint(demo.MODEL))
    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        return Checkpoint(pretrained, folder, _fingerprint(folder))
    repository, _, revision = pretrained.partition("@")
    if folder.is_absolute() or pretrained.startswith(".") or repository.count("/") != 1:
        raise FileNotFoundError(
            f"no checkpoint {pretrained!r}: give a folder, a hub id such as llava-hf/llava-1.5-7b-hf, or demo"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        snapshot = Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=_PATTERNS,
                local_files_only=constants.HF_HUB_OFFLINE,  # or hub 1.x asks the network for a commit it has
            )
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise FileNotFoundError(
            f"{pretrained} could not be had from the Hugging Face hub ({type(error).__name__}: {error}). "
            "Without a network, give pretrained=FOLDER of a checkpoint, or pretrained=demo to try the plug-in"
        ) from error
    return Checkpoint(pretrained, snapshot, snapshot.name)


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_EDGE))
            file.seek(max(size - _EDGE, 0))
            digest.update(file.read(_EDGE))
    return f"files-{digest.hexdigest()[:16]}"

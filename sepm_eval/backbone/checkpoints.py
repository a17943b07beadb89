"""From the name that a user gives a model to a folder on disk, and what identifies the folder's contents."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sepm_eval import demo
from sepm_eval.backbone.shards import check_files
from sepm_eval.digests import file_sha256s

# The files that loading reads: configuration, tokenizer, processor, chat template and weights.
_PATTERNS = ["*.json", "*.model", "*.safetensors", "*pytorch_model*.bin", "*.jinja"]
_PATTERNS += ["merges.txt", "vocab.txt"]  # of a tokenizer without tokenizer.json
_TRAINING = ("trainer_state.json",)  # files that match these patterns, but that only training reads
_NESTED = ("llm", "mm_projector", "vision_tower")  # VILA's parts; no other folder inside a checkpoint is read
_NOWHERE = "no checkpoint {!r}: give a folder, a hub id such as llava-hf/llava-1.5-7b-hf, or demo"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: as the user wrote it.
        folder: where its files are.
        revision: the hub commit, or for a folder "files-" and a digest of the names and whole contents of the files
            that determine an answer. If the vision tower is a checkpoint of its own, "+" and its revision follow.
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
        return _config(self.folder)

    def with_tower(self, tower: Checkpoint) -> Checkpoint:
        """The same checkpoint, with the tower's revision added to its own."""
        return replace(self, revision=f"{self.revision}+{tower.revision}")


def find_checkpoint(pretrained: str) -> Checkpoint:
    """Find a checkpoint by folder, hub id ("owner/name" or "owner/name@revision") or the word "demo".

    Hub files go through ``huggingface_hub`` and its cache; HF_HUB_OFFLINE and HF_TOKEN work as usual.

    Raises:
        FileNotFoundError: the name is neither a folder nor of the form of a hub id; the hub does not have it or cannot
            be reached; or it has no config.json, no weights, or not all of them.
        ValueError: its config.json is not a JSON object, or a weights file is damaged (see ``check_files``).
    """
    return _find(pretrained, download=True)


def peek_checkpoint(pretrained: str) -> Checkpoint:
    """Find a checkpoint, of which the hub need only provide config.json, to read it before weights are downloaded.

    Raises:
        FileNotFoundError: see ``find_checkpoint``.
        ValueError: see ``find_checkpoint``.
    """
    return _find(pretrained, download=False)


def cached_checkpoint(pretrained: str) -> Checkpoint | None:
    """Find a hub checkpoint in the local cache, without downloading anything; None if it is not there.

    Args:
        pretrained: a hub id, "owner/name" or "owner/name@revision".

    Raises:
        FileNotFoundError: a file that the checkpoint needs is missing in the cache.
        ValueError: a file is damaged; see ``find_checkpoint``.
    """
    import huggingface_hub

    repository, _, revision = pretrained.partition("@")
    found = huggingface_hub.try_to_load_from_cache(repository, "config.json", revision=revision or None)
    if not isinstance(found, str):
        return None
    snapshot = Path(found).parent
    _check_weights(snapshot)
    return Checkpoint(pretrained, snapshot, snapshot.name)


def find_tower(checkpoint: Checkpoint, tower: str) -> Checkpoint:
    """Find the vision tower of the original LLaVA layout: a folder (as named, in or beside the checkpoint) or hub id.

    Raises:
        FileNotFoundError: see ``find_checkpoint``.
        ValueError: see ``find_checkpoint``.
    """
    return _find(_tower_place(checkpoint, tower), download=True)


def checkpoint_revision(pretrained: str) -> str:
    """The revision a backbone would have, without loading or downloading any weights.

    For a hub id, only config.json is requested, and the revision is its commit. If HF_HUB_OFFLINE is set, the weights
    must be in the cache, because they could not be downloaded later.

    Args:
        pretrained: see ``find_checkpoint``.

    Raises:
        FileNotFoundError: see ``find_checkpoint``.
        ValueError: see ``find_checkpoint``.
    """
    checkpoint = _find(pretrained, download=False)
    config = checkpoint.config()
    tower = config.get("mm_vision_tower")
    if isinstance(tower, str) and "vision_tower_cfg" not in config:  # VILA's tower lies inside the checkpoint
        checkpoint = checkpoint.with_tower(_find(_tower_place(checkpoint, tower), download=False))
    return checkpoint.revision


def local_folder(pretrained: str) -> Path:
    """The folder of a checkpoint if it is the demo's or one on disk; for a hub id, a folder that is not there."""
    return demo.MODEL if pretrained == "demo" else Path(pretrained).expanduser()


def _find(pretrained: str, *, download: bool) -> Checkpoint:
    """Find a checkpoint; from the hub, fetch all files or only config.json, whose path contains the commit."""
    if pretrained == "demo":
        return Checkpoint("demo", demo.MODEL, _revision(demo.MODEL))
    try:
        folder = Path(pretrained).expanduser()
    except RuntimeError as error:  # there is no such user
        raise FileNotFoundError(_NOWHERE.format(pretrained)) from error
    if folder.is_dir():
        return Checkpoint(pretrained, folder, _revision(folder))
    if folder.is_file():
        raise FileNotFoundError(f"{pretrained} is a file; give the folder that holds the checkpoint")
    repository, _, revision = pretrained.partition("@")
    if folder.is_absolute() or pretrained.startswith((".", "~")) or repository.count("/") != 1 or "\0" in pretrained:
        raise FileNotFoundError(_NOWHERE.format(pretrained))
    snapshot, offline = _snapshot(pretrained, repository, revision or None, download=download)
    _config(snapshot)
    if download or offline:
        _check_weights(snapshot)
    return Checkpoint(pretrained, snapshot, snapshot.name)


def _snapshot(pretrained: str, repository: str, revision: str | None, *, download: bool) -> tuple[Path, bool]:
    """The folder of a commit in the hub's cache, and whether only the cache was used."""
    import httpx
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = constants.HF_HUB_OFFLINE  # passed on: hub 1.x asks the network for a commit it has
    where: dict[str, Any] = {"revision": revision, "local_files_only": offline}
    try:
        if download:
            snapshot = huggingface_hub.snapshot_download(repository, allow_patterns=_PATTERNS, **where)
            return Path(snapshot), offline
        return Path(huggingface_hub.hf_hub_download(repository, "config.json", **where)).parent, offline
    except (OSError, HfHubHTTPError, HFValidationError, httpx.HTTPError) as error:
        unreached = isinstance(error, LocalEntryNotFoundError)  # its message advises an argument of huggingface_hub
        if offline and unreached:
            why = (
                f"HF_HUB_OFFLINE is set, so only the cache {constants.HF_HUB_CACHE} was looked into. "
                f"Unset HF_HUB_OFFLINE, or fill the cache where there is a network (hf download {repository})"
            )
        elif unreached:
            why = "the hub cannot be reached, and the cache does not hold it. Where there is a network: hf download "
            why += repository
        else:
            why = f"{type(error).__name__}: {error}"
        raise FileNotFoundError(
            f"{pretrained} could not be downloaded from the Hugging Face hub: {why}. "
            "Without a network, give a folder that holds a checkpoint, or pretrained=demo to try the plug-in"
        ) from error


def _tower_place(checkpoint: Checkpoint, tower: str) -> str:
    beside = checkpoint.folder.parent
    places = (checkpoint.folder / tower, beside / tower, beside / Path(tower).name)
    return next((str(place) for place in places if place.is_dir()), tower)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        held = sorted(entry.name for entry in folder.iterdir())[:8] if folder.is_dir() else "nothing"
        raise FileNotFoundError(f"{folder} is not a model checkpoint: no config.json (it holds {held})")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a JSON {type(config).__name__}, not an object")
    return config


def _revision(folder: Path) -> str:
    """What identifies a folder's files, after checking that the checkpoint is complete."""
    _config(folder)
    _check_weights(folder)
    files = {
        path.relative_to(folder).as_posix(): path
        for place in (folder, *(folder / part for part in _NESTED))
        for path in (place.iterdir() if place.is_dir() else ())
        if any(fnmatch(path.name, pattern) for pattern in _PATTERNS) and path.name not in _TRAINING and path.is_file()
    }
    names = sorted(files)
    digest = hashlib.sha256()
    for name, sha256 in zip(names, file_sha256s([files[name] for name in names]), strict=True):
        digest.update(f"{name}\0{sha256}\n".encode("utf-8", "surrogateescape"))
    return f"files-{digest.hexdigest()[:16]}"


def _check_weights(folder: Path) -> None:
    nested = [folder / part for part in _NESTED if (folder / part).is_dir()]
    for place in nested if folder / "llm" in nested else [folder]:
        check_files(place)

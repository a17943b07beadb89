"""Placeholder pictures, which a site returns for pictures that were taken down: the same file for many links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sepm_eval.digests import readable_sha256s

NAMES = 3  # a picture with two file names may have been uploaded twice; one with three is taken as a placeholder


def placeholders(paths: Sequence[Path]) -> set[Path]:
    """Find the files whose content occurs under at least three different file names.

    Folders are ignored: a picture that a release lists under two labels is one file name in two folders. Files that
    cannot be read are not included.
    """
    same: dict[str, list[Path]] = defaultdict(list)
    for path, digest in zip(paths, readable_sha256s(paths), strict=True):
        if digest:
            same[digest].append(path)
    return {path for group in same.values() if len({path.name for path in group}) >= NAMES for path in group}

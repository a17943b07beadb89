"""Pictures that stand in for others which were taken down: one file that many links give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sepm_eval.digests import readable_sha256s

NAMES = 3  # a picture under two names may have been uploaded twice; under three it is taken for a placeholder


def placeholders(paths: Sequence[Path]) -> set[Path]:
    """Those of the files whose content stands under at least three different file names.

    The folder does not count: a picture that a release lists under two labels is one file name in two folders. Files
    that cannot be read are not among them.
    """
    same: dict[str, list[Path]] = defaultdict(list)
    for path, digest in zip(paths, readable_sha256s(paths), strict=True):
        if digest:
            same[digest].append(path)
    return {path for group in same.values() if len({path.name for path in group}) >= NAMES for path in group}

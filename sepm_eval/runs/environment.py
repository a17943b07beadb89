"""What a run ran on: package versions, the commit of this code, the devices. Environment variables are not recorded."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

# Packages whose version can change an answer. Pillow is one of them: its resizing changed in version 13
# (docs/verification.md).
DECISIVE = ("sepm-eval", "torch", "transformers", "tokenizers", "pillow")


def decisive_versions() -> dict[str, str]:
    """Versions of the packages that can change an answer of our models, as far as they are installed."""
    return _installed(DECISIVE)


def versions() -> dict[str, str]:
    """Versions of the packages that can change an answer, of lmms-eval if it is installed, and of Python."""
    return {**_installed((*DECISIVE, "lmms-eval")), "python": platform.python_version()}


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The git commit of this code, with "-dirty" if a checkout has uncommitted changes; None if it is not known."""
    folder = Path(__file__).parent
    try:
        describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        tracked = ["git", "-C", str(folder), "ls-files", "--error-unmatch", "environment.py"]
        subprocess.run(tracked, capture_output=True, check=True, timeout=10)
        return subprocess.run(describe, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        source = json.loads(distribution("sepm-eval").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    return source.get("vcs_info", {}).get("commit_id")


def devices() -> list[str]:
    """Names of the accelerators that torch sees; the CPU if there is none."""
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        return ["Apple GPU (mps)"]
    return [f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"]

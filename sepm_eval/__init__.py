"""Image-emotion benchmarks and SEPM for multimodal LLMs.

The names below load what they need on first use: importing the package is fast and changes nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepm_eval.methods import get_method
    from sepm_eval.model_wrappers import load_backbone
    from sepm_eval.types import Answer, Evidence, Question

__all__ = ["Answer", "Evidence", "Question", "get_method", "load_backbone"]

_HOMES = {
    "Answer": "sepm_eval.types",
    "Evidence": "sepm_eval.types",
    "Question": "sepm_eval.types",
    "get_method": "sepm_eval.methods",
    "load_backbone": "sepm_eval.model_wrappers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

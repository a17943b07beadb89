"""Image-emotion benchmarks and SEPM for multimodal LLMs.

Ask a model:

* ``load_backbone``: loads a model from a checkpoint; ``Backbone`` is the interface of every loaded model.
* ``get_method``: makes a method of answering, such as SEPM or zero-shot; ``Method`` is the interface of every method.
* ``Question``, ``Answer``, ``Evidence``: a picture with the emotions to choose from, the answer, what stage 1 found.
* ``explain``, ``Explanation``: an answer beside its picture, for a notebook.
* ``UnreadableImage``: the error raised for a picture that cannot be decoded.

Many variants on the same pictures:

* ``Shared``: a backbone that remembers what it computed, so that several variants can share it.
* ``Asked``, ``Runner``, ``answer_variants``: answer questions by several methods at once, and keep the answers in
  journals.

Read what runs have written:

* ``read_journal``, ``records``: the answers of a journal.
* ``read_runs``: finished runs of ``sepm-eval run`` or lmms-eval.
* ``Options``, ``parse_answer``: find the option that an answer's text states.
* ``checkpoint_revision``: identifies the weights of a checkpoint.

Each name is imported when it is first used, so importing the package is fast and has no side effects.
``docs/api.md`` describes the options of these names, with an example; ``__version__`` is the installed version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepm_eval.backbone.checkpoints import checkpoint_revision
    from sepm_eval.backbone.interface import Backbone
    from sepm_eval.backbone.shared import Shared
    from sepm_eval.images import UnreadableImage
    from sepm_eval.methods import Method, get_method
    from sepm_eval.model_wrappers import load_backbone
    from sepm_eval.parsing import Options, parse_answer
    from sepm_eval.report.explanation import Explanation, explain
    from sepm_eval.runs.asking import Asked
    from sepm_eval.runs.journal import read_journal, records
    from sepm_eval.runs.results import read_runs
    from sepm_eval.runs.runner import Runner
    from sepm_eval.runs.variants import answer_variants
    from sepm_eval.types import Answer, Evidence, Question

    __version__: str

__all__ = [
    "Answer",
    "Asked",
    "Backbone",
    "Evidence",
    "Explanation",
    "Method",
    "Options",
    "Question",
    "Runner",
    "Shared",
    "UnreadableImage",
    "__version__",
    "answer_variants",
    "checkpoint_revision",
    "explain",
    "get_method",
    "load_backbone",
    "parse_answer",
    "read_journal",
    "read_runs",
    "records",
]

_HOMES = {
    "Answer": "types",
    "Asked": "runs.asking",
    "Backbone": "backbone.interface",
    "Evidence": "types",
    "Explanation": "report.explanation",
    "Method": "methods",
    "Options": "parsing",
    "Question": "types",
    "Runner": "runs.runner",
    "Shared": "backbone.shared",
    "UnreadableImage": "images",
    "answer_variants": "runs.variants",
    "checkpoint_revision": "backbone.checkpoints",
    "explain": "report.explanation",
    "get_method": "methods",
    "load_backbone": "model_wrappers",
    "parse_answer": "parsing",
    "read_journal": "runs.journal",
    "read_runs": "runs.results",
    "records": "runs.journal",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sepm-eval")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names; inner modules are not listed, and are imported by their own names."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

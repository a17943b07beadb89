"""The paper's own figures, and which of our runs each one is to be compared with.

Fang et al., ICML 2025, Tables 1-3, accuracy in percent. Its test sets are not published as lists: N follows from the
figures for Emotion6 (594) and Abstract (280), for the others no single N fits them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.runs.outcomes import Run

# Checkpoints by the name they have in the paper.
MODELS = {
    "LLaVA-7b": ("llava-1.5-7b-hf", "llava-v1.5-7b"),
    "VILA-8b": ("llama-3-vila1.5-8b", "llama-3-vila1.5-8b-fix"),
}
ITEMS = {"emotion6": 594, "abstract": 280}

_SEPM = {"alpha": 0.1, "preset": "paper", "cci": True, "foe": True, "vta": True}
_DROP_10, _DROP_20 = {**_SEPM, "beta": 0.1}, {**_SEPM, "beta": 0.2}


@dataclass(frozen=True)
class PaperRow:
    """One line of a table.

    Attributes:
        label: how the paper calls it.
        method: our method's name.
        settings: those it must have to be the paper's.
        accuracy: by model in the paper's naming, then by task; in percent.
    """

    label: str
    method: str
    settings: Mapping[str, Any]
    accuracy: Mapping[str, Mapping[str, float]]

    def is_that_of(self, run: Run) -> bool:
        """Whether a run belongs in this line. A fast variant does not, nor does a run with polarities set by hand."""
        others = run.settings.keys() - self.settings.keys()
        return (
            run.method == self.method
            and not run.identity.polarity
            and all(run.settings.get(key) == value for key, value in self.settings.items())
            and all(run.settings[key] == run.defaults.get(key) for key in others)
        )


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        name: "Table 1".
        caption: what it compares.
        tasks: its columns.
        rows: its lines.
        average: whether it ends in the unweighted mean of the columns.
    """

    name: str
    caption: str
    tasks: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    average: bool = False


def paper_model(run: Run) -> str | None:
    """The paper's name for the checkpoint of a run, or None if the paper did not use it."""
    last = run.identity.checkpoint.rstrip("/").rpartition("/")[2].partition("@")[0].lower()
    return next((name for name, known in MODELS.items() if last in known), None)


_FIVE = ("emotion6", "emoset", "webemo7", "webemo25", "abstract")
_TWO = ("emotion6", "emoset")


def _figures(model: str, tasks: tuple[str, ...], *values: float) -> dict[str, dict[str, float]]:
    return {model: dict(zip(tasks, values, strict=True))}


def _both(llava: tuple[float, ...], vila: tuple[float, ...] = ()) -> dict[str, dict[str, float]]:
    found = _figures("LLaVA-7b", _FIVE, *llava)
    return {**found, **_figures("VILA-8b", _FIVE, *vila)} if vila else found


def _llava(*values: float) -> dict[str, dict[str, float]]:
    return _figures("LLaVA-7b", _TWO, *values)


TABLES = (
    PaperTable(
        "Table 1",
        "Methods compared",
        _FIVE,
        (
            PaperRow(
                "Zero-shot",
                "zero_shot",
                {},
                _both((48.32, 52.77, 25.56, 15.71, 27.86), (47.47, 44.45, 41.90, 15.35, 20.00)),
            ),
            PaperRow(
                "Zero-shot-CoT",
                "zero_shot_cot",
                {},
                _both((48.65, 51.67, 22.93, 15.52, 26.43), (44.28, 43.20, 41.08, 13.57, 21.07)),
            ),
            PaperRow("SparseVLM", "sparsevlm", {}, _both((49.83, 54.00, 26.64, 15.68, 26.79))),
            PaperRow(
                "SEPM (β=0.1)",
                "sepm",
                _DROP_10,
                _both((54.21, 56.04, 42.39, 18.26, 29.29), (51.35, 53.11, 44.30, 17.36, 25.71)),
            ),
            PaperRow(
                "SEPM (β=0.2)",
                "sepm",
                _DROP_20,
                _both((54.04, 56.24, 42.75, 18.34, 28.21), (52.02, 53.11, 39.10, 19.39, 26.43)),
            ),
        ),
        average=True,
    ),
    PaperTable(
        "Table 2",
        "Which visual tokens to drop",
        _TWO,
        (
            PaperRow("Random (β=0.1)", "random_drop", _DROP_10, _llava(53.20, 55.99)),
            PaperRow("Random (β=0.2)", "random_drop", _DROP_20, _llava(51.85, 55.91)),
            PaperRow("Query-related (β=0.1)", "query_drop", _DROP_10, _llava(53.54, 55.99)),
            PaperRow("Query-related (β=0.2)", "query_drop", _DROP_20, _llava(53.54, 56.10)),
            PaperRow("FoE-related (β=0.1)", "sepm", _DROP_10, _llava(54.21, 56.04)),
            PaperRow("FoE-related (β=0.2)", "sepm", _DROP_20, _llava(54.04, 56.24)),
        ),
    ),
    PaperTable(
        "Table 3",
        "What each part of SEPM adds: coarse-to-fine (CCI), focus sentence (FP), fewer visual tokens (VTA)",
        _TWO,
        (
            PaperRow("none", "zero_shot", {}, _llava(48.32, 52.77)),
            PaperRow("CCI", "sepm", {**_DROP_20, "foe": False, "vta": False}, _llava(51.68, 53.98)),
            PaperRow("FP", "sepm", {**_DROP_20, "cci": False, "vta": False}, _llava(51.52, 54.28)),
            PaperRow("CCI + FP", "sepm", {**_DROP_20, "vta": False}, _llava(53.03, 56.10)),
            PaperRow("CCI + FP + VTA", "sepm", _DROP_20, _llava(54.04, 56.24)),
        ),
    ),
)

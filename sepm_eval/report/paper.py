"""Published accuracies, and which of our runs each one is to be compared with.

They are from two papers: Fang et al. (ICML 2025, SEPM), Tables 1-3, and Ye et al. (arXiv 2609.36782, DAN), Tables 1-6,
and are in percent. Neither paper publishes the list of its test items. Their number N is inferred: it is the known
size of a set that makes the printed figure a possible share k / N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepm_eval.report.grim import fits
from sepm_eval.runs.outcomes import Run


@dataclass(frozen=True)
class Paper:
    """A paper with printed figures.

    Attributes:
        source: how the paper is cited.
        models: for each model in the paper's naming, the names of its checkpoints, without the owner and in lower case.
        items: for each task, how many items its figures can be shares of; tasks whose size is not known are left out.
        remarks: what a reader of the figures has to know, one sentence each.
    """

    source: str
    models: Mapping[str, tuple[str, ...]]
    items: Mapping[str, tuple[int, ...]]
    remarks: tuple[str, ...] = ()

    def model_of(self, run: Run) -> str | None:
        """The paper's name for the checkpoint of a run, or None if the paper did not use it."""
        last = run.identity.checkpoint.rstrip("/").rpartition("/")[2].partition("@")[0].lower()
        return next((name for name, known in self.models.items() if last in known), None)

    def n_of(self, task: str, figure: float) -> int | None:
        """Infer how many items N a figure is a share of: k / N, rounded or cut to two decimals, must give the figure.

        Args:
            task: the task's name.
            figure: the accuracy printed, in percent.

        Returns:
            The first N of ``items`` that fits; None if none does, or none is known.
        """
        return next((n for n in self.items.get(task, ()) if can_be_of(figure, n)), None)


def can_be_of(figure: float, n: int) -> bool:
    """Whether an accuracy that a paper printed with two decimals can be a share of n items (see ``grim``)."""
    return fits(f"{figure:.2f}", n)


SEPM = Paper(
    "Fang et al., ICML 2025",
    {
        "LLaVA-7b": ("llava-1.5-7b-hf", "llava-v1.5-7b"),
        "VILA-8b": ("llama-3-vila1.5-8b", "llama-3-vila1.5-8b-fix"),
    },
    {"emotion6": (594,), "abstract": (280,)},
)
DAN = Paper(
    "Ye et al., arXiv 2609.36782",
    {
        "Qwen2.5-VL-7B": ("qwen2.5-vl-7b-instruct",),
        "Qwen3-VL-4B": ("qwen3-vl-4b-instruct",),
        "Qwen3-VL-8B": ("qwen3-vl-8b-instruct",),
        "InternVL3.5-8B": ("internvl3_5-8b-hf", "internvl3_5-8b"),
    },
    {"emotion6": (594,), "webemo7": (2000,), "webemo25": (2000,), "abstract": (228, 280)},
    (
        "Its figures of one column are of several lists: in abstract most are shares of 228 items and some of 280, in "
        "emotion6 most of 594 and some of another number.",
        "It numbers the options of a question, ours have letters; it does not state its alpha and beta of SEPM.",
    ),
)

_SEPM = {"alpha": 0.1, "preset": "paper", "cci": True, "foe": True, "vta": True}
_DROP_10, _DROP_20 = {**_SEPM, "beta": 0.1}, {**_SEPM, "beta": 0.2}


@dataclass(frozen=True)
class PaperRow:
    """One row of a published table.

    Attributes:
        label: what the paper calls the row.
        method: our method's name.
        settings: the options that the method must have to be the paper's; all others must have their defaults.
        accuracy: by model in the paper's naming, then by task; in percent.
    """

    label: str
    method: str
    settings: Mapping[str, Any]
    accuracy: Mapping[str, Mapping[str, float]]

    def is_that_of(self, run: Run) -> bool:
        """Whether a run belongs in this row.

        A fast variant does not, nor does a run with polarities set by hand, or one that plain generation answered.
        """
        others = run.settings.keys() - self.settings.keys()
        return (
            run.method == self.method
            and not run.identity.polarity
            and not run.plain
            and all(run.settings.get(key) == value for key, value in self.settings.items())
            and all(run.settings[key] == run.defaults.get(key) for key in others)
        )


@dataclass(frozen=True)
class PaperTable:
    """One published table.

    Attributes:
        name: "Table 1".
        caption: what it compares.
        tasks: its columns.
        rows: its rows.
        average: whether it ends in the unweighted mean of the columns. Methods that it does not have are then added.
        paper: where it was printed.
    """

    name: str
    caption: str
    tasks: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    average: bool = False
    paper: Paper = SEPM


_FIVE = ("emotion6", "emoset", "webemo7", "webemo25", "abstract")
_TWO = ("emotion6", "emoset")
_THREE = ("emotion6", "webemo25", "abstract")


def _figures(model: str, tasks: tuple[str, ...], *values: float) -> dict[str, dict[str, float]]:
    return {model: dict(zip(tasks, values, strict=True))}


def _both(llava: tuple[float, ...], vila: tuple[float, ...] = ()) -> dict[str, dict[str, float]]:
    found = _figures("LLaVA-7b", _FIVE, *llava)
    return {**found, **_figures("VILA-8b", _FIVE, *vila)} if vila else found


def _dan(*rows: tuple[float, ...]) -> dict[str, dict[str, float]]:
    return {model: dict(zip(_FIVE, row, strict=True)) for model, row in zip(DAN.models, rows, strict=True)}


def _llava(*values: float) -> dict[str, dict[str, float]]:
    return _figures("LLaVA-7b", _TWO, *values)


def _ablation(
    number: int, caption: str, *rows: tuple[str, Mapping[str, Any], tuple[float, float, float]]
) -> PaperTable:
    """A table of DAN's ablations on Qwen3-VL-8B; a row is a label, the options that are not defaults, and figures."""
    lines = (
        PaperRow(label, "dan", settings, _figures("Qwen3-VL-8B", _THREE, *values)) for label, settings, values in rows
    )
    return PaperTable(f"DAN, Table {number}", caption, _THREE, tuple(lines), paper=DAN)


_FULL = (59.09, 24.80, 33.77)  # DAN with its defaults, the last row of each table of its ablations
_HERC = (57.24, 23.15, 31.58)

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
    PaperTable(
        "DAN, Table 1",
        "Methods compared",
        _FIVE,
        (
            PaperRow(
                "Zero-shot",
                "zero_shot",
                {},
                _dan(
                    (58.33, 56.98, 47.70, 22.45, 23.68),
                    (55.21, 57.06, 48.60, 22.40, 20.18),
                    (55.21, 56.50, 48.00, 21.10, 29.38),
                    (54.37, 55.81, 42.55, 14.45, 26.79),
                ),
            ),
            PaperRow(
                "Zero-shot-CoT",
                "zero_shot_cot",
                {},
                _dan(
                    (59.76, 57.19, 47.25, 22.15, 23.25),
                    (56.22, 59.26, 47.70, 22.45, 20.00),
                    (52.85, 55.18, 48.75, 21.75, 28.93),
                    (54.87, 56.49, 42.35, 14.95, 30.36),
                ),
            ),
            PaperRow(
                "SEPM",
                "sepm",
                {},
                _dan(
                    (61.58, 57.94, 49.10, 22.85, 26.32),
                    (60.31, 63.28, 50.25, 23.05, 23.68),
                    (55.97, 57.25, 51.30, 22.45, 30.70),
                    (55.55, 57.53, 44.05, 18.15, 32.89),
                ),
            ),
            PaperRow(
                "DAN",
                "dan",
                {},
                _dan(
                    (63.13, 59.10, 50.90, 24.85, 29.82),
                    (62.29, 65.66, 52.05, 24.95, 26.75),
                    (59.09, 60.21, 53.40, 24.80, 33.77),
                    (58.59, 60.96, 45.95, 21.30, 35.09),
                ),
            ),
        ),
        average=True,
        paper=DAN,
    ),
    _ablation(
        *(2, "What clues of the scene (S) and of objects (O) add, and CDVP"),
        ("none", {"scene": False, "object": False, "gate": "none", "cdvp": False}, (55.21, 21.10, 29.38)),
        ("S", {"object": False, "cdvp": False}, (54.88, 21.25, 31.14)),
        ("O", {"scene": False, "cdvp": False}, (56.40, 22.50, 28.51)),
        ("S + O", {"cdvp": False}, _HERC),
        ("CDVP", {"scene": False, "object": False, "gate": "none"}, (58.08, 23.80, 30.26)),
        ("S + O + CDVP", {}, _FULL),
    ),
    _ablation(
        *(3, "How the polarity weighs the emotions"),
        ("No-gating", {"gate": "none"}, (54.55, 20.90, 28.51)),
        ("Hard-gating", {"gate": "hard"}, (58.42, 24.05, 32.02)),
        ("Soft-gating", {}, _FULL),
    ),
    _ablation(
        *(4, "Layers whose attention tells the candidates apart"),
        ("Global average", {"layers": "all"}, (58.59, 24.55, 32.46)),
        ("First-3 average", {"layers": "first3"}, (57.58, 24.30, 30.26)),
        ("Last layer", {"layers": "last"}, (58.42, 24.50, 31.58)),
        ("Last-3 average", {}, _FULL),
    ),
    _ablation(
        *(5, "What each part of CDVP adds"),
        ("Only HERC", {"cdvp": False}, _HERC),
        ("+ S", {"candidates": "all", "beta": 0.0}, (56.57, 22.95, 30.70)),
        ("+ S*", {"beta": 0.0}, (57.41, 23.25, 32.01)),
        ("+ S* + Q_ctr", {"beta": 0.0, "contrast_in_context": True}, (58.25, 24.05, 32.89)),
        ("+ S* + Q_ctr + pruning", {}, _FULL),
    ),
    _ablation(
        *(6, "Which visual tokens to drop"),
        ("Random", {"select": "random"}, (55.56, 23.70, 27.63)),
        ("Query-related", {"select": "query"}, (56.57, 23.95, 29.82)),
        ("FoE-related", {"select": "focus"}, (57.91, 24.25, 31.58)),
        ("Contrast-related", {}, _FULL),
    ),
)

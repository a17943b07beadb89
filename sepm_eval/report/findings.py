"""What a report says first: which method helped which model on which benchmark, by how much, and how certainly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from sepm_eval.plurals import counted
from sepm_eval.report.comparing import Compared, baseline_of
from sepm_eval.report.proofs import NOISE_FLOOR, chance, changed
from sepm_eval.report.table import groups
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.method_checks import never_pruned
from sepm_eval.runs.outcomes import Run

SURE = 0.05  # a difference is sure if its p-value, adjusted for all comparisons, is below this
Verdict = Literal["helped", "hurt", "open", "none"]


def verdict(one: Compared) -> Verdict:
    """Say what a comparison shows.

    Returns:
        "none" if the run's method is meant to drop visual tokens and never did; otherwise "helped" or "hurt" if the
        adjusted p-value is below 0.05, and "open" if it is not.
    """
    if never_pruned(one.run):
        return "none"
    if one.p_holm >= SURE:
        return "open"
    return "helped" if one.result.difference > 0 else "hurt"


def of_methods(compared: Sequence[Compared]) -> list[Compared]:
    """Select the comparisons that ask whether a method helps: not those of controls or of stock models."""
    return [one for one in compared if one.run.entry.startswith(OUR_ENTRIES) and not one.run.is_control]


def findings(compared: Sequence[Compared]) -> list[str]:
    """Write one sentence for each method on each model; the methods that helped come first.

    Args:
        compared: the comparisons that ``of_methods`` selects.

    Returns:
        Such as "SEPM on llava-1.5-7b: helped on emoset by 5.9 points (95 % interval 3.1 to 8.7, adjusted p < 0.001)."
    """
    names = short_names([one.run for one in compared])
    by_method: dict[tuple[str, str], list[Compared]] = {}
    for one in compared:
        by_method.setdefault((one.run.called, one.run.model), []).append(one)
    return [_sentence(group, names[group[0].run.model]) for group in sorted(by_method.values(), key=_rank)]


def short_names(runs: Sequence[Run]) -> dict[str, str]:
    """Shorten the names of models to the part behind the slash ("llava-1.5-7b-hf").

    A model keeps its whole name if another model of these runs has the same last part.
    """
    models = dict.fromkeys(run.model for run in runs)
    last = {model: model.rpartition("/")[2] for model in models}
    count = Counter(last.values())
    return {model: name if name and count[name] == 1 else model for model, name in last.items()}


def conclusion(compared: Sequence[Compared]) -> str:
    """Sum up in one sentence how the comparisons with zero-shot came out; "" if there is none.

    Args:
        compared: the comparisons that ``of_methods`` selects.

    Returns:
        Such as "Of 4 comparisons of a method with zero-shot: 1 better than zero-shot, 3 with no significant
        difference (p < 0.05, adjusted for all)."
    """
    told = [verdict(one) for one in compared]
    if not told:
        return ""
    counts = {word: told.count(word) for word in ("helped", "hurt", "open", "none")}
    words = {
        "helped": "better than zero-shot",
        "hurt": "worse",
        "open": "with no significant difference",
        "none": "without a dropped token and so no result",
    }
    parts = [f"{counts[word]} {words[word]}" for word in words if counts[word] or word == "helped"]
    asked = counted(len(told), "comparison")
    return f"Of {asked} of a method with zero-shot: {', '.join(parts)} (p < {SURE:g}, adjusted for all)."


def noise_floor(runs: Sequence[Run]) -> list[str]:
    """Describe the noise floor that differences are judged against.

    There is one sentence for each model and benchmark on which controls were run.
    """
    names, told = short_names(runs), []
    for mine in groups(runs):
        parts = [part for run in mine if (part := _floor(run, runs))]
        if parts:
            told.append(f"{names[mine[0].model]} on {mine[0].column}: {'; '.join(parts)}.")
    return told


def _floor(run: Run, runs: Sequence[Run]) -> str:
    """Say what one control run found; "" if the run is none, or has no zero-shot run to compare with."""
    base = baseline_of(run, runs)
    if run.method not in NOISE_FLOOR or run.accuracy is None or base is None or base.accuracy is None:
        return ""
    if run.method == "blind":
        beside = f"zero-shot {base.accuracy:.1f} %, chance {100 * chance(run):.1f} %"
        return f"{run.called}: {run.accuracy:.1f} % right ({beside})"
    share = changed(run, runs)
    moved = "" if share is None else f", {100 * share:.1f} % of the answers changed"
    return f"{run.called}: accuracy {run.accuracy - base.accuracy:+.1f} points{moved}"


def _rank(group: Sequence[Compared]) -> tuple[int, float]:
    told = [verdict(one) for one in group]
    mean = sum(one.result.difference for one in group) / len(group)
    return (0 if "helped" in told else 2 if "hurt" in told else 1, -mean)


def _sentence(group: Sequence[Compared], model: str) -> str:
    """Say in one sentence how a method changed a model's accuracy, benchmark by benchmark."""
    words = {
        "helped": "helped on",
        "hurt": "hurt on",
        "open": "no significant difference from zero-shot on",
        "none": "dropped no visual token, so no result, on",
    }
    parts = []
    for word, said in words.items():
        mine = [one for one in group if verdict(one) == word]
        if mine:
            parts.append(f"{said} {' and on '.join(map(_measured, mine))}")
    return f"{group[0].run.called} on {model}: {'; '.join(parts)}."


def _measured(one: Compared) -> str:
    """A benchmark with the accuracy difference on it, the interval and, if the difference is sure, the p-value."""
    points, low, high = (100 * x for x in (one.result.difference, one.result.interval.low, one.result.interval.high))
    if verdict(one) in ("open", "none"):
        return f"{one.run.column} ({points:+.1f} points, {low:.1f} to {high:.1f})"
    p = "p < 0.001" if one.p_holm < 0.001 else f"p = {one.p_holm:.2g}"
    return f"{one.run.column} by {abs(points):.1f} points (95 % interval {low:.1f} to {high:.1f}, adjusted {p})"

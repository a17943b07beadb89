"""The two figures that a report begins with: what each method changed, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepm_eval.report.comparing import Compared
from sepm_eval.report.figures import COLOURS, NEGATIVE, NEUTRAL, POSITIVE, Figure, canvas_of, saved
from sepm_eval.report.findings import verdict
from sepm_eval.report.stages import cost_of
from sepm_eval.report.table import items_of, main_columns, model_key
from sepm_eval.runs.outcomes import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP*X"
_ROW = 0.24  # height of a line of the forest plot, in inches


def front_figures(runs: Sequence[Run], compared: Sequence[Compared]) -> list[Figure]:
    """Draw a forest plot and a Pareto plot for each model, if there is something to show.

    Args:
        runs: the runs of the report.
        compared: their comparisons with zero-shot.

    Returns:
        The figures, grouped by model.
    """
    made = []
    for model in dict.fromkeys(run.model for run in runs):
        mine = [run for run in runs if run.model == model]
        made += [forest([one for one in compared if one.run.model == model], mine), pareto(mine)]
    return [figure for figure in made if figure is not None]


def forest(compared: Sequence[Compared], runs: Sequence[Run]) -> Figure | None:
    """Draw the accuracy difference of one model's methods to zero-shot with its interval, one line each, by benchmark.

    The grey band is the noise floor: the difference that another order of the options alone makes. Answers without the
    picture (``blind``) are left out, because they are far worse than all others.

    Returns:
        The figure; None if there is no comparison.
    """
    compared = [one for one in compared if one.run.method != "blind"]
    compared.sort(key=lambda one: one.run.is_control)
    if not compared:
        return None
    columns = list(dict.fromkeys(run.column for run in runs if any(one.run.column == run.column for one in compared)))
    canvas, (axes,) = canvas_of(7.4, max(_ROW * (len(compared) + 1.4 * len(columns)) + 0.8, 2.5))
    places: list[tuple[float, str, bool]] = []
    line = 0.0
    for column in columns:
        places.append((line, column, True))
        mine = [one for one in compared if one.run.column == column]
        _draw_floor(axes, mine, line + 0.4, line + len(mine) + 0.6)
        for offset, one in enumerate(mine, start=1):
            _draw_line(axes, one, line + offset, f"items-{compared.index(one)}")
            places.append((line + offset, one.run.called, False))
        line += len(mine) + 1.4
    axes.axvline(0, color=NEUTRAL, linewidth=1)
    axes.set_ylim(line - 0.6, -0.8)
    axes.set_yticks([place for place, _, _ in places], [name for _, name, _ in places])
    for tick, (_, _, heading) in zip(axes.get_yticklabels(), places, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("points of accuracy above zero-shot")
    caption = (
        f"What each method changed on {runs[0].model}: accuracy minus zero-shot's on the same items, in points, with "
        "95 % intervals. Green and red differences are sure (adjusted p < 0.05), grey ones are not; hollow ones are "
        "controls. "
    )
    if any(one.run.method == "permute" for one in compared):
        caption += "Within the grey band a difference is no larger than what another order of the options makes."
    return saved(
        canvas,
        f"forest_{model_key(runs)}",
        f"What helped · {runs[0].model}",
        caption.strip(),
        [items_of(one.run) for one in compared],
    )


def _draw_floor(axes: Axes, mine: Sequence[Compared], top: float, bottom: float) -> None:
    moved = [abs(100 * one.result.difference) for one in mine if one.run.method == "permute"]
    if moved:
        axes.fill_betweenx([top, bottom], -max(moved), max(moved), color=NEUTRAL, alpha=0.18, linewidth=0)


def _draw_line(axes: Axes, one: Compared, place: float, group: str) -> None:
    colour = {"helped": POSITIVE, "hurt": NEGATIVE}.get(verdict(one), "#75818c")
    low, high, middle = (100 * x for x in (one.result.interval.low, one.result.interval.high, one.result.difference))
    axes.hlines(place, low, high, color=colour, linewidth=1.8)
    ground = "white" if one.run.is_control else colour
    axes.plot([middle], [place], "o", markersize=6, color=colour, markerfacecolor=ground, gid=group)
    told = f"{middle:+.1f} [{low:.1f}, {high:.1f}]"
    axes.annotate(
        told, (1.01, place), xycoords=("axes fraction", "data"), fontsize=8, va="center", annotation_clip=False
    )


@dataclass(frozen=True)
class _Point:
    """A method in the Pareto plot: its mean cost and accuracy, over the same benchmarks as the other methods."""

    called: str
    control: bool
    accuracy: float
    prefill: float | None  # TFLOP
    operations: float | None  # TFLOP
    seconds: float | None
    items: Mapping[str, str]


def pareto(runs: Sequence[Run]) -> Figure | None:
    """Draw accuracy against cost of one model's methods: a panel for operations and one for seconds, where known.

    Accuracy and cost are means over the benchmarks on which zero-shot, or else the first run's method, has a complete
    run. Methods without a complete run on each of these are left out, and so are answers without the picture.

    Returns:
        The figure; None if fewer than two methods have a known cost.
    """
    columns = _common(runs)
    runs = [run for run in runs if run.method != "blind"]
    points = [point for point in _points(runs, columns) if point.operations is not None or point.seconds is not None]
    panels = [
        (name, label)
        for name, label in (("operations", "operations per question (TFLOP)"), ("seconds", "seconds per question"))
        if sum(getattr(point, name) is not None for point in points) > 1
    ]
    if not panels:
        return None
    canvas, drawn = canvas_of(7.4, 3.6 + 0.19 * -(-len(points) // 3), len(panels))
    for axes, (name, label) in zip(drawn, panels, strict=True):
        _draw_points(axes, points, name)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
    drawn[0].set_ylabel("accuracy (%)")
    handles, names = drawn[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    caption = (
        f"What accuracy costs on {runs[0].model}, as means over {', '.join(columns)}. The line joins the methods that "
        "no other beats at the same or less cost; hollow ones are controls. "
    )
    if panels[0][0] == "operations":
        caption += "A bar left of a point is what writing the answer takes of its operations."
    return saved(
        canvas,
        f"pareto_{model_key(runs)}",
        f"Accuracy against cost · {runs[0].model}",
        caption.strip(),
        [point.items for point in points],
    )


def _common(runs: Sequence[Run]) -> list[str]:
    """The sets of items on which zero-shot, or else the first run's method, has a complete run; one for each task."""
    main = set(main_columns(runs).values())
    first = next((run for run in runs if run.variant == "zero_shot"), runs[0])
    wanted = [run.column for run in runs if run.column in main and run.complete and run.variant == first.variant]
    return list(dict.fromkeys(wanted))


def _points(runs: Sequence[Run], columns: Sequence[str]) -> list[_Point]:
    found = []
    for variant in dict.fromkeys((run.entry, run.variant) for run in runs):
        mine = [run for run in runs if (run.entry, run.variant) == variant and run.column in columns and run.complete]
        if not mine or len(mine) < len(columns):
            continue
        costs = [cost_of(run, runs) for run in mine]
        whose = items_of(mine[0])
        found.append(
            _Point(
                called=mine[0].called,
                control=mine[0].is_control,
                accuracy=sum(run.accuracy or 0.0 for run in mine) / len(mine),
                prefill=_mean([None if cost.prefill is None else cost.prefill / 1e12 for cost in costs]),
                operations=_mean([None if cost.operations is None else cost.operations / 1e12 for cost in costs]),
                seconds=_mean([cost.seconds for cost in costs]),
                items={key: whose[key] for key in ("model", "model_id", "method")},
            )
        )
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of all values; None if one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _draw_points(axes: Axes, points: Sequence[_Point], name: str) -> None:
    known = [(getattr(point, name), point, number) for number, point in enumerate(points)]
    shown = sorted((one for one in known if one[0] is not None), key=lambda one: (one[0], -one[1].accuracy))
    front, best = [], float("-inf")
    for cost, point, _ in shown:
        if point.accuracy > best and not point.control:
            front.append((cost, point.accuracy))
            best = point.accuracy
    axes.plot([cost for cost, _ in front], [share for _, share in front], color="#c3cad0", linewidth=1.5, zorder=0)
    for cost, point, number in sorted(shown, key=lambda one: one[2]):
        colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[(number + number // len(COLOURS)) % len(_MARKERS)]
        if name == "operations" and point.prefill is not None:
            axes.hlines(point.accuracy, point.prefill, cost, color=colour, linewidth=2, alpha=0.6)
        ground = "white" if point.control else colour
        axes.plot(
            *([cost], [point.accuracy], marker),
            color=colour,
            markerfacecolor=ground,
            markersize=8,
            label=point.called,
            gid=f"items-{number}",
        )

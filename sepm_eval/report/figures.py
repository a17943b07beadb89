"""The figures of a report, drawn with matplotlib without a display."""

from __future__ import annotations

import io
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from sepm_eval.emotions import POLARITY
from sepm_eval.report import statistics
from sepm_eval.report.table import column_key, groups, items_of, largest_confidence, model_key, polarities
from sepm_eval.report.tables import main_runs
from sepm_eval.runs.outcomes import Outcome, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

POSITIVE, NEGATIVE, NEUTRAL = "#2a7f62", "#a8323e", "#4c5a67"
COLOURS = ("#8a97a3", "#27646f", "#d08c2f", "#7a4f9a", "#3f8f4f", "#b5475a", "#5b7fb8", "#93752f")
_OVERLAYS = 4  # pictures in Fig. 4
_BINS = 10
_DPI = 130


@dataclass(frozen=True)
class Figure:
    """A drawn figure with the contents of its files.

    Attributes:
        key: name of its files, without the ending.
        title: heading above it.
        caption: text below it, which is also the text alternative for people who do not see the figure.
        png: the figure as PNG.
        svg: the figure as SVG.
        items: the items that each point is about (see ``table.items_of``); point i is the group "items-i" of the SVG.
    """

    key: str
    title: str
    caption: str
    png: bytes
    svg: bytes
    items: tuple[Mapping[str, str], ...] = ()


def all_figures(runs: Sequence[Run]) -> list[Figure]:
    """Draw all figures that these runs have data for, in the order of the paper."""
    made: list[Figure] = []
    for mine in groups(runs):
        made += _sensitivity(mine)
        made += _overlays(mine)
        made += _confidence(mine)
        made += _per_class(mine)
    return made


def _per_class(runs: Sequence[Run]) -> list[Figure]:
    """Draw Fig. 6: accuracy of each label (positive, then negative, then unknown); dashed: accuracy of all."""
    chosen = main_runs(runs)
    if not chosen:
        return []
    differ = len({tuple(sorted(run.identity.polarity.items())) for run in chosen}) > 1
    polarity = {**polarities(chosen[0]), **POLARITY} if differ else polarities(chosen[0])
    order = ("positive", "negative", "unknown")
    labels = sorted(chosen[0].options.labels, key=lambda label: order.index(polarity[label]))
    positive = [label for label in labels if polarity[label] == "positive"]
    canvas, axes = _canvas(width=max(7.0, 0.9 * len(labels)), height=4.2)
    room = 0.8 / len(chosen)
    items: list[Mapping[str, str]] = []
    for number, run in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        total: Counter[str] = Counter(o.target for o in run.scored)
        right: Counter[str] = Counter(o.target for o in run.scored if o.score.correct)
        heights = [100 * right[label] / total[label] if total[label] else 0.0 for label in labels]
        places = np.arange(len(labels)) + number * room - 0.4 + room / 2
        for bar, label in zip(axes.bar(places, heights, room, color=colour, label=run.called), labels, strict=True):
            bar.set_gid(f"items-{len(items)}")
            items.append(items_of(run, label=label))
        assert run.accuracy is not None  # see main_runs
        axes.axhline(run.accuracy, color=colour, linestyle="--", linewidth=1)
    axes.axvline(len(positive) - 0.5, color=NEUTRAL, linewidth=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
        tick.set_color({"positive": POSITIVE, "negative": NEGATIVE, "unknown": NEUTRAL}[polarity[label]])
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), frameon=False)
    caption = (
        "Accuracy of each label (Fig. 6). Green labels are positive, red ones negative; dashed lines are the overall "
        "accuracy of each method."
    )
    if differ:
        caption += " Polarities are the known ones; some of the runs had others."
    return [_figure(canvas, "per_class", "Accuracy by label", caption, runs, items)]


def _confidence(runs: Sequence[Run]) -> list[Figure]:
    """Draw Fig. 5: accuracy of the polarity and of the answer by confidence of stage 1, and the threshold alpha."""
    run = next((run for run in main_runs(runs) if run.method == "sepm"), None)
    if run is None:
        return []
    sides = polarities(run)
    known = [
        (one.record.confidence, one.score.correct, one.record.polarity == sides[one.target])
        for one in run.scored
        if one.record is not None and one.record.confidence is not None
    ]
    if not known:
        return []
    most = largest_confidence(run)
    bins: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for confidence, *rights in known:
        bins[min(int(confidence / most * _BINS), _BINS - 1)].append((rights[0], rights[1]))
    canvas, axes = _canvas(width=7.0, height=4.0)
    filled = sorted(bins)
    middle = [(one_bin + 0.5) * most / _BINS for one_bin in filled]
    items = [items_of(run, confidence=_range(one_bin, most)) for one_bin in filled]
    for which, colour, name in ((1, NEUTRAL, "polarity right"), (0, COLOURS[1], "answer right")):
        shares = [100 * sum(one[which] for one in bins[one_bin]) / len(bins[one_bin]) for one_bin in filled]
        spread = [statistics.wilson(sum(one[which] for one in bins[p]), len(bins[p])) for p in filled]
        low = [share - 100 * interval.low for share, interval in zip(shares, spread, strict=True)]
        high = [100 * interval.high - share for share, interval in zip(shares, spread, strict=True)]
        axes.errorbar(middle, shares, [np.maximum(low, 0), np.maximum(high, 0)], fmt="o-", color=colour, label=name)
        _draw_points(axes, middle, shares, colour)
    for one_bin, x in zip(filled, middle, strict=True):
        axes.annotate(str(len(bins[one_bin])), (x, 2), ha="center", fontsize=7, color=NEUTRAL)
    alpha = float(run.settings["alpha"])
    axes.axvline(alpha, color=NEGATIVE, linestyle="--", label=f"threshold alpha = {alpha:g}")
    axes.set_xlabel("confidence (variance of p(A), p(B); Eq. 4)")
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 105)
    axes.legend(fontsize=8, loc="upper left", frameon=False)
    caption = (
        f"Accuracy of {run.called} by the confidence of stage 1 (Fig. 5), with 95 % Wilson intervals; numbers at the "
        "bottom are items. Left of the threshold stage 2 is shown all labels."
    )
    return [_figure(canvas, "confidence", "Confidence and accuracy", caption, runs, items)]


def _range(one_bin: int, most: float) -> str:
    """The bounds of a confidence bin as "low:high"; the last bin ends at 1, so that it includes the largest value."""
    last = one_bin == _BINS - 1
    return f"{one_bin * most / _BINS:.10g}:{1 if last else (one_bin + 1) * most / _BINS:.10g}"


def _draw_points(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """Draw points that can be linked to their items: point i is the group "items-i" of the SVG."""
    for number, place in enumerate(zip(x, y, strict=True)):
        axes.plot(*([one] for one in place), "o", color=colour, gid=f"items-{number}")


def _sensitivity(runs: Sequence[Run]) -> list[Figure]:
    """Draw Fig. 3: accuracy over alpha and over beta, with all other options at their defaults."""
    made = []
    for name in ("alpha", "beta"):
        curve = []
        for run in runs:
            if _is_sepm_but(run, name) and run.scored:
                curve.append((float(run.settings[name]), run))
        if len(curve) < 3:
            continue
        curve.sort(key=lambda point: point[0])
        canvas, axes = _canvas(width=6.0, height=3.6)
        values = [value for value, _ in curve]
        shares = np.array([run.accuracy for _, run in curve])
        spread = [statistics.wilson(run.right, len(run.scored)) for _, run in curve]
        axes.fill_between(
            values, [100 * i.low for i in spread], [100 * i.high for i in spread], color=COLOURS[1], alpha=0.15
        )
        axes.plot(values, shares, "-", color=COLOURS[1])
        _draw_points(axes, values, shares.tolist(), COLOURS[1])
        base = next((run.accuracy for run in runs if run.variant == "zero_shot" and run.scored), None)
        if base is not None:
            axes.axhline(base, color=NEUTRAL, linestyle="--", label="zero-shot")
            axes.legend(fontsize=8, frameon=False)
        axes.set_xlabel(name)
        axes.set_ylabel("accuracy (%)")
        caption = f"Accuracy of SEPM over {name} (Fig. 3), the other settings at their defaults; band: 95 % Wilson."
        items = [items_of(run) for _, run in curve]
        made.append(_figure(canvas, f"sensitivity_{name}", f"Sensitivity to {name}", caption, runs, items))
    return made


def _is_sepm_but(run: Run, name: str) -> bool:
    """Whether SEPM answered a run, with all options but one at their defaults, and no polarity set by hand."""
    changed = {key for key, value in run.settings.items() if run.defaults.get(key) != value}
    return run.method == "sepm" and changed <= {name} and not run.identity.polarity and not run.plain


def _overlays(runs: Sequence[Run]) -> list[Figure]:
    """Draw Fig. 4: pictures with the dropped visual tokens covered, at drop rates 20 % and 40 % if they were run."""
    by_rate = {float(run.settings["beta"]): run for run in runs if _is_sepm_but(run, "beta")}
    rates = [rate for rate in (0.2, 0.4) if rate in by_rate]
    shown = list(_with_pictures([by_rate[rate] for rate in rates])) if rates else []
    if not shown:
        return []
    from sepm_eval.images import UnreadableImage, open_image
    from sepm_eval.report.overlay import draw_dropped

    canvas = Canvas(figsize=(2.3 * (len(rates) + 1), 2.5 * len(shown)), layout="constrained", dpi=_DPI)
    grid = canvas.subplots(len(shown), len(rates) + 1, squeeze=False)
    for line, outcomes in zip(grid, shown, strict=True):
        first, records = outcomes[0], [one.record for one in outcomes if one.record is not None]
        assert first.picture is not None  # see _with_pictures
        try:
            original = open_image(first.picture)
            pictures = [draw_dropped(original, records[0].blocks, ())]
            pictures += [draw_dropped(original, record.blocks, record.dropped) for record in records]
        except (UnreadableImage, OSError, ValueError) as error:
            logger.warning("the figure of dropped visual tokens is left out: %s", error)
            return []  # the pictures or the journal have changed since the run
        names = [first.target, *(f"{rate:.0%} dropped" for rate in rates)]
        for axes, picture, name in zip(line, pictures, names, strict=True):
            axes.imshow(picture)
            axes.set_title(name, fontsize=9)
            axes.axis("off")
    caption = (
        "Pictures, and the same with the dropped visual tokens covered (Fig. 4). Grey beside a picture is padding, "
        "which has visual tokens too."
    )
    return [_figure(canvas, "dropped", "Dropped visual tokens", caption, runs)]


def _with_pictures(runs: Sequence[Run]) -> Iterator[list[Outcome]]:
    """Yield items with a picture and a journal record in all of these runs, at most one item for each label.

    Each is yielded as its outcomes in these runs.
    """
    others = [{o.item: o for o in run.outcomes} for run in runs]
    labels: set[str] = set()
    for outcome in runs[0].outcomes:
        found = [table.get(outcome.item) for table in others]
        ready = [o for o in found if o is not None and o.record is not None and len(o.record.dropped)]
        if outcome.picture is None or len(ready) < len(runs) or outcome.target in labels:
            continue
        if not os.path.isfile(outcome.picture):  # also False for a text that cannot be a path
            return  # the pictures were moved or deleted
        if not all(o.record is not None and o.record.blocks for o in ready):
            logger.warning(
                "the figure of dropped visual tokens is left out: the journal does not say where they lie in the "
                "pictures, as those of version 0.2.0 and before do not; run them again to have it drawn"
            )
            return
        labels.add(outcome.target)
        yield ready
        if len(labels) == _OVERLAYS:
            return


def canvas_of(width: float, height: float, panels: int = 1) -> tuple[Canvas, list[Axes]]:
    """Make an empty figure, width and height in inches, with its panels side by side."""
    canvas = Canvas(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06), dpi=_DPI)
    panel = list(canvas.subplots(1, panels, squeeze=False)[0])
    for axes in panel:
        axes.spines[["top", "right"]].set_visible(False)
    return canvas, panel


def saved(canvas: Canvas, key: str, title: str, caption: str, items: Sequence[Mapping[str, str]] = ()) -> Figure:
    """Save a drawn figure as PNG and SVG; see ``Figure`` for the arguments."""
    png, svg = _saved(canvas, "png", {"Software": None}), _saved(canvas, "svg", {"Date": None, "Creator": None})
    return Figure(key, title, caption, png, svg, tuple(items))


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    canvas, (axes,) = canvas_of(width, height)
    return canvas, axes


def _figure(
    canvas: Canvas, key: str, title: str, caption: str, runs: Sequence[Run], items: Sequence[Mapping[str, str]] = ()
) -> Figure:
    """Save a drawn figure about the runs of one model over one set of items."""
    name = "_".join((key, model_key(runs), column_key(runs[0])))
    return saved(canvas, name, f"{title} · {runs[0].model}, {runs[0].column}", caption, items)


def _saved(canvas: Canvas, form: str, metadata: dict[str, Any]) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sepm_eval", "font.family": "DejaVu Sans"}):
        if canvas.get_layout_engine() is not None:
            canvas.draw_without_rendering()  # computes the layout, which takes most of the time,
            canvas.set_layout_engine("none")  # so it is done once for both formats
        canvas.savefig(file, format=form, dpi=_DPI, metadata=metadata)
    return file.getvalue()

"""A report as files: one page that needs nothing beside it, Markdown, CSV, and every figure as PNG and SVG."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup
from tabulate import tabulate

from sepm_eval.report.figures import Figure, all_figures
from sepm_eval.report.table import Cell, Table, when
from sepm_eval.report.tables import all_tables
from sepm_eval.report.text import inert, on_page, write_csv
from sepm_eval.runs.fired import answered_plainly, never_pruned
from sepm_eval.runs.outcomes import Run
from sepm_eval.wording import counted


@dataclass(frozen=True)
class Page:
    """What a page and its Markdown twin show.

    Attributes:
        title: above all.
        summary: one line below it.
        tables: in their order.
        figures: after the tables.
        warnings: what the reader must know before the figures.
        sources: which files it was made from.
    """

    title: str
    summary: str
    tables: Sequence[Table]
    figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    sources: Sequence[str] = ()


def write_report(runs: Sequence[Run], out: Path) -> Path:
    """Write the report of some runs.

    Args:
        runs: what is reported.
        out: the folder: report.html, report.md, tables/*.csv, figures/*.png and *.svg.

    Returns:
        The path of the HTML page.
    """
    models, tasks, methods = ({getattr(run, what) for run in runs} for what in ("model", "task", "variant"))
    summary = f"Runs: {len(runs)}; models: {len(models)}; tasks: {len(tasks)}; methods: {len(methods)}."
    page = Page(
        "Image-emotion evaluation", summary, all_tables(runs), all_figures(runs), _warnings(runs), sources(runs)
    )
    return write_page(page, out, "report")


def write_page(page: Page, out: Path, name: str) -> Path:
    """Write a page as HTML and Markdown, its tables as CSV, its figures as PNG and SVG.

    Args:
        page: what it shows.
        out: the folder.
        name: of the HTML and the Markdown file, without an ending.

    Returns:
        The path of the HTML page.

    Raises:
        ValueError: two of its tables or figures would be the same file; nothing is written.
    """
    for kind, keys in (("tables", [one.key for one in page.tables]), ("figures", [one.key for one in page.figures])):
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"several {kind} would be written to the same file: {', '.join(twice)}")
    _write(out / f"{name}.html", _html(page).encode())
    _write(out / f"{name}.md", _markdown(page).encode())
    for figure in page.figures:
        _write(out / "figures" / f"{figure.key}.png", figure.png)
        _write(out / "figures" / f"{figure.key}.svg", figure.svg)
    for table in page.tables:
        write_csv(out / "tables" / f"{table.key}.csv", table.records)
    return out / f"{name}.html"


def sources(runs: Sequence[Run]) -> list[str]:
    """One line for each run: which file it was read from, when it was made, and with which versions."""
    root, found = _root(runs), []
    for run in runs:
        packages = ", ".join(f"{name} {number}" for name, number in run.versions.items()) or "versions not recorded"
        where = _below(root, run.source)
        found.append(
            f"{run.column}, {run.title} ({run.entry}): {where}, {when(run.date)}, list {run.item_list!r}, {run.part}, "
            f"items {run.exam[:8]}, model {run.identity.key}, {packages}"
        )
    return found


def superseded(runs: Sequence[Run]) -> list[str]:
    """One line for each run that has older files: those do not count, because a newer one holds the same run."""
    root = _root(runs)
    return [
        f"{run.column}, {run.title}: {_below(root, run.source)} counts; superseded, as the same run over the same "
        f"items: {', '.join(_below(root, path) for path in run.superseded)}."
        for run in runs
        if run.superseded
    ]


def _root(runs: Sequence[Run]) -> Path:
    """The folder below which all files of some runs lie."""
    paths = [path for run in runs for path in (run.source, *run.superseded)]
    return Path(os.path.commonpath([path.resolve().parent for path in paths]))


def _below(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _warnings(runs: Sequence[Run]) -> list[str]:
    found = []
    for run in runs:
        if run.missing or run.count("failed"):
            found.append(
                f"{run.column}, {run.title} is incomplete: {counted(run.count('failed'), 'question')} failed and "
                f"{run.missing} were not asked. Failed questions are not scored."
            )
    if any(run.identity.checkpoint == "demo" for run in runs):
        found.append("The demo model is tiny and was trained on scenes of emoji: its accuracy is no evidence.")
    found += [f"{flaw}." for run in runs for check in (never_pruned, answered_plainly) if (flaw := check(run))]
    parts = Counter((run.column, run.part) for run in runs if run.asked < run.available)
    found += [
        f"{column}: {count} of the runs {'is' if count == 1 else 'are'} over a part of the task ({part}): no result to "
        "report."
        for (column, part), count in parts.items()
    ]
    return found + superseded(runs)


def _html(page: Page) -> str:
    folder = resources.files("sepm_eval.report") / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=on_page
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        page=page,
        footer=f"Written by sepm-eval {version('sepm-eval')}.",
        style=Markup(style),  # our own files: the page's policy admits these two and nothing else
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def _markdown(page: Page) -> str:
    parts = [f"# {inert(page.title)}", inert(page.summary), *(f"> {inert(warning)}" for warning in page.warnings)]
    for table in page.tables:
        rows = [[_text(cell) for cell in row] for row in table.rows]
        body = tabulate(rows, [inert(column) for column in table.columns], tablefmt="pipe", disable_numparse=True)
        parts += [f"## {inert(table.title)}", body, *(inert(note) for note in table.notes)]
    for figure in page.figures:
        picture = f"![{inert(figure.caption)}](figures/{figure.key}.png)"
        parts += [f"## {inert(figure.title)}", picture, inert(figure.caption)]
    if page.sources:
        parts += ["## Sources", "\n".join(f"* {inert(source)}" for source in page.sources)]
    return "\n\n".join(parts) + "\n"


def _text(cell: Cell) -> str:
    text = inert(cell.text)
    text = f"**{text}**" if cell.best else text
    return "; ".join([text, *(inert(line) for line in cell.details)])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

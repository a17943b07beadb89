"""A report as files: one page that needs nothing beside it, Markdown, CSV, and every figure as PNG and SVG."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from tabulate import tabulate

from sepm_eval.report.figures import Figure, all_figures
from sepm_eval.report.table import Cell, Table
from sepm_eval.report.tables import all_tables
from sepm_eval.results import Run


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
    """Write the report of some runs; the path of its page.

    Args:
        runs: what is reported.
        out: folder: report.html, report.md, tables/*.csv, figures/*.png and *.svg.
    """
    models, tasks, methods = ({getattr(run, what) for run in runs} for what in ("model", "task", "variant"))
    summary = f"Runs: {len(runs)}; models: {len(models)}; tasks: {len(tasks)}; methods: {len(methods)}."
    page = Page(
        "Image-emotion evaluation", summary, all_tables(runs), all_figures(runs), _warnings(runs), sources(runs)
    )
    return write_page(page, out, "report")


def write_page(page: Page, out: Path, name: str) -> Path:
    """Write a page as HTML and Markdown under a name, its tables as CSV, its figures as PNG and SVG; the HTML file."""
    _write(out / f"{name}.html", _html(page).encode())
    _write(out / f"{name}.md", _markdown(page).encode())
    for figure in page.figures:
        _write(out / "figures" / f"{figure.key}.png", figure.png)
        _write(out / "figures" / f"{figure.key}.svg", figure.svg)
    for table in page.tables:
        (out / "tables").mkdir(parents=True, exist_ok=True)
        with (out / "tables" / f"{table.key}.csv").open("w", newline="", encoding="utf-8") as file:
            if table.records:
                writer = csv.DictWriter(file, list(table.records[0]))
                writer.writeheader()
                writer.writerows({key: _harmless(value) for key, value in record.items()} for record in table.records)
    return out / f"{name}.html"


def sources(runs: Sequence[Run]) -> list[str]:
    """Where each run was read, when it was made, and with which versions."""
    root = Path(os.path.commonpath([run.source.resolve().parent for run in runs]))
    found = []
    for run in runs:
        packages = ", ".join(f"{name} {number}" for name, number in run.versions.items()) or "versions not recorded"
        where = run.source.resolve().relative_to(root)
        found.append(f"{run.task}, {run.title}: {where}, {run.date}, list {run.item_list!r}, {packages}")
    return found


def _warnings(runs: Sequence[Run]) -> list[str]:
    found = []
    for run in runs:
        if run.missing or run.count("failed"):
            found.append(
                f"{run.task}, {run.title} is incomplete: {run.count('failed')} questions failed and {run.missing} were "
                "not asked. Failed questions are not scored."
            )
    if any(run.model == "demo" for run in runs):
        found.append("The demo model is tiny and was trained on scenes of emoji: its accuracy is no evidence.")
    short = [run for run in runs if run.asked < run.available]
    if short:
        found.append(f"{len(short)} runs asked only the first items of a task (--limit): no result to report.")
    return found


def _html(page: Page) -> str:
    folder = resources.files("sepm_eval.report") / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
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
    parts = [f"# {_inert(page.title)}", _inert(page.summary), *(f"> {_inert(warning)}" for warning in page.warnings)]
    for table in page.tables:
        rows = [[_text(cell) for cell in row] for row in table.rows]
        body = tabulate(rows, [_inert(column) for column in table.columns], tablefmt="pipe", disable_numparse=True)
        parts += [f"## {_inert(table.title)}", body, *(_inert(note) for note in table.notes)]
    for figure in page.figures:
        picture = f"![{_inert(figure.caption)}](figures/{figure.key}.png)"
        parts += [f"## {_inert(figure.title)}", picture, _inert(figure.caption)]
    if page.sources:
        parts += ["## Sources", "\n".join(f"* {_inert(source)}" for source in page.sources)]
    return "\n\n".join(parts) + "\n"


def _text(cell: Cell) -> str:
    text = _inert(cell.text)
    text = f"**{text}**" if cell.best else text
    return "; ".join([text, *(_inert(line) for line in cell.details)])


def _inert(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no line break."""
    return re.sub(r"([\\`*_{}\[\]|~!])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _harmless(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

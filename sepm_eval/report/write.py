"""A report as files: one page that needs nothing beside it, Markdown, CSV, and every figure as PNG and SVG."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import os
import re
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from tabulate import tabulate

from sepm_eval.report.figures import Figure, all_figures
from sepm_eval.report.tables import Cell, Table, all_tables
from sepm_eval.results import Run

PAGE, TEXT = "report.html", "report.md"


def write_report(runs: Sequence[Run], out: Path) -> Path:
    """Write the report of some runs; the path of its page.

    Args:
        runs: what is reported.
        out: folder: report.html, report.md, tables/*.csv, figures/*.png and *.svg.
    """
    tables, figures = all_tables(runs), all_figures(runs)
    models, tasks = len({run.model for run in runs}), len({run.task for run in runs})
    summary = f"{len(runs)} runs: {models} models, {tasks} tasks, {len({run.variant for run in runs})} methods."
    write_pages(out, (PAGE, TEXT), "Image-emotion evaluation", summary, tables, figures, _warnings(runs), sources(runs))
    for figure in figures:
        _write(out / "figures" / f"{figure.key}.png", figure.png)
        _write(out / "figures" / f"{figure.key}.svg", figure.svg)
    return out / PAGE


def write_pages(
    out: Path,
    names: tuple[str, str],
    title: str,
    summary: str,
    tables: Sequence[Table],
    figures: Sequence[Figure] = (),
    warnings: Sequence[str] = (),
    sources: Sequence[str] = (),
) -> None:
    """Write tables and figures as a page, as Markdown and as CSV.

    Args:
        out: folder.
        names: of the page and of the Markdown file.
        title: of both.
        summary: one line below it.
        tables: in their order.
        figures: after the tables.
        warnings: what the reader must know before the figures.
        sources: which files it was made from.
    """
    _write(out / names[0], _page(title, summary, tables, figures, warnings, sources).encode())
    _write(out / names[1], _markdown(title, summary, tables, figures, warnings, sources).encode())
    for table in tables:
        (out / "tables").mkdir(parents=True, exist_ok=True)
        with (out / "tables" / f"{table.key}.csv").open("w", newline="", encoding="utf-8") as file:
            if table.records:
                writer = csv.DictWriter(file, list(table.records[0]))
                writer.writeheader()
                writer.writerows({key: _harmless(value) for key, value in record.items()} for record in table.records)


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


def _page(
    title: str,
    summary: str,
    tables: Sequence[Table],
    figures: Sequence[Figure],
    warnings: Sequence[str],
    sources: Sequence[str],
) -> str:
    folder = resources.files("sepm_eval.report") / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    pictures = [{**vars(figure), "encoded": base64.b64encode(figure.png).decode()} for figure in figures]
    return template.render(
        title=title,
        summary=summary,
        tables=tables,
        figures=pictures,
        warnings=warnings,
        sources=sources,
        footer=f"Written by sepm-eval {version('sepm-eval')}.",
        style=Markup(style),  # our own files: the page's policy admits these two and nothing else
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def _markdown(
    title: str,
    summary: str,
    tables: Sequence[Table],
    figures: Sequence[Figure],
    warnings: Sequence[str],
    sources: Sequence[str],
) -> str:
    parts = [f"# {_inert(title)}", _inert(summary), *(f"> {_inert(warning)}" for warning in warnings)]
    for table in tables:
        rows = [[_text(cell) for cell in row] for row in table.rows]
        body = tabulate(rows, [_inert(column) for column in table.columns], tablefmt="pipe", disable_numparse=True)
        parts += [f"## {_inert(table.title)}", body, *(_inert(note) for note in table.notes)]
    for figure in figures:
        picture = f"![{_inert(figure.caption)}](figures/{figure.key}.png)"
        parts += [f"## {_inert(figure.title)}", picture, _inert(figure.caption)]
    if sources:
        parts += ["## Sources", "\n".join(f"* {_inert(source)}" for source in sources)]
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

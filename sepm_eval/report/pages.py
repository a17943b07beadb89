"""A page of a report: what it shows, and how it is written as HTML, Markdown, CSV and figure files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup
from tabulate import tabulate

from sepm_eval.report.figures import Figure
from sepm_eval.report.inline import ItemLink, inline_svg
from sepm_eval.report.table import Cell, Table
from sepm_eval.report.text import inert, on_page, write_csv


def no_link(items: Mapping[str, str]) -> str:
    """The ``ItemLink`` of a report without an explorer: no items have an address."""
    return ""


@dataclass(frozen=True)
class Page:
    """What a page and its Markdown twin show.

    Attributes:
        title: heading of the page.
        summary: one line below it.
        tables: the tables, in the order shown.
        figures: the figures after the tables.
        warnings: what the reader must know before reading any number.
        sources: where the numbers come from, one line for each run.
        heading: heading of the findings; "" if the page has none before its tables.
        findings: what the page says first, one sentence each; the first one sums up the others.
        floor: the noise floor that the findings are judged against, one sentence each.
        front: the figures that show the findings; they are part of the page, and their points can be links.
        folded: keys of the tables that are hidden until the reader opens them.
        root: the path from this page to the folder of the report, "" or "../".
        ways: links to other pages of the report, address and name of each.
    """

    title: str
    summary: str
    tables: Sequence[Table]
    figures: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    sources: Sequence[str] = ()
    heading: str = ""
    findings: Sequence[str] = ()
    floor: Sequence[str] = ()
    front: Sequence[Figure] = ()
    folded: frozenset[str] = frozenset()
    root: str = ""
    ways: Sequence[tuple[str, str]] = ()


def write_page(page: Page, out: Path, name: str, link: ItemLink = no_link) -> Path:
    """Write a page as HTML and Markdown, its tables as CSV, its figures as PNG and SVG.

    Args:
        page: what it shows.
        out: the folder to write to.
        name: name of the HTML and the Markdown file, without the ending.
        link: gives the address of the page that shows certain items.

    Returns:
        The path of the HTML page.

    Raises:
        ValueError: two of its tables or figures would be written to the same file; nothing is written.
    """
    figures = (*page.front, *page.figures)
    for kind, keys in (("tables", [one.key for one in page.tables]), ("figures", [one.key for one in figures])):
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"several {kind} would be written to the same file: {', '.join(twice)}")
    _write(out / f"{name}.html", as_html(page, link).encode())
    _write(out / f"{name}.md", as_markdown(page).encode())
    for figure in figures:
        _write(out / "figures" / f"{figure.key}.png", figure.png)
        _write(out / "figures" / f"{figure.key}.svg", figure.svg)
    for table in page.tables:
        if table.records:
            write_csv(out / "tables" / f"{table.key}.csv", table.records)
    return out / f"{name}.html"


def as_html(page: Page, link: ItemLink) -> str:
    """Render a page as HTML that loads no other file; its links lead to the other pages of its report."""
    folder = resources.files("sepm_eval.report") / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))

    def address(items: Mapping[str, str] | None) -> str:
        found = link(items) if items else ""
        return found if not found or "://" in found else f"{page.root}{found}"

    return _template().render(
        page=page,
        address=address,
        drawn={
            figure.key: Markup(inline_svg(figure, address))
            for figure in (*page.front, *page.figures)
            if figure.items or figure in page.front
        },
        footer=f"Written by sepm-eval {version('sepm-eval')}.",
        style=Markup(style),  # our own files: the page's policy allows these two and nothing else
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    text = (resources.files("sepm_eval.report") / "page" / "page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=on_page
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment.from_string(text)


def as_markdown(page: Page) -> str:
    """Render a page as Markdown."""
    parts = [f"# {inert(page.title)}", inert(page.summary), *(f"> {inert(warning)}" for warning in page.warnings)]
    if page.heading:
        parts += [f"## {inert(page.heading)}", *_bullets(page.findings)]
        parts += ["### Noise floor", *_bullets(page.floor)] if page.floor else []
    for figure in page.front:
        parts += [f"### {inert(figure.title)}", _picture(page, figure), inert(figure.caption)]
    for table in page.tables:
        rows = [[_text(cell) for cell in row] for row in table.rows]
        body = tabulate(rows, [inert(column) for column in table.columns], tablefmt="pipe", disable_numparse=True)
        parts += [f"## {inert(table.title)}", body, *(inert(note) for note in table.notes)]
    for figure in page.figures:
        parts += [f"## {inert(figure.title)}", _picture(page, figure), inert(figure.caption)]
    if page.sources:
        parts += ["## Sources", *_bullets(page.sources)]
    return "\n\n".join(parts) + "\n"


def _bullets(sentences: Sequence[str]) -> list[str]:
    return ["\n".join(f"* {inert(sentence)}" for sentence in sentences)]


def _picture(page: Page, figure: Figure) -> str:
    return f"![{inert(figure.caption)}]({page.root}figures/{figure.key}.png)"


def _text(cell: Cell) -> str:
    text = inert(cell.text)
    text = f"**{text}**" if cell.best else text
    return "; ".join([text, *(inert(line) for line in cell.details)])


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

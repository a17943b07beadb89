"""The report of some runs: a first page that says what helped, and a page for each model and set of items."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from sepm_eval.plurals import counted
from sepm_eval.report.comparing import compared
from sepm_eval.report.figures import all_figures
from sepm_eval.report.findings import conclusion, findings, noise_floor, of_methods
from sepm_eval.report.front_figures import front_figures
from sepm_eval.report.inline import ItemLink
from sepm_eval.report.pages import Page, no_link, write_page
from sepm_eval.report.table import Cell, Table, groups, page_key, when, without_best
from sepm_eval.report.tables import all_tables, detail_tables
from sepm_eval.report.text import write_csv
from sepm_eval.runs.method_checks import answered_plainly, never_pruned
from sepm_eval.runs.outcomes import Run

_LISTS = ("flips", "unparsed", "failed")  # tables of single items: one CSV file has the lines of all pages
_NOTHING_COMPARED = (
    "No method is compared: that takes a zero-shot run with default options of the same model on the same items."
)


def write_report(runs: Sequence[Run], out: Path, *, link: ItemLink = no_link, quiet: bool = True) -> Path:
    """Write the report of some runs: a first page over all of them, and one for each model and set of items.

    Args:
        runs: the runs of the report.
        out: the folder to write to: report.html, report.md, pages/*.html and *.md, tables/*.csv, figures/*.png and
            *.svg.
        link: gives the address of the page that shows certain items; cells and points link to it.
        quiet: show no progress.

    Returns:
        The path of the first page.

    Raises:
        ValueError: two pages, or two tables or figures of a page, would be written to the same file.
    """
    together = groups(runs)
    addresses = {(mine[0].model, mine[0].column): f"pages/{page_key(mine)}.html" for mine in together}
    if len(set(addresses.values())) < len(addresses):
        raise ValueError(f"several pages would be written to the same file: {', '.join(sorted(addresses.values()))}")
    with tqdm(total=len(together) + 1, desc="report", unit="page", disable=quiet) as bar:
        page = _front_page(runs, addresses)
        where = write_page(page, out, "report", link)
        bar.update()
        lists: set[str] = set()
        for mine in together:
            bar.set_postfix_str(f"{mine[0].model}, {mine[0].column}", refresh=True)
            _write_details(mine, out, link, lists)
            bar.update()
    return where


def _front_page(runs: Sequence[Run], addresses: Mapping[tuple[str, str], str]) -> Page:
    models, tasks, methods = ({getattr(run, what) for run in runs} for what in ("model", "task", "called"))
    told = compared(runs)
    asked = of_methods(told[0])
    first = conclusion(asked)
    tables = all_tables(runs, told)
    sure = not _no_result(runs)
    if not sure:
        tables = [without_best(table) for table in tables]
    return Page(
        "Image-emotion evaluation",
        f"Runs: {len(runs)}; models: {len(models)}; tasks: {len(tasks)}; methods: {len(methods)}.",
        [_ways(runs, addresses), *tables],
        warnings=_warnings(runs),
        sources=sources(runs),
        heading="Which method helped" if sure else "Which method helped in this trial",
        findings=[first, *findings(asked)] if first else [_NOTHING_COMPARED],
        floor=noise_floor(runs),
        front=front_figures(runs, told[0]),
    )


def _write_details(mine: Sequence[Run], out: Path, link: ItemLink, lists: set[str]) -> None:
    """Write the page about one model over one set of items.

    Args:
        mine: the runs of that model over that set.
        out: the folder of the report.
        link: as for ``write_report``.
        lists: keys of the tables whose CSV file has the lines of all pages and was already begun; keys are added here.
    """
    tables = detail_tables(mine)
    page = Page(
        f"{mine[0].model}, {mine[0].column}",
        f"Methods: {len(mine)}; items: {len(mine[0].outcomes)}; list {mine[0].item_list!r}, {mine[0].part}.",
        [dataclasses.replace(table, records=()) if table.key in _LISTS else table for table in tables],
        all_figures(mine),
        [flaw for run in mine if (flaw := _flaw(run))] + _no_result(mine),
        folded=frozenset(table.key for table in tables if table.key.startswith("confusion")),
        root="../",
        ways=[("../report.html", "All models and benchmarks")],
    )
    write_page(page, out, f"pages/{page_key(mine)}", link)
    for table in tables:
        if table.key in _LISTS:
            write_csv(out / "tables" / f"{table.key}.csv", table.records, more=table.key in lists)
            lists.add(table.key)


def _ways(runs: Sequence[Run], addresses: Mapping[tuple[str, str], str]) -> Table:
    """Make the table that links to the pages of single models and benchmarks."""
    columns = list(dict.fromkeys(run.column for run in runs))
    rows = []
    for model in dict.fromkeys(run.model for run in runs):
        cells = [Cell(model)]
        for column in columns:
            count = sum((run.model, run.column) == (model, column) for run in runs)
            told = counted(count, "method")
            cells.append(Cell(told, value=count, page=addresses[model, column]) if count else Cell("-"))
        rows.append(tuple(cells))
    notes = ("Each leads to accuracy by label, confusions, figures, and the items that flipped or went wrong.",)
    return Table("pages", "By model and benchmark", ("model", *columns), tuple(rows), notes)


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
    """One line for each run that also has older files; they do not count, because a newer file holds the same run."""
    root = _root(runs)
    return [
        f"{run.column}, {run.model}: {run.called}: {_below(root, run.source)} counts; superseded, as the same run over "
        f"the same items: {', '.join(_below(root, path) for path in run.superseded)}."
        for run in runs
        if run.superseded
    ]


def _root(runs: Sequence[Run]) -> Path:
    """The deepest folder that all files of some runs are in."""
    paths = [path for run in runs for path in (run.source, *run.superseded)]
    return Path(os.path.commonpath([path.resolve().parent for path in paths]))


def _below(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root).as_posix()


def _warnings(runs: Sequence[Run]) -> list[str]:
    return [flaw for run in runs if (flaw := _flaw(run))] + _no_result(runs) + superseded(runs)


def _flaw(run: Run) -> str:
    """Say how many questions of a run failed or were not asked; "" if none."""
    if not run.missing and not run.count("failed"):
        return ""
    told = f"{counted(run.count('failed'), 'question')} failed and {run.missing} were not asked"
    return f"{run.column}, {run.model}: {run.called} is incomplete: {told}. Failed questions are not scored."


def _no_result(runs: Sequence[Run]) -> list[str]:
    """Say why the numbers of a report, or some of them, are no result; no sentences if all are."""
    found = []
    if any(run.identity.checkpoint == "demo" for run in runs):
        found.append("The demo model is tiny and was trained on scenes of emoji: its accuracy is no evidence.")
    found += [f"{flaw}." for run in runs for check in (never_pruned, answered_plainly) if (flaw := check(run))]
    parts = Counter((run.column, run.part) for run in runs if run.asked < run.available)
    return found + [
        f"{column}: {count} of the runs {'is' if count == 1 else 'are'} over a part of the task ({part}): no result to "
        "report."
        for (column, part), count in parts.items()
    ]

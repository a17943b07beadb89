"""Make texts that others wrote (answers, ids, labels, paths) safe for HTML pages, Markdown and CSV files."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

# Control characters, and unseen characters that change the direction of the text or end a line.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_LAYOUT = "\t\n\r"
# If a cell begins with one of these, a spreadsheet takes it for a formula; full-width forms too.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_BEGINS = re.compile(rf"[\s{_UNSEEN.pattern[1:-1]}]*[{_FORMULA}]")
# Where a program that splits cells at another character, or at a line break inside a cell, may see a formula begin. A
# whole run of separators, white space and quotes is matched at once, so that the time is linear in the text's length.
_SEPARATORS = ";,|\t\r\n\v\f\x85\u2028\u2029"
_RUN = rf"\s\"'{_SEPARATORS}{_UNSEEN.pattern[1:-1]}"
_INSIDE = re.compile(rf"(?<![{_RUN}])([{_RUN}]+)(?=[{_FORMULA}])")


def visible(text: str, layout: str = "") -> str:
    r"""Show every control character as an escape that can be read, such as \x1b for ESC.

    Args:
        text: the text.
        layout: which of tab, line feed and carriage return stay as they are.

    Returns:
        The text without control characters.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in layout else _escape(found[0]), text)


def on_page(value: Any) -> Any:
    """Prepare a value for an HTML page: control characters become visible, white space is left to the browser."""
    return visible(value, _LAYOUT) if type(value) is str else value


def inert(text: str) -> str:
    """Prepare a text so that Markdown shows it as it is: no markup, HTML, line break or control character works."""
    plain = " ".join(visible(text, _LAYOUT).split())
    return re.sub(r"([\\`*_{}\[\]|~!])", r"\\\1", html.escape(plain, quote=False))


def harmless(value: Any) -> Any:
    """Prepare a value for a CSV file, so that no spreadsheet takes it, or a part of it, for a formula."""
    return _harmless(value) if isinstance(value, str) else value


@lru_cache(maxsize=2**16)  # a long file has few different cells
def _harmless(value: str) -> str:
    text = _INSIDE.sub(lambda found: found[0] + "'" * any(one in _SEPARATORS for one in found[0]), value)
    return visible(f"'{text}" if _BEGINS.match(value) else text)


def write_csv(path: Path, records: Sequence[Mapping[str, Any]], *, more: bool = False) -> None:
    """Write records as CSV; without records the file is empty.

    Args:
        path: the file.
        records: one for each line, all with the same keys.
        more: append to the file, whose records have the same keys, instead of replacing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if more else "w", newline="", encoding="utf-8") as file:
        if records:
            writer = csv.DictWriter(file, list(records[0]))
            if not more:
                writer.writeheader()
            writer.writerows({key: harmless(value) for key, value in record.items()} for record in records)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()

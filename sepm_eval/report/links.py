"""Addresses of items in the explorer, so that every number of a report can be opened.

The explorer's page lies beside the report. Everything behind the ``#`` is read by its script
(``sepm_eval/view/page/state.js``); nothing of it is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import quote, urlencode

from sepm_eval.report.text import visible

ITEMS_PAGE = "items.html"

Outcomes: TypeAlias = Literal[
    "", "right", "wrong", "flipped", "wrong-right", "right-wrong", "unparsed", "failed", "ambiguous"
]


def link_to_items(
    *,
    items: str = "",
    model: str = "",
    method: str = "",
    outcome: Outcomes = "",
    label: str = "",
    answer: str = "",
    confidence: str = "",
    item: str = "",
) -> str:
    """The address of some items, relative to a report's folder. Arguments left out do not narrow the list.

    Args:
        items: the set of items, as in ``Run.column``.
        model: as in ``Run.model``.
        method: as in ``Run.variant``.
        outcome: what became of an item under this model and method. "flipped" are those of which only one of the method
            and zero-shot is right; "wrong-right" are those that only the method has right, "right-wrong" the others.
            "wrong" includes unparsed answers, as everywhere.
        label: the item's label.
        answer: the label answered.
        confidence: of stage 1, from (included) and to (excluded): "0.05:0.075".
        item: opens this one, by its id, and not the list.

    Returns:
        Such as "items.html#items=emoset&model=llava-hf%2Fllava-1.5-7b-hf&method=sepm&outcome=wrong".
    """
    told = {
        **{"items": items, "model": model, "method": method, "outcome": outcome, "label": label, "answer": answer},
        **{"confidence": confidence, "item": item},
    }
    given = {key: visible(value) for key, value in told.items() if value}
    return f"{ITEMS_PAGE}#{urlencode(given, quote_via=quote, safe='')}"


_OF_FLIP: dict[str, Outcomes] = {"wrong → right": "wrong-right", "right → wrong": "right-wrong"}
_OF_STATUS: dict[str, Outcomes] = {"unparsed": "unparsed", "failed": "failed"}


def link_of(about: Mapping[str, str]) -> str:
    """The address of the items that a cell or a point of a report is about.

    Args:
        about: any of "column", "model", "method", "label", "answer" (a label, or "unparsed"), "status", "flip",
            "confidence" and "item", as the report's tables say it; anything else does not narrow the list.

    Returns:
        An address relative to the report's folder.
    """
    status = about.get("status", "")
    answer = about.get("answer", "")
    if answer == "unparsed":
        status, answer = answer, ""
    return link_to_items(
        items=about.get("column", ""),
        model=about.get("model", ""),
        method=about.get("method", ""),
        outcome=_OF_FLIP.get(about.get("flip", "")) or _OF_STATUS.get(status, ""),
        label=about.get("label", ""),
        answer=answer,
        confidence=about.get("confidence", ""),
        item=about.get("item", ""),
    )

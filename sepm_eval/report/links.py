"""Addresses of items in the explorer, so that every number of a report can be opened.

The explorer's page lies beside the report. Its script (``sepm_eval/view/page/state.js``) reads everything behind the
``#``; none of it is sent anywhere.
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
    """The address of a list of items, relative to a report's folder.

    An argument that is left out does not narrow the list.

    Args:
        items: the set of items, as in ``Run.column``.
        model: as in ``Run.model``.
        method: as in ``Run.variant``.
        outcome: what became of an item under this model and method. "flipped" are the items that only the method or
            only zero-shot got right; "wrong-right" are those that only the method got right, "right-wrong" those that
            only zero-shot got right. "wrong" includes unparsed answers, as everywhere.
        label: the item's label.
        answer: the label that was answered.
        confidence: confidence of stage 1, from (included) and to (excluded): "0.05:0.075".
        item: the id of one item, which is opened instead of the list.

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
            "confidence" and "item", with values as in the report's tables; other keys are ignored.

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

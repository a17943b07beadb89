"""Addresses of items in the explorer, so that every number of a report can be opened.

The explorer's page lies beside the report. Everything behind the ``#`` is read by its script
(``sepm_eval/view/page/state.js``); nothing of it is sent anywhere.
"""

from __future__ import annotations

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
    confidence: tuple[float, float] | None = None,
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
        confidence: from (included) and to (excluded), of stage 1.
        item: opens this one, by its id, and not the list.

    Returns:
        Such as "items.html#items=emoset&model=llava-hf%2Fllava-1.5-7b-hf&method=sepm&outcome=wrong".
    """
    told = {
        **{"items": items, "model": model, "method": method, "outcome": outcome, "label": label, "answer": answer},
        "confidence": "" if confidence is None else f"{confidence[0]:.10g}:{confidence[1]:.10g}",
        "item": item,
    }
    given = {key: visible(value) for key, value in told.items() if value}
    return f"{ITEMS_PAGE}#{urlencode(given, quote_via=quote, safe='')}"

"""Everything that is known of single items: what each run was asked, saw and wrote, and its probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sepm_eval.report.text import visible
from sepm_eval.runs.journal_records import record_of
from sepm_eval.runs.outcomes import Outcome, Record
from sepm_eval.types import Block
from sepm_eval.view.catalog import Catalog, Entry, share
from sepm_eval.view.journals import Journals

_LINES = "\t\n"


def details(
    catalog: Catalog, answers: Mapping[int, Sequence[tuple[int, Outcome]]], items: Iterable[int], journals: Journals
) -> dict[str, Any]:
    """The data of the pages of some items.

    Args:
        catalog: all runs.
        answers: ``catalog.answers_of()``.
        items: the numbers of the items.
        journals: the journals, from which the records are read.

    Returns:
        ``texts``, which has every prompt once; and ``items``, which has, by an item's number, the name of its picture's
        file and its answers.
    """
    texts: dict[str, int] = {}
    found = {}
    for item in items:
        rows = []
        for number, outcome in answers.get(item, ()):
            entry = catalog.entries[number]
            record = _record(entry, outcome, journals)
            rows.append({"run": number, **_answer(outcome, record, texts)})
        found[item] = {"picture": visible(catalog.items.pictures[item]), "answers": rows}
    return {"items": found, "texts": list(texts)}


def _record(entry: Entry, outcome: Outcome, journals: Journals) -> Mapping[str, Any]:
    """The journal record that an outcome came from; empty if it cannot be found."""
    failed = outcome.score.status == "failed"
    for content in journals.records(entry.run.identity.digest, entry.run.task, outcome.doc_id):
        same = content.get("item") == outcome.item and (content.get("status") == "failed") == failed
        if same and (failed or content.get("text") == outcome.output):
            return content
    return {}


def _answer(outcome: Outcome, content: Mapping[str, Any], texts: dict[str, int]) -> dict[str, Any]:
    """One run's answer. Anything unexpected in the journal record is left out."""
    prompts = [one for one in _list(content.get("prompts")) if isinstance(one, str)]
    told: dict[str, Any] = {
        "text": visible(outcome.output, _LINES),
        "asked": [texts.setdefault(visible(one, _LINES), len(texts)) for one in prompts or [outcome.question]],
        "journal": bool(content),
    }
    if content:
        record = _as_value(content)
        told |= {**({} if record is None else _of_record(record)), **_of_method(content)}
    return {name: value for name, value in told.items() if value not in (None, [], {}, "")}


def _as_value(content: Mapping[str, Any]) -> Record | None:
    """The part of a record that a report uses; None if the record is damaged."""
    try:
        return record_of(content)[2]
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _of_record(record: Record) -> dict[str, Any]:
    """What a record says of stage 1 and of the visual tokens."""
    told: dict[str, Any] = {
        **{"positive": share(record.p_positive), "negative": share(record.p_negative)},
        **{"confidence": share(record.confidence), "polarity": record.polarity and visible(str(record.polarity))},
        **{"ambiguous": bool(record.ambiguous), "tokens": record.visual_tokens, "left": share(record.tokens_left)},
        **{"read": list(record.tokens_read), "error": record.error and visible(str(record.error), _LINES)},
        "dropped": len(record.dropped),
    }
    if record.blocks:
        told["blocks"] = _grids(record.blocks, record.dropped)
    return told


def _grids(blocks: Sequence[Block], dropped: Sequence[int]) -> list[dict[str, Any]]:
    """Each block's box and grid, and which of its cells were dropped: one bit per cell, row by row, as hexadecimal."""
    gone, first, found = set(dropped), 0, []
    for block in blocks:
        cells = [0] * (block.rows * block.columns)
        for token, (row, column) in enumerate(block.places(), start=first):
            if column >= 0 and token in gone:
                cells[row * block.columns + column] = 1
        first += len(block)
        bits = "".join(map(str, cells)).ljust(-(-len(cells) // 4) * 4, "0")
        mask = "".join(f"{int(bits[at : at + 4], 2):x}" for at in range(0, len(bits), 4)) if any(cells) else ""
        found.append({"box": list(block.box), "rows": block.rows, "columns": block.columns, "mask": mask})
    return found


def _of_method(content: Mapping[str, Any]) -> dict[str, Any]:
    """What only some methods record: option probabilities, candidates, scores, the analysis, another option order."""
    told: dict[str, Any] = {}
    for name in ("option_probabilities", "scores"):
        table = content.get(name)
        if isinstance(table, dict):
            told[name] = [[visible(str(label)), share(value)] for label, value in table.items()]
    told["candidates"] = [visible(str(label)) for label in _list(content.get("candidates"))]
    if isinstance(content.get("analysis"), str):
        told["analysis"] = visible(content["analysis"], _LINES)
    shuffled = content.get("shuffled")
    if isinstance(shuffled, dict):
        told["shuffled"] = [visible(str(label)) for label in _list(shuffled.get("labels"))]
        told["shuffled_text"] = visible(str(shuffled.get("text")), _LINES)
    return told


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

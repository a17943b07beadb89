"""MVEI: is a statement about a picture's emotion true? (Wu et al., ICLR 2026; hub wudq/MVEI).

The set has 3,086 pairs of a picture of EmoSet and a statement, which is labelled correct or incorrect, in four
dimensions: sentiment polarity, emotion interpretation, scene context, perception subjectivity. The release is
``MVEI_metadata.json``, a list with one entry per picture (``image_id``, ``ov_emotion`` and a ``statement_list`` of
``statement``, ``label``, ``class`` and ``subclass``), and ``images.zip``, unpacked as ``images/<image_id>``; both may
be in a folder MVEI. This is known from the authors' README and code; we could not look at the files.

An item's id is the picture's id with the number of its statement, as in "contentment/contentment_14236.jpg#0". The
authors let the model write "Correct" or "Incorrect"; here the two are options with letters, after the statement.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sepm_eval.datasets import Benchmark, HubCopy, Item, OwnQuestion, read_text, safe_path, whole
from sepm_eval.parsing import Options

NAMES = {"correct": "Correct", "incorrect": "Incorrect"}
DIMENSIONS = ("sentiment polarity", "emotion interpretation", "scene context", "perception subjectivity")
LIST = "MVEI_metadata.json"
ASK = "Does the statement match what the image conveys?"


def read(folder: Path) -> list[Item]:
    """Read all statements, in the release's order.

    Raises:
        MissingData: there is no list.
        ValueError: an entry is not as described; the message names it.
    """
    home = folder / "MVEI" if (folder / "MVEI" / LIST).is_file() else folder
    path = home / LIST
    try:
        entries = json.loads(read_text(path, "the MVEI release"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            raise ValueError(f"{path} is not JSON: {error}") from error
        raise
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} is not a list of pictures with statements")
    return [item for number, entry in enumerate(entries) for item in _items(home, f"{path}, entry {number}", entry)]


def _items(home: Path, where: str, entry: Any) -> list[Item]:
    name, statements = (entry.get("image_id"), entry.get("statement_list")) if isinstance(entry, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(statements, list):
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{where}: expected image_id and statement_list, found {found}")
    path = safe_path(home / "images", name, where)
    return [_item(f"{name}#{n}", path, f"{where}, statement {n}", one) for n, one in enumerate(statements)]


def _item(key: str, path: Path, where: str, told: Any) -> Item:
    told = told if isinstance(told, dict) else {}
    statement, label, dimension = (str(told.get(name, "")).strip() for name in ("statement", "label", "class"))
    if not statement or label.lower() not in NAMES or dimension not in DIMENSIONS:
        raise ValueError(
            f"{where}: expected a statement, a label of {list(NAMES)} and a class of {list(DIMENSIONS)}, found {told!r}"
        )
    return Item(key, path, label.lower(), {"kind": dimension.replace(" ", "_")}, question(statement))


def question(statement: str) -> OwnQuestion:
    """The question whether a statement is true."""
    ask = f"Statement: {' '.join(statement.split())}\n{ASK}"
    return OwnQuestion.lettered(ask, Options(tuple(NAMES), tuple(NAMES.values())))


BENCHMARKS = {
    "mvei": Benchmark(
        name="mvei",
        title="MVEI",
        names=NAMES,
        read=read,
        folder="MVEI",
        obtain="Fetch it from the hub: sepm-eval prepare mvei --source hf:wudq/MVEI.",
        terms="not stated in what we read; the pictures are EmoSet's",
        lists={"all": whole},
        hub=(HubCopy("wudq/MVEI", ("*MVEI_metadata.json", "*images.zip", "*images/*")),),
        size=3086,
        licence="not stated",
        own_questions=True,
    )
}

"""Made-up runs with pictures and full journal records, to be looked at; nothing here says anything about a method."""

from __future__ import annotations

import json
from pathlib import Path

from make_runs import LLAVA, NASTY, VILA, read_lines, run, write_lines
from PIL import Image

from sepm_eval.emotions import POLARITY

TILED = [
    {"box": [0, 0, 120, 90], "rows": 2, "columns": 4, "separators": "end", "by_columns": False},
    {"box": [0, 0, 60, 90], "rows": 3, "columns": 2, "separators": "rows", "by_columns": False},
    {"box": [60, 0, 120, 90], "rows": 3, "columns": 2, "separators": "none", "by_columns": True},
]
PADDED = [{"box": [0, -15, 120, 105], "rows": 8, "columns": 8, "separators": "none", "by_columns": False}]
ODD_ID = "<b onclick=alert(1)>\x1b[31m'id'"
GONE = 7  # the picture of this document is not there
PLAN = (
    ("sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5),
    ("sepm_llava", LLAVA, "sepm", "emotion6", 0.75),
    ("sepm_llava", LLAVA, "zero_shot_cot", "emotion6", 0.45),
    ("llava_hf", LLAVA, "", "emotion6", 0.5),
    ("sepm_vila", VILA, "sepm", "emotion6", 0.55),
    ("sepm_llava", LLAVA, "sparsevlm", "emoset", 0.52),
)


def make(folder: Path, pictures: Path) -> None:
    """Write runs below a folder, and their pictures below another."""
    pictures.mkdir(parents=True, exist_ok=True)
    for number in range(32):
        if number != GONE:
            Image.new("RGB", (120, 90), (8 * number, 255 - 8 * number, 60)).save(pictures / f"{number}.jpg")
    for entry, checkpoint, method, task, skill in PLAN:
        run(folder, entry, checkpoint, method, task, skill, "20261101_120000")
    for path in folder.rglob("*_samples_*.jsonl"):
        samples = read_lines(path)
        for sample in samples:
            sample["input_media"] = [str(pictures / f"{sample['doc_id']}.jpg")]
            if sample["doc_id"] == 2:
                sample["item_id"] = ODD_ID
        write_lines(path, samples)
    for path in (folder / "journals").glob("*.jsonl"):
        write_lines(path, [full(record) for record in read_lines(path)])


def full(record: dict) -> dict:
    """A record with what the runner writes besides."""
    labels = [line.partition(". ")[2].lower() for line in record["question"].splitlines() if line[1:3] == ". "]
    record["target"] = labels[record["doc_id"] % len(labels)]
    if record["doc_id"] == 2:
        record["item"] = ODD_ID
    if record["status"] == "failed":
        return record
    share = {"zero_shot": 0.2, "sepm": 0.6}.get(record["method"]["name"], 0.4)
    record["option_probabilities"] = {label: share if label == labels[0] else 0.1 for label in labels}
    record["blocks"] = PADDED
    if record["method"]["name"] == "sepm":
        side = record["polarity"]
        record["candidates"] = labels if record["ambiguous"] else [one for one in labels if POLARITY[one] == side]
        record["prompts"] = ["Is it positive or negative?\n  A. <b>Positive</b>", "Which emotion?"]
        if record["doc_id"] == 1:  # as of a tiled picture, and with what DAN has
            record |= {"blocks": TILED, "visual_tokens": 24, "dropped": [1, 13, 21], "tokens_read": [24, 21]}
            record |= {"scores": dict.fromkeys(labels, 0.25), "analysis": f"The clues: {NASTY}"}
    return record


def journal_lines(path: Path) -> list[bytes]:
    """The lines of a journal, to be written again one by one."""
    return [json.dumps(record).encode() + b"\n" for record in read_lines(path)]

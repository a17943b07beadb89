"""Makes the miniature runs in ``runs/``: results, samples and journals as lmms-eval and sepm_eval write them.

    python tests/make_runs.py

Answers are drawn at random, more often right for some methods than for others; nothing here says anything about them.
One answer is a script tag, one picture failed, one run was repeated. What stands in a sample besides lmms-eval's own
columns is written by the tasks' own ``process_results``, and identities and keys are made as the runner makes them, so
that these files cannot differ in form from real ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import POLARITY
from sepm_eval.images import UnreadableImage
from sepm_eval.prompts import letters
from sepm_eval.runs.identity import Identity, answering
from sepm_eval.runs.journal import question_key
from sepm_eval.runs.plan import parse_method, slug, split_method
from sepm_eval.scoring import failure_text
from sepm_eval.tasks.functions import process_results

RUNS = Path(__file__).parent / "runs"
LLAVA, VILA = "llava-hf/llava-1.5-7b-hf", "Efficient-Large-Model/Llama-3-VILA1.5-8B"
VERSIONS = {"sepm-eval": "0.2.0", "torch": "2.14.1", "transformers": "5.23.0", "pillow": "12.3.0"}
REVISION = "0" * 40
MODEL = {"dtype": "float16", "template": "vicuna_v1", "image_aspect_ratio": "pad"}
N = {"emotion6": 30, "emoset": 32}
TOKENS = 64
NASTY = "<script>document.title='owned'</script> | **joy** =1+1"
PLAN = [
    ("sepm_llava", LLAVA, "zero_shot", 0.50),
    ("sepm_llava", LLAVA, "zero_shot_cot", 0.45),
    ("sepm_llava", LLAVA, "sparsevlm", 0.52),
    ("sepm_llava", LLAVA, "random_drop,beta=0.1", 0.55),
    ("sepm_llava", LLAVA, "sepm,beta=0.1", 0.60),
    ("sepm_llava", LLAVA, "sepm", 0.75),
    ("sepm_llava", LLAVA, "sepm,beta=0.4", 0.60),
    ("sepm_llava", LLAVA, "sepm,alpha=0.05", 0.60),
    ("sepm_llava", LLAVA, "sepm,alpha=0.2", 0.55),
    ("sepm_llava", LLAVA, "sepm,vta=False", 0.58),
    ("sepm_vila", VILA, "zero_shot", 0.45),
    ("sepm_vila", VILA, "sepm", 0.55),
    ("llava_hf", LLAVA, "", 0.50),
]


def make(folder: Path) -> None:
    """Write all runs below a folder."""
    for entry, model, method, skill in PLAN:
        for task in N:
            run(folder, entry, model, method, task, skill, "20261101_120000")
    run(folder, "sepm_llava", LLAVA, "zero_shot", "emotion6", 0.5, "20261102_120000")  # the same again, later


def run(
    folder: Path,
    entry: str,
    checkpoint: str,
    method: str,
    task: str,
    skill: float,
    date: str,
    *,
    place: str = "",
    items: slice = slice(None),
    available: int = 0,
    item_list: str = "mini",
    pictures: str = "",
    **identity: Any,
) -> Identity | None:
    """One run of one task.

    Args:
        folder: below which to write.
        entry: lmms-eval's name of the model.
        checkpoint: the model's.
        method: as in a plan; "" for a model that is not ours.
        task: the task.
        skill: share of the answers that are right, roughly.
        date: when, in UTC, as lmms-eval names its files.
        place: name of the run's folder.
        items: which of the task's items.
        available: how many the task has, if there are more.
        item_list: the list's name.
        pictures: another word gives every picture another content.
        identity: fields of ``Identity`` that are to be others.

    Returns:
        Who answers; None for a model that is not ours.
    """
    # long because: one run's files, field by field
    benchmark = find_benchmarks()[task]
    labels, question = list(benchmark.names), benchmark.question()
    draw = random.Random(f"{entry} {checkpoint} {method} {task}")
    name, _ = split_method(method) if method else ("", {})
    about = who(entry, checkpoint, method, **identity) if name else None
    keys: dict[tuple[str, str], str] = {}
    answering.start(about, keys)
    samples, records = [], []
    for doc_id in range(N[task])[items]:
        target = labels[doc_id % len(labels)]
        answer = target if draw.random() < skill else draw.choice(labels)
        output = letters(len(labels))[labels.index(answer)]
        if (name, task, doc_id) == ("zero_shot_cot", "emotion6", 3):
            output = NASTY
        if (name, task, doc_id) == ("sparsevlm", "emoset", 5):
            output = failure_text(UnreadableImage("picture 5 cannot be read as a picture"))
        picture = hashlib.sha256(f"{pictures}{task}/{doc_id}".encode()).hexdigest()
        doc = {"benchmark": task, "id": f"{task}/{doc_id:03d}", "item_list": item_list, "label": target}
        doc |= {"picture": picture, "question": question}
        doc |= {"labels": labels, "names": list(benchmark.names.values())}
        if about is not None:
            key = keys[task, doc["id"]] = key_of(about, picture, question)
            records.append(record(draw, about, key, task, doc_id, doc, output))
        told = process_results(doc, [output])
        told["answered_at"] = f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[9:11]}:{date[11:13]}:{date[13:15]}+00:00"
        samples.append(
            {
                **{"doc_id": doc_id, "target": target, "filtered_resps": output, "doc_hash": "74234e98"},
                **{"input_media": [f"/data/{task}/{doc_id}.jpg"], "input": question, **told},
            }
        )
    answering.start(None)
    arguments = {"pretrained": checkpoint, **({"method": method} if name else {})}
    asked = len(samples)
    results = {
        "results": {task: {"alias": task, "acc,none": sum(s.get("acc", 0) for s in samples) / asked}},
        "configs": {task: {"task": task, "dataset_kwargs": {"data_files": "/home/somebody/placeholder.jsonl"}}},
        "versions": {task: 1},
        "n-samples": {task: {"original": available or asked, "effective": asked}},
        "config": {
            **{"model": entry, "model_args": ",".join(f"{key}={value}" for key, value in arguments.items())},
            **({"offset": items.start} if items.start else {}),
        },
        "date": date,
        "model_name": checkpoint,
        "lmms_eval_version": "0.7.3",
    }
    where = folder / (place or slug(f"{entry}_{method}"))
    where.mkdir(parents=True, exist_ok=True)
    stamp = f"{date}_{task}"
    (where / f"{stamp}_results.json").write_text(json.dumps(results, indent=1) + "\n")
    write_lines(where / f"{stamp}_samples_{task}.jsonl", samples)
    if records:
        (folder / "journals").mkdir(exist_ok=True)
        path = folder / "journals" / f"{place or slug(entry + ',' + method)}.jsonl"
        write_lines(path, [*(read_lines(path) if path.exists() else []), *records])
    return about


OWN = (("Yes", "No"), ("Calm", "Neutral", "Intense", "Neither"))


def give_own_questions(folder: Path) -> None:
    """Give every item of the runs below a folder its own question: every other one with two options, or four.

    Labels are the places of the options; the answer to every question is A, and right on every third item.
    """
    for path in folder.rglob("*_samples_*.jsonl"):
        changed = []
        for sample in read_lines(path):
            number = sample["doc_id"]
            names = OWN[number % 2]
            labels = [f"option_{letter}" for letter in "abcd"[: len(names)]]
            lines = [f"{letter}. {name}" for letter, name in zip("ABCD", names, strict=False)]
            label = labels[1 if number % 3 else 0]
            told = {"label": label, "target": label, "options": dict(zip(labels, names, strict=True))}
            told |= {
                "own_question": True,
                "input": "\n".join([f"Question {number}?", *lines]),
                "acc": float(not number % 3),
            }
            changed.append({**sample, **told, "filtered_resps": "A", "answer_label": labels[0]})
        write_lines(path, changed)


def who(entry: str, checkpoint: str, method: str, **changed: Any) -> Identity:
    """Who answers, with a method as written in a plan."""
    options = json.loads(json.dumps(dataclasses.asdict(parse_method(method))))
    settings = {**MODEL, "template": "llama_3"} if entry == "sepm_vila" else MODEL
    fields: Mapping[str, Any] = {"revision": REVISION, "model": settings, "versions": VERSIONS, **changed}
    return Identity(entry, checkpoint, method=split_method(method)[0], options=options, **fields)


def key_of(about: Identity, picture: str, question: str) -> str:
    """The key of a journal record."""
    method = {"name": about.method, **about.options, **({"weights": about.weights} if about.weights else {})}
    return question_key(images=[picture], text=question, method=method, model=about.of_model.content())


def record(
    draw: random.Random, about: Identity, key: str, task: str, doc_id: int, doc: Mapping[str, Any], output: str
) -> dict[str, Any]:
    """A journal record."""
    failed, settings, question, target = output.startswith("[sepm_eval"), about.options, doc["question"], doc["label"]
    found = {
        **{"key": key, "task": task, "doc_id": doc_id, "run": about.digest},
        "model": {"backbone": about.entry.removeprefix("sepm_"), "pretrained": about.checkpoint, **about.model},
        **{"versions": VERSIONS, "item": doc["id"], "method": {"name": about.method, **settings}},
        **{"question": question, "image_sha256": [doc["picture"]]},
    }
    if failed:
        return {**found, "status": "failed", "error": output.partition("] ")[2]}
    found |= {"status": "answered", "text": output, "visual_tokens": TOKENS, "prompts": [question]}
    found["tokens_read"], found["tokens_left"] = [TOKENS], 21.5 if about.method == "sparsevlm" else TOKENS
    found["blocks"] = [{"box": [0, 0, 90, 90], "rows": 8, "columns": 8, "separators": "none", "by_columns": False}]
    if "alpha" in settings:
        side = POLARITY[target] if draw.random() < 0.85 else draw.choice(["positive", "negative"])
        sure = draw.uniform(0.4, 0.99)
        pair = (sure, 0.99 - sure) if side == "positive" else (0.99 - sure, sure)
        confidence = ((pair[0] - pair[1]) / 2) ** 2
        dropped = int(settings["beta"] * TOKENS) if settings.get("vta", True) else 0
        found |= {
            **{"prompts": ["coarse", "fine"], "tokens_read": [TOKENS, TOKENS - dropped]},
            "tokens_left": TOKENS - dropped,
            **{"p_positive": round(pair[0], 6), "p_negative": round(pair[1], 6)},
            **{"confidence": round(confidence, 6), "polarity": "positive" if pair[0] >= pair[1] else "negative"},
            **{"ambiguous": confidence <= settings["alpha"], "dropped": list(range(dropped))},
        }
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that holds one a line."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write objects, one a line."""
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


if __name__ == "__main__":
    shutil.rmtree(RUNS, ignore_errors=True)
    make(RUNS)

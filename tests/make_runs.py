"""Makes the miniature runs in ``runs/``: results, samples and journals as lmms-eval and sepm_eval write them.

    python tests/make_runs.py

Answers are drawn at random, more often right for some methods than for others; nothing here says anything about them.
One answer is a script tag, one picture failed, one run was repeated.
"""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import POLARITY
from sepm_eval.plan import parse_method, slug, split_method
from sepm_eval.prompts import letters

RUNS = Path(__file__).parent / "runs"
LLAVA, VILA = "llava-hf/llava-1.5-7b-hf", "Efficient-Large-Model/Llama-3-VILA1.5-8B"
VERSIONS = {"sepm-eval": "0.1.0", "torch": "2.14.1", "transformers": "5.23.0", "lmms-eval": "0.7.3"}
N = {"emotion6": 30, "emoset": 32}
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


def run(folder: Path, entry: str, model: str, method: str, task: str, skill: float, date: str) -> None:
    """One run of one task."""
    benchmark = find_benchmarks()[task]
    labels, question = list(benchmark.names), benchmark.question()
    draw = random.Random(f"{entry} {model} {method} {task}")
    name, options = split_method(method) if method else ("", {})
    journal = f"{slug(entry)}_{slug(method)}.jsonl"
    place = folder / slug(f"{entry}_{method}")
    place.mkdir(parents=True, exist_ok=True)
    samples, records = [], []
    for doc_id in range(N[task]):
        target = labels[doc_id % len(labels)]
        answer = target if draw.random() < skill else draw.choice(labels)
        output = letters(len(labels))[labels.index(answer)]
        if (name, task, doc_id) == ("zero_shot_cot", "emotion6", 3):
            output = NASTY
        if (name, task, doc_id) == ("sparsevlm", "emoset", 5):
            output = "[sepm_eval: not answered] UnreadableImage: picture 5 cannot be read as a picture"
        failed = output.startswith("[sepm_eval")
        sample = {
            **{"doc_id": doc_id, "target": target, "filtered_resps": output, "doc_hash": "74234e98"},
            **{"input_media": [f"/data/{task}/{doc_id}.jpg"], "n_failed": int(failed)},
            **{"item_id": f"{task}/{doc_id:03d}", "item_list": "mini", "label": target, "input": question},
        }
        if not failed:
            sample["acc"] = sample["score"] = float(output == letters(len(labels))[labels.index(target)])
            sample["unparsed"] = float(len(output) > 1)
        samples.append(sample)
        if name:
            records.append(record(draw, model, name, method, task, doc_id, question, output, target, failed))
    arguments = {"pretrained": model, **({"method": name, **options, "journal": f"journals/{journal}"} if name else {})}
    results = {
        "results": {task: {"alias": task, "acc,none": sum(s.get("acc", 0) for s in samples) / N[task]}},
        "configs": {task: {"task": task, "dataset_kwargs": {"data_files": "/home/somebody/placeholder.jsonl"}}},
        "versions": {task: 1},
        "n-samples": {task: {"original": N[task], "effective": N[task]}},
        "config": {"model": entry, "model_args": ",".join(f"{key}={value}" for key, value in arguments.items())},
        "date": date,
        "model_name": model,
    }
    stamp = f"{date}_{task}"
    (place / f"{stamp}_results.json").write_text(json.dumps(results, indent=1) + "\n")
    (place / f"{stamp}_samples_{task}.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
    if records:
        (folder / "journals").mkdir(exist_ok=True)
        path = folder / "journals" / journal
        before = path.read_text() if path.exists() else ""
        path.write_text(before + "".join(json.dumps(one) + "\n" for one in records))


def record(draw, model, name, method, task, doc_id, question, output, target, failed):
    """A journal record."""
    settings = dataclasses.asdict(parse_method(method))
    found = {
        "key": f"{name}-{task}-{doc_id}",
        **{"status": "failed" if failed else "answered", "task": task, "doc_id": doc_id},
        "model": {"backbone": "llava", "pretrained": model, "revision": "0" * 40, "image_aspect_ratio": "pad"},
        **{"versions": VERSIONS, "method": {"name": name, **settings}, "question": question},
    }
    if failed:
        return {**found, "error": output.partition("] ")[2]}
    found |= {"text": output, "visual_tokens": 64, "prompts": [question]}
    if "alpha" in settings:
        side = POLARITY[target] if draw.random() < 0.85 else draw.choice(["positive", "negative"])
        sure = draw.uniform(0.4, 0.99)
        pair = (sure, 0.99 - sure) if side == "positive" else (0.99 - sure, sure)
        confidence = ((pair[0] - pair[1]) / 2) ** 2
        dropped = int(settings["beta"] * 64) if settings["vta"] else 0
        found |= {
            **{"prompts": ["coarse", "fine"], "p_positive": round(pair[0], 6), "p_negative": round(pair[1], 6)},
            **{"confidence": round(confidence, 6), "polarity": "positive" if pair[0] >= pair[1] else "negative"},
            **{"ambiguous": confidence <= settings["alpha"], "dropped": list(range(dropped))},
        }
    return found


if __name__ == "__main__":
    make(RUNS)

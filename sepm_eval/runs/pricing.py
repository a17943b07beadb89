"""What a plan will cost, before anything is run: questions, prefill tokens and operations of every part."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sepm_eval import demo, prompts
from sepm_eval.datasets import Benchmark, MissingData, find_benchmarks
from sepm_eval.emotions import POLARITY
from sepm_eval.methods import cost
from sepm_eval.model_wrappers import default_checkpoint
from sepm_eval.runs.plan import ModelPlan, Plan, parse_method, split_method

# Vicuna's tokenizer writes EmoSet's zero-shot question and what the template puts around it in 70 tokens.
_CHARACTERS_A_TOKEN = 3.3


@dataclass(frozen=True)
class Price:
    """One part of a plan.

    Attributes:
        task: its name.
        model: entry and checkpoint.
        method: as written in the plan.
        questions: how many; None if the data are not there.
        tokens: prefill tokens of one question; None if the shapes of the model are not known.
        flops: operations of one question, likewise.
    """

    task: str
    model: str
    method: str
    questions: int | None
    tokens: int | None
    flops: int | None


def price(plan: Plan) -> list[Price]:
    """A row for every task, model and method of a plan, in its order."""
    benchmarks = find_benchmarks()
    rows = []
    for model in plan.models:
        checkpoint = str(model.args.get("pretrained", default_checkpoint(model.backbone) if model.ours else ""))
        geometry = _geometry(model, checkpoint) if model.ours else None
        for task in plan.tasks:
            benchmark = benchmarks.get(task)
            questions = _questions(benchmark, plan.limit)
            for method in plan.methods_of(model) or ("",):
                tokens = operations = None
                if method and geometry is not None and benchmark is not None:
                    settings = dataclasses.asdict(parse_method(method))
                    wanted = cost.work(split_method(method)[0], settings, geometry, text_lengths(benchmark, settings))
                    tokens, operations = wanted.prefill_tokens, cost.flops(geometry, wanted)
                rows.append(Price(task, f"{model.model} {checkpoint}".strip(), method, questions, tokens, operations))
    return rows


def text_lengths(benchmark: Benchmark, settings: dict[str, Any]) -> cost.Text:
    """Lengths of a benchmark's prompts in tokens, estimated from their characters: no tokenizer is at hand."""
    wording = prompts.WORDINGS[settings.get("preset") or "paper"]
    named = list(zip(prompts.letters(len(benchmark.names)), benchmark.names, benchmark.names.values(), strict=True))
    sides: dict[str, list[tuple[str, str]]] = {"positive": [], "negative": []}
    for letter, label, name in named:
        sides[POLARITY[label]].append((letter, name))
    everything = [(letter, name) for letter, _, name in named]
    positive, negative = ([name for _, name in side] for side in sides.values())
    longest = max(sides.values(), key=len)
    asked = {
        "zero_shot": prompts.fine(everything, wording),
        "coarse": prompts.coarse(positive, negative, wording, foe=True),
        "fine": prompts.fine(longest if settings.get("cci", True) else everything, wording, foe=True),
    }
    lengths = {name: round(len(text) / _CHARACTERS_A_TOKEN) for name, text in asked.items()}
    return cost.Text(before=cost.EMOSET_TEXT.before, **lengths)


def _geometry(model: ModelPlan, checkpoint: str) -> cost.Geometry | None:
    plain = re.sub(r"llava-v", "llava-", checkpoint.lower())
    for name, known in cost.KNOWN.items():
        if name in plain:
            return known
    folder = demo.MODEL if checkpoint == "demo" else Path(checkpoint).expanduser()
    if model.backbone == "llava" and (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "text_config" in config and "vision_config" in config:
            return cost.geometry_from_configs(config["text_config"], config["vision_config"])
    return None


def _questions(benchmark: Benchmark | None, limit: int | None) -> int | None:
    if benchmark is None:
        return limit
    try:
        count = len(benchmark.items())
    except (MissingData, ValueError):
        return None
    return count if limit is None else min(limit, count)

"""Cost of a plan before anything is run: number of questions, prefill tokens and operations of every part."""

from __future__ import annotations

from dataclasses import dataclass

from sepm_eval.backbone import cost
from sepm_eval.backbone.checkpoints import local_folder
from sepm_eval.datasets import Benchmark, MissingData, find_benchmarks
from sepm_eval.methods import Method, Priced, get_method
from sepm_eval.model_wrappers import default_checkpoint, find_backbone
from sepm_eval.parsing import Options
from sepm_eval.runs.asking import sides
from sepm_eval.runs.exams import blank_question
from sepm_eval.runs.identity import OUR_ENTRIES
from sepm_eval.runs.outcomes import Run
from sepm_eval.runs.plan import Plan, parse_method

# No tokenizer is loaded, so lengths are estimated. With Vicuna's chat template and tokenizer, 35 tokens precede the
# picture, and EmoSet's zero-shot question with what follows it has 70 tokens (tests/oracles/real_tokenizer_ids.json).
_TOKENS_BEFORE = 35
_CHARACTERS_A_TOKEN = 3.3


@dataclass(frozen=True)
class Price:
    """The cost of one part of a plan: one task with one method on one model.

    Attributes:
        task: the task's name.
        model: entry and checkpoint of the model.
        method: the method as written in the plan; "" for a model that is not ours.
        questions: number of questions; None if the data are not there.
        tokens: prefill tokens of one question; None if the shapes of the model are not known, or if the method has no
            ``work`` or cannot be asked the question.
        flops: floating-point operations of one question whose answer is a single letter; None in the same cases.
    """

    task: str
    model: str
    method: str
    questions: int | None
    tokens: int | None
    flops: int | None


def price(plan: Plan) -> list[Price]:
    """The cost of every part of a plan, ordered by model, task and method as in the plan."""
    benchmarks = find_benchmarks()
    rows = []
    for model in plan.models:
        checkpoint = str(model.args.get("pretrained", default_checkpoint(model.backbone) if model.ours else ""))
        geometry = _geometry(model.backbone, checkpoint) if model.ours else None
        for task in plan.tasks:
            benchmark = benchmarks.get(task)
            questions = _questions(benchmark, plan.limit)
            for method in plan.methods_of(model) or ("",):
                tokens = flops = None
                if method and geometry is not None and benchmark is not None:
                    offered = Options(tuple(benchmark.names), tuple(benchmark.names.values()))
                    wanted = _work(parse_method(method), offered, benchmark.question(), geometry)
                    if wanted is not None:
                        tokens, flops = wanted.prefill_tokens, cost.flops(geometry, wanted)
                rows.append(Price(task, f"{model.model} {checkpoint}".strip(), method, questions, tokens, flops))
    return rows


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one answer.

    Attributes:
        prefill: operations up to the logits of the answer's first token.
        writing: operations of the decoding steps, which read each written token until the model stops.
    """

    prefill: int
    writing: int


def operations(run: Run) -> Operations | None:
    """Operations of an average answer of a finished run, from the model's shapes and text lengths in characters.

    Returns:
        An estimate for the mean length of the run's answers; None if the model is not ours or its shapes are not known,
        or if the method does not state its cost or is not installed.
    """
    if not run.entry.startswith(OUR_ENTRIES) or not run.scored:
        return None
    try:
        geometry = _geometry(run.entry.removeprefix(OUR_ENTRIES), run.identity.checkpoint)
        method = get_method(run.method, **run.settings)
        wanted = None if geometry is None else _work(method, run.options, run.outcomes[0].question, geometry)
    except ValueError:
        return None
    if geometry is None or wanted is None:
        return None
    characters = sum(len(one.output) for one in run.scored) / len(run.scored)
    written = max(round(characters / _CHARACTERS_A_TOKEN), 1)
    return Operations(cost.prefill(geometry, wanted), cost.writing(geometry, wanted, written))


def _work(method: Method, offered: Options, text: str, geometry: cost.Geometry) -> cost.Work | None:
    """The work that a method asks of a model for one question; None if it does not state it or cannot be asked this.

    Token counts of the prompts are estimated from their characters.
    """
    if not isinstance(method, Priced) or (method.needs_polarities and not sides(offered.labels)[1]):
        return None
    asked = method.foreseen(blank_question(offered, text))
    lengths = tuple(round(len(prompt) / _CHARACTERS_A_TOKEN) for prompt in asked)
    shared = int(cost.common_start(*asked[:2]) / _CHARACTERS_A_TOKEN) if len(asked) > 1 else 0
    return method.work(geometry, cost.Text(_TOKENS_BEFORE, lengths, shared=shared))


def _geometry(backbone: str, checkpoint: str) -> cost.Geometry | None:
    """The shapes of a model of ours, from its local folder or from the known checkpoints; None if not known."""
    architecture = find_backbone(backbone)
    folder = local_folder(checkpoint)
    if architecture.shapes is not None and (folder / "config.json").is_file():
        found = architecture.shapes(folder)
        if found is not None:
            return found
    known = architecture.known(checkpoint)
    return None if known is None else known.geometry


def _questions(benchmark: Benchmark | None, limit: int | None) -> int | None:
    if benchmark is None:
        return limit
    try:
        count = len(benchmark.items())
    except (MissingData, ValueError):
        return None
    return count if limit is None else min(limit, count)

"""sepm_hf against its lower bounds: zero-shot against the bare forward pass, SEPM against its operations; and padding.

Qwen2.5-VL and InternVL are scaled to a CPU (``checkpoints.SCALED``), with random weights, in float32, one picture at a
time. The tasks take turns in one process; figures are medians over the turns. The bare forward pass gets what the
checkpoint's own processor makes of the same prompt and picture. It then reads the letter in one decoding step, because
every answer is written until the model stops. Pictures are preprocessed before the clock starts, for both. Operations
are counted by torch.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from checkpoints import build_hf
from models import demo_questions
from speed import in_turns, ratio
from table import Figure, show
from throughput import demo_asked
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sepm_eval import Question, get_method
from sepm_eval.backbone.writing import CACHE
from sepm_eval.model_wrappers._hf.model import Hf
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.runner import Runner

FAMILIES = ("qwen2_5_vl", "internvl")
PICTURE = (640, 480)  # 391 visual tokens with Qwen2.5-VL; InternVL makes 256 of any picture
SIZES = [(320 + 40 * (n * 7 % 13), 240 + 40 * (n * 5 % 11)) for n in range(64)]  # unequal pictures, in no order
BATCH = 8


class Bare:
    """The model's own forward pass on its processor's inputs, and one decoding step, without what is spared in ours."""

    def __init__(self, backbone: Hf, question: Question) -> None:
        """Let the processor make the inputs."""
        self._model = backbone._decoder.model
        (asked,) = get_method("zero_shot").foreseen(question)
        inputs = backbone._prompts.own_inputs(asked, question.image.convert("RGB"), backbone._pictures.options)
        self._inputs = {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor)}
        self._hooks = self._model.get_decoder().layers[-1].mlp._forward_pre_hooks

    def __call__(self, _question: Question) -> Any:
        """Run the prefill and one decoding step."""
        spared = dict(self._hooks)
        self._hooks.clear()  # the last layer's MLP gets all positions (see ``_hf.last_mlp``)
        try:
            return self._forward()
        finally:
            self._hooks.update(spared)

    @torch.inference_mode()
    def _forward(self) -> Any:
        first = self._model(**self._inputs, use_cache=True, logits_to_keep=1)
        token, length = first.logits[:, -1:].argmax(-1), self._inputs["input_ids"].shape[1]
        ahead = getattr(self._model.model, "rope_deltas", None)  # if positions follow a picture's grid
        places = torch.full((1, 1), length) if ahead is None else (length + ahead).expand(3, 1, 1)
        more = {CACHE: getattr(first, CACHE), "attention_mask": torch.ones(1, length + 1, dtype=torch.long)}
        return self._model(input_ids=token, position_ids=places, use_cache=True, logits_to_keep=1, **more)


def operations(task: Callable[[], object]) -> int:
    """The floating-point operations that torch counts in a task."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it can count this kernel's products
        task()
    return int(counter.get_total_flops())


def of_family(family: str, size: str, rounds: int) -> list[Figure]:
    """Measure the figures of one family."""
    with tempfile.TemporaryDirectory() as folder:
        backbone = build_hf(family, size, Path(folder) / family)
    (one,) = demo_questions(1)
    question = Question(one.image.resize(PICTURE), one.labels, one.names)
    backbone.prepare(question.image)
    methods = {name: get_method(name) for name in ("sepm", "zero_shot")}
    tasks: dict[str, Callable[[Question], object]] = {
        name: lambda asked, method=method: method.answer([asked], backbone) for name, method in methods.items()
    }
    if any(len(method.answer([question], backbone)[0].text) != 1 for method in methods.values()):
        raise AssertionError(f"{family}: an answer was no letter, so the times would be those of decoding")
    flops = {name: operations(partial(task, question)) for name, task in tasks.items()}
    flops["bare"] = operations(partial(Bare(backbone, question), question))
    seconds = in_turns({**tasks, "bare": Bare(backbone, question)}, [question], rounds)
    floor, sepm = flops["sepm"] / flops["zero_shot"], ratio(seconds, "sepm", "zero_shot")
    return [
        Figure(f"{family}: zero-shot / bare forward pass", ratio(seconds, "zero_shot", "bare"), at_most=1.03),
        Figure(f"{family}: the same in operations", flops["zero_shot"] / flops["bare"]),
        Figure(f"{family}: floor, SEPM / zero-shot", floor),
        Figure(f"{family}: SEPM / zero-shot, over its floor", sepm / floor, at_most=1.05),
    ]


def padding(batch: int) -> list[Figure]:
    """Measure the share of a run's batches that is padding.

    The pictures differ in their number of visual tokens, as they do for Qwen2.5-VL.
    """
    with tempfile.TemporaryDirectory() as folder:
        backbone = build_hf("qwen2_5_vl", "tiny", Path(folder) / "tiny")
        backbone._pictures.options["size"] = {"shortest_edge": 3136, "longest_edge": 12845056}
        read, places = backbone.read, [0, 0]

        def counted(*args: Any, **kwargs: Any) -> Any:
            reading = read(*args, **kwargs)
            places[0] += reading.attended[0].numel()
            places[1] += int((~reading.attended[0]).sum())
            return reading

        backbone.read = counted
        method = get_method("sepm")
        path = Path(folder) / "journal.jsonl"
        runner = Runner("hf", backbone, "sepm", method, batch_size=batch, journal_path=path)
        asked = [resized(one, wanted) for one, wanted in zip(demo_asked(len(SIZES)), SIZES, strict=True)]
        runner.answer(asked, quiet=True)
        runner.journal.close()
    share = 100 * places[1] / places[0]
    return [Figure(f"unequal pictures, {batch} at once: padding", share, at_most=5, unit="%")]


def resized(asked: Asked, size: tuple[int, int]) -> Asked:
    """The same question about the same picture in another size."""

    def load() -> tuple[str, list[Any]]:
        text, (image,) = asked.load()
        return text, [image.resize(size)]

    return Asked(asked.task, asked.doc_id, load, asked.max_new_tokens)


def measure(rounds: int, size: str = "scaled", batch: int = BATCH) -> list[Figure]:
    """Measure all figures of this file."""
    return [figure for family in FAMILIES for figure in of_family(family, size, rounds)] + padding(batch)


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    show(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()

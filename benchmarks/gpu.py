"""Pictures a second, memory and utilisation on a GPU, at the full size of LLaVA-1.5-7B and Llama-3-VILA1.5-8B.

    python benchmarks/gpu.py                        # both models, batch 1 to 32, bf16; writes a table in Markdown
    python benchmarks/gpu.py --tiny --device cpu    # the same paths in seconds, to see that they work

Nothing is downloaded: weights are random and drawn on the device, pictures ship with the package. First the tiny
checkpoints of tests/oracles answer on the device and on the CPU in float32; the two must agree. Then every method is
timed with torch's SDPA and, if the package flash-attn is there, with FlashAttention 2. Utilisation counts the
operations of ``sepm_eval.backbone.cost`` against the device's dense peak in bf16, where that is known.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from memory import CARD
from models import FULL, TINY, build, demo_questions
from recipe import Recipe
from speed import lengths

from sepm_eval import get_method, load_backbone
from sepm_eval.backbone import cost, probe
from sepm_eval.model_wrappers._image_first import ImageFirst

ORACLES = Path(__file__).parent.parent / "tests" / "oracles"
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "zero_shot": ("zero_shot", {}),
    "sepm": ("sepm", {}),
    "sepm reuse": ("sepm", {"reuse": True}),
    "sparsevlm": ("sparsevlm", {}),
}
# Dense bf16 TFLOP/s by the makers' data sheets, by a part of the device's name.
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 4090": 165, "A10": 125}


@dataclass(frozen=True)
class Run:
    """One line of the table. A run that did not take place has a reason instead of numbers."""

    model: str
    method: str
    kernel: str
    batch: int
    images_per_second: float = 0.0
    peak_bytes: int = 0
    utilisation: float | None = None
    reason: str = ""


def use_flash(backbone: ImageFirst) -> None:
    """Make a backbone's language model read with FlashAttention 2."""
    backbone._language_model.decoder.set_attn_implementation("flash_attention_2")
    probe.install(backbone._language_model.decoder)


def without_flash(device: torch.device) -> str:
    """Why FlashAttention 2 cannot be measured; empty if it can."""
    if device.type != "cuda":
        return "FlashAttention 2 needs a CUDA device"
    return "" if importlib.util.find_spec("flash_attn") else "package flash-attn is not installed"


def disagreements(device: str) -> list[str]:
    """Where the tiny checkpoints answer otherwise on the device than on the CPU, both in float32."""
    torch.backends.cudnn.allow_tf32 = False  # a convolution in TensorFloat-32 is none in float32
    found = []
    questions = demo_questions(4)
    for family, folder in (("llava", "llava15_tiny/hf"), ("vila", "vila15_tiny/checkpoint")):
        here, there = (
            load_backbone(family, str(ORACLES / folder), device=place, dtype="float32") for place in ("cpu", device)
        )
        for label, (name, options) in METHODS.items():
            method = get_method(name, **options)
            pairs = zip(questions, method.answer(questions, here), method.answer(questions, there), strict=True)
            for number, (_, one, other) in enumerate(pairs):
                far = max(abs(p - other.option_probabilities[key]) for key, p in one.option_probabilities.items())
                dropped = one.evidence is not None and one.evidence.dropped != other.evidence.dropped
                if one.text != other.text or dropped or far > 1e-4:
                    found.append(f"{family}, {label}, picture {number}: {one.text!r}, {other.text!r} ({far:.1e})")
    return found


def timed(task: Callable[[], object], device: torch.device, seconds: float) -> tuple[float, int]:
    """Seconds a call, after one to warm up, and the most memory held meanwhile (0 where it cannot be told)."""
    task()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    calls, begin = 0, time.perf_counter()
    while not calls or time.perf_counter() - begin < seconds:
        task()
        if cuda:
            torch.cuda.synchronize(device)
        calls += 1
    return (time.perf_counter() - begin) / calls, torch.cuda.max_memory_allocated(device) if cuda else 0


def _not_with(kernel: str, method: str) -> str:
    """Why a method does not work with a kernel; "" if it does."""
    if kernel == "flash" and method == "sparsevlm":
        return "prunes between layers with masks that FlashAttention 2 does not take"
    return ""


def measure(
    family: str,
    geometry: cost.Geometry,
    device: torch.device,
    dtype: torch.dtype,
    batches: Sequence[int],
    seconds: float,
) -> list[Run]:
    """All runs of one model."""
    backbone = build(family, geometry, str(device), dtype)
    # Pictures as they come, already preprocessed: the runner does that beside the model.
    questions = demo_questions(max(batches))
    for question in questions:
        backbone.prepare(question.image)
    texts = {
        name: lengths(backbone, get_method(name).answer(questions[:1], backbone)[0])
        for name in dict.fromkeys(name for name, _ in METHODS.values())
    }
    peak = next((value for part, value in PEAKS.items() if part in _name(device)), None)

    def run(label: str, kernel: str, batch: int, work: cost.Work, task: Callable[[], object]) -> Run:
        try:
            each, memory = timed(task, device, seconds)
        except torch.OutOfMemoryError:
            return Run(family, label, kernel, batch, reason="out of memory")
        done = cost.flops(geometry, work) * batch / each
        used = done / (peak * 1e12) if peak and dtype == torch.bfloat16 else None
        return Run(family, label, kernel, batch, batch / each, memory, used)

    runs = []
    for kernel in ("sdpa", "flash"):
        missing = without_flash(device) if kernel == "flash" else ""
        if kernel == "flash" and not missing:
            use_flash(backbone)
        for label, (name, options) in METHODS.items():
            why = missing or _not_with(kernel, name)
            method = get_method(name, **options)
            work = method.work(geometry, texts[name])
            for batch in batches:
                if why:
                    runs.append(Run(family, label, kernel, batch, reason=why))
                    continue
                part = questions[:batch]
                runs.append(run(label, kernel, batch, work, lambda m=method, p=part: m.answer(p, backbone)))
    if family == "llava":  # the public code is a fork of LLaVA
        recipe = Recipe(backbone)
        work = get_method("sepm").work(geometry, texts["sepm"])
        runs.append(run("recipe", "eager", 1, work, lambda: recipe.answer(questions[0])))
    return runs


def show(runs: Sequence[Run]) -> None:
    """Print the runs as a table in Markdown, and what follows from them."""
    print("| model | method | kernel | batch | images/s | peak memory | utilisation |\n|---|---|---|---|---|---|---|")
    for run in runs:
        start = f"| {run.model} | {run.method} | {run.kernel} | {run.batch} |"
        if run.reason:
            print(f"{start} {run.reason} | | |")
            continue
        used = "" if run.utilisation is None else f"{100 * run.utilisation:.0f} %"
        memory = f"{run.peak_bytes / 1e9:.1f} GB" if run.peak_bytes else ""
        print(f"{start} {run.images_per_second:.2f} | {memory} | {used} |")
    print()
    done = [run for run in runs if not run.reason]
    for run in done:
        if run.batch == 8 and run.peak_bytes:
            fits = "fits" if run.peak_bytes <= CARD else "does not fit"
            print(f"{run.model}, {run.method}, {run.kernel}: batch 8 {fits} in 24 GB ({run.peak_bytes / 1e9:.1f} GB)")
    recipe = next((run for run in done if run.method == "recipe"), None)
    for label in ("sepm", "sepm reuse"):
        fastest = max((r.images_per_second for r in done if r.method == label and r.model == "llava"), default=0.0)
        if recipe and fastest:
            print(
                f"llava, {label}: {fastest / recipe.images_per_second:.1f} x the recipe (target for sepm on a GPU: 4 x)"
            )


def main() -> None:
    """Check, measure and show; exit 1 if the device's answers differ from the CPU's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to try the script")
    parser.add_argument("--models", nargs="+", choices=sorted(FULL), default=sorted(FULL))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each line of the table is measured")
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --tiny --device cpu tries the script without one")
    print(f"{_name(device)}; torch {torch.__version__}, transformers {transformers.__version__}; {args.dtype}")
    wrong = disagreements(args.device)
    print("\n".join(wrong) or f"the tiny checkpoints answer on {device.type} as on the CPU", end="\n\n")
    runs = []
    for family in args.models:
        geometry = (TINY if args.tiny else FULL)[family]
        runs += measure(family, geometry, device, getattr(torch, args.dtype), args.batches, args.seconds)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    show(runs)
    raise SystemExit(bool(wrong))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"


if __name__ == "__main__":
    main()

"""Measure pictures per second, latency, memory and utilisation on a GPU, at the full size of four models.

    python benchmarks/gpu.py                        # all models, batch 1, 4 and 16, bf16; writes tables in Markdown
    python benchmarks/gpu.py --tiny --device cpu    # the same code on tiny models, in seconds, to see that it works

Nothing is downloaded: weights are random and drawn on the device (``models``, ``checkpoints``), pictures ship with the
package. The script runs from the source tree, whether the package is installed or not. First, tiny checkpoints answer
in float32 on the device and on the CPU; the two must agree. Then every method is timed with torch's SDPA and, if the
package flash-attn is there, with FlashAttention 2. Utilisation is operations per second, as torch counts them, over the
device's dense peak in bf16, where that is known. Each model also answers the same questions in batches of 1, 8 and 32,
which shows the share of answers that change with the batch size.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

try:
    import sepm_eval.model_wrappers
except ImportError:  # not installed: two folders of the tree are packages of sepm_eval
    ROOT = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, ROOT)
    import sepm_eval

    sepm_eval.__path__.append(ROOT)

import torch
import transformers
from memory import CARD
from models import FULL, TINY, build, demo_questions
from packaging.version import Version
from recipe import Recipe
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone import probe
from sepm_eval.methods import Method, common
from sepm_eval.methods.needs import check_needs
from sepm_eval.model_wrappers._hf import attention
from sepm_eval.model_wrappers._hf.families import TRANSFORMERS

OURS = ("llava", "vila")
FAMILIES = ("qwen2_5_vl", "internvl")
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "zero_shot": ("zero_shot", {}),
    "sepm": ("sepm", {}),
    "sepm reuse": ("sepm", {"reuse": True}),
    "sparsevlm": ("sparsevlm", {}),
}
# Dense bf16 peak in TFLOP/s, from the makers' data sheets, by a part of the device's name.
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 4090": 165, "A10": 125}
TOGETHER = (1, 8, 32)  # batch sizes between which answers are compared
PICTURE = (640, 480)


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


def too_old() -> str:
    """Why the families of hf cannot be measured; empty if they can."""
    found = transformers.__version__
    return f"transformers {found} is older than {TRANSFORMERS}" if Version(found) < Version(TRANSFORMERS) else ""


@contextmanager
def backbone_of(model: str, tiny: bool, device: torch.device, dtype: torch.dtype) -> Iterator[Any]:
    """Build a model with random weights."""
    if model in OURS:
        yield build(model, (TINY if tiny else FULL)[model], str(device), dtype)
        return
    from checkpoints import build_hf

    with tempfile.TemporaryDirectory() as folder:
        yield build_hf(model, "tiny" if tiny else "full", Path(folder) / model, str(device), dtype)


def use_flash(backbone: Any) -> None:
    """Make a backbone's language model read with FlashAttention 2."""
    if hasattr(backbone, "_decoder"):
        backbone._decoder._kernel = "flash_attention_2"
        attention.install(backbone._decoder.model.get_decoder(), "flash_attention_2")
        return
    backbone._language_model.decoder.set_attn_implementation("flash_attention_2")
    probe.install(backbone._language_model.decoder)


def unmeasurable(kernel: str, method: str, device: torch.device) -> str:
    """Why a method cannot be measured with a kernel; empty if it can."""
    if kernel == "sdpa":
        return ""
    if device.type != "cuda":
        return "FlashAttention 2 needs a CUDA device"
    if not importlib.util.find_spec("flash_attn"):
        return "package flash-attn is not installed"
    return "prunes between layers with masks that FlashAttention 2 does not take" if method == "sparsevlm" else ""


def disagreements(device: str, models: Sequence[str]) -> list[str]:
    """List where tiny checkpoints answer differently on the device and on the CPU, both in float32."""
    from checkpoints import ORACLES, SOURCES

    torch.backends.cudnn.allow_tf32 = False  # convolutions in TensorFloat-32 are not in float32
    folders = {"llava": ORACLES / "llava15_tiny/hf", "vila": ORACLES / "vila15_tiny/checkpoint"}
    questions, found, most = demo_questions(4), [], common.MAX_NEW_TOKENS
    common.MAX_NEW_TOKENS = 4  # these models never stop
    try:
        for model in models:
            name = model if model in OURS else "hf"
            folder = str(folders.get(model) or SOURCES[model])
            here, there = (load_backbone(name, folder, device=place, dtype="float32") for place in ("cpu", device))
            for label, method in _methods(here).items():
                pairs = zip(method.answer(questions, here), method.answer(questions, there), strict=True)
                for number, (one, other) in enumerate(pairs):
                    far = max(abs(p - other.option_probabilities[key]) for key, p in one.option_probabilities.items())
                    dropped = one.evidence is not None and one.evidence.dropped != other.evidence.dropped
                    if one.text != other.text or dropped or far > 1e-4:
                        found.append(f"{model}, {label}, picture {number}: {one.text!r}, {other.text!r} ({far:.1e})")
    finally:
        common.MAX_NEW_TOKENS = most
    return found


def _methods(backbone: Any) -> dict[str, Method]:
    """The methods of ``METHODS`` that a model supports."""
    found = {}
    for label, (name, options) in METHODS.items():
        method = get_method(name, **options)
        try:
            check_needs(method, backbone.supports, backbone.name)
        except ValueError:
            continue
        found[label] = method
    return found


def timed(task: Callable[[], object], device: torch.device, seconds: float) -> tuple[float, int]:
    """Seconds per call, after a first call to warm up, and the peak memory in bytes (0 where it is not known)."""
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


def operations(task: Callable[[], object]) -> int:
    """The floating-point operations that torch counts in a task, with attention over the full square."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task()
    return int(counter.get_total_flops())


def pictures(count: int, model: str) -> list[Question]:
    """Questions about demo pictures; families that take any size get them in the size of a photograph."""
    found = demo_questions(count)
    if model in OURS:
        return found
    return [Question(one.image.resize(PICTURE), one.labels, one.names) for one in found]


def measure(
    model: str, backbone: Any, device: torch.device, dtype: torch.dtype, batches: Sequence[int], seconds: float
) -> list[Run]:
    """Measure all runs of one model."""
    # The pictures are preprocessed before they are timed: the runner does that beside the model.
    questions = pictures(max(batches), model)
    for question in questions:
        backbone.prepare(question.image)
    methods = _methods(backbone)
    peak = next((value for part, value in PEAKS.items() if part in _name(device)), None)
    flops = {name: operations(partial(one.answer, questions[:1], backbone)) for name, one in methods.items()}

    def run(label: str, kernel: str, batch: int, task: Callable[[], object]) -> Run:
        try:
            each, memory = timed(task, device, seconds)
        except torch.OutOfMemoryError:
            return Run(model, label, kernel, batch, reason="out of memory")
        done = flops.get(label, flops["sepm"]) * batch / each  # the recipe counts with SEPM's operations
        used = done / (peak * 1e12) if peak and dtype == torch.bfloat16 else None
        return Run(model, label, kernel, batch, batch / each, memory, used)

    runs = []
    for kernel in ("sdpa", "flash"):
        if kernel == "flash" and not unmeasurable(kernel, "", device):
            use_flash(backbone)
        for label, method in methods.items():
            why = unmeasurable(kernel, label, device)
            for batch in batches:
                if why:
                    runs.append(Run(model, label, kernel, batch, reason=why))
                    continue
                runs.append(run(label, kernel, batch, partial(method.answer, questions[:batch], backbone)))
    if model == "llava":  # the public code is a fork of LLaVA
        recipe = Recipe(backbone)
        runs.append(run("recipe", "eager", 1, partial(recipe.answer, questions[0])))
    return runs


def latency(model: str, backbone: Any, device: torch.device) -> dict[str, float]:
    """Seconds from a picture in memory to its answer, with preprocessing; median of five, by method."""
    (question,), found = pictures(1, model), {}
    for label, method in _methods(backbone).items():
        seconds = []
        for _ in range(6):  # the first one warms up
            fresh = Question(question.image.copy(), question.labels, question.names)
            begin = time.perf_counter()
            method.answer([fresh], backbone)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - begin)
        found[label] = statistics.median(seconds[1:])
    return found


def changed(model: str, backbone: Any, together: Sequence[int]) -> dict[str, tuple[float, float]]:
    """By method, the shares of answers and of sets of dropped tokens that differ between these batch sizes."""
    questions, found = pictures(max(together), model), {}
    for label, method in _methods(backbone).items():
        said: list[set[Any]] = [set() for _ in questions]
        dropped: list[set[Any]] = [set() for _ in questions]
        for at_once in together:
            for start in range(0, len(questions), at_once):
                for place, one in enumerate(method.answer(questions[start : start + at_once], backbone), start):
                    said[place].add(one.text)
                    dropped[place].add(one.evidence.dropped if one.evidence is not None else one.dropped)
        found[label] = (
            sum(len(texts) > 1 for texts in said) / len(said),
            sum(len(sets) > 1 for sets in dropped) / len(dropped),
        )
    return found


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
    done = {(run.model, run.method, run.kernel, run.batch): run for run in runs if not run.reason}
    for (model, method, kernel, batch), run in done.items():
        if batch == 4 and run.peak_bytes:
            fits = "fits" if run.peak_bytes <= CARD else "does not fit"
            print(f"{model}, {method}, {kernel}: batch 4 {fits} in 24 GB ({run.peak_bytes / 1e9:.1f} GB)")
        one = done.get((model, "zero_shot", kernel, batch))
        if method == "sepm reuse" and batch == 16 and one:
            ratio = one.images_per_second / run.images_per_second
            print(f"{model}, {kernel}: two stages with reuse take {ratio:.2f} x one stage at batch 16 (target: 1.3 x)")
    recipe = done.get(("llava", "recipe", "eager", 1))
    for label in ("sepm", "sepm reuse"):
        rates = [run.images_per_second for key, run in done.items() if key[:2] == ("llava", label)]
        if recipe and rates:
            ratio = max(rates) / recipe.images_per_second
            print(f"llava, {label}: {ratio:.1f} x the recipe (target for sepm on a GPU: 4 x)")


def main() -> None:
    """Check, measure and show; exit 1 if the device's answers differ from the CPU's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to try the script")
    parser.add_argument("--models", nargs="+", choices=[*OURS, *FAMILIES], default=[*OURS, *FAMILIES])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"], help="the first one is timed")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each line of the table is measured")
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; --tiny --device cpu tries the script without one")
    raise SystemExit(bool(report(args.models, args.tiny, device, args.dtypes, args.batches, args.seconds)))


def report(
    models: Sequence[str],
    tiny: bool,
    device: torch.device,
    dtypes: Sequence[str],
    batches: Sequence[int],
    seconds: float,
) -> list[str]:
    """Measure and print everything; return where the device's answers differ from the CPU's."""
    print(f"{_name(device)}; torch {torch.__version__}, transformers {transformers.__version__}; {dtypes[0]}")
    if too_old():
        models = [model for model in models if model in OURS]
        print(f"{', '.join(FAMILIES)} are left out: {too_old()}")
    wrong = disagreements(str(device), models)
    print("\n".join(wrong) or f"the tiny checkpoints answer on {device.type} as on the CPU", end="\n\n")
    runs, notes, together = [], [], (1, 3) if tiny else TOGETHER
    for model in models:
        for place, dtype in enumerate(dtypes):
            try:
                with backbone_of(model, tiny, device, getattr(torch, dtype)) as backbone:
                    if not place:
                        late = latency(model, backbone, device)
                        notes += [f"{model}, {label}: first answer after {each:.3f} s" for label, each in late.items()]
                    for label, (texts, sets) in changed(model, backbone, together).items():
                        share = f"{100 * texts:.0f} % of answers, {100 * sets:.0f} % of dropped sets change"
                        notes.append(f"{model}, {label}, {dtype}: {share} between {together} at once")
                    if not place:
                        runs += measure(model, backbone, device, getattr(torch, dtype), batches, seconds)
            except torch.OutOfMemoryError:
                notes.append(f"{model}, {dtype}: out of memory")
            if device.type == "cuda":
                torch.cuda.empty_cache()
    show(runs)
    print("\n".join(notes))
    return wrong


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"


if __name__ == "__main__":
    main()

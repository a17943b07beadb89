"""Our model entries of lmms-eval against its own, on the same checkpoints, pictures and questions.

    python benchmarks/stock.py                    # tiny and of full width with few layers; a quarter of an hour
    python benchmarks/stock.py --sizes tiny       # tiny only

Every entry is made as ``lmms-eval --model`` makes it and gets the same requests: lmms-eval's own as they are shipped,
one picture at a time, and those that can also with four; ours with zero-shot and SEPM. All entries of a checkpoint take
turns in one process; a figure is the median over the turns of the stock entry's time over ours. Ours get the stock
entry's dtype and limits of pixels, so that both read as many visual tokens. Weights are random, and answers are one
letter (see ``checkpoints``). Models of full width have few decoder layers. The last one, which ours computes for one
position where the family allows it, therefore weighs more than at full depth. Tiny models run in one thread: their
tensors are too small for several.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import importlib.util
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from checkpoints import write
from table import Figure, show

from sepm_eval import get_method
from sepm_eval.datasets import find_benchmarks
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import doc_to_text, doc_to_visual

# Limits of a picture's pixels in lmms-eval's own entries; that of Qwen3-VL has only the limits of qwen_vl_utils.
QWEN2_PIXELS = {"min_pixels": 256 * 28 * 28, "max_pixels": 1605632}
QWEN3_PIXELS = {"min_pixels": 4 * 32 * 32, "max_pixels": 16384 * 32 * 32}
PICTURE = (640, 480)  # for models of full width; tiny ones get the demo's pictures, 112 x 112
TASK = "emotion_demo"
THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Rival:
    """An entry of lmms-eval's own, and ours for the same checkpoint.

    Attributes:
        stock: lmms-eval's name of its entry.
        family: the family of the checkpoint, see ``checkpoints.SOURCES``.
        ours: lmms-eval's name of our entry.
        of_stock: arguments of the stock entry besides checkpoint, device and batch size.
        of_ours: arguments of our entry with which it does the same as the stock entry.
        batches: batch sizes that both can take.
        needs: a package that the stock entry imports and lmms-eval does not install.
    """

    stock: str
    family: str
    ours: str
    of_stock: dict[str, Any]
    of_ours: dict[str, Any]
    batches: tuple[int, ...] = (1,)
    needs: str = ""


RIVALS = {
    "llava_hf": Rival(
        *("llava_hf", "llava", "sepm_llava", {"dtype": "float32"}),
        {"dtype": "float32", "image_aspect_ratio": "crop"},
        needs="decord",
    ),
    "qwen2_5_vl": Rival(
        *("qwen2_5_vl", "qwen2_5_vl", "sepm_hf", {}),
        {"dtype": "bfloat16", **QWEN2_PIXELS},
        batches=(1, 4),
        needs="qwen_vl_utils",
    ),
    "qwen3_vl": Rival(
        *("qwen3_vl", "qwen3_vl", "sepm_hf", {}),
        {"dtype": "bfloat16", **QWEN3_PIXELS},
        batches=(1, 4),
        needs="qwen_vl_utils",
    ),
    "internvl_hf": Rival("internvl_hf", "internvl", "sepm_hf", {}, {"dtype": "bfloat16", "tiling": True}),
}


@cache
def demo_documents(count: int) -> Any:
    """Choose documents of the demo, evenly spaced; cached, since hashing their pictures is no part of answering."""
    found = documents(find_benchmarks()[TASK])
    return found.select(range(0, len(found), max(len(found) // count, 1))[:count])


def requests(model: Any, count: int, size: str) -> list[Any]:
    """Requests about demo pictures, as lmms-eval asks a chat model."""
    from lmms_eval.api.instance import Instance

    docs = demo_documents(count)
    model.task_dict[TASK] = {"test": docs}

    def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
        shown = doc_to_visual(doc) if size == "tiny" else [one.resize(PICTURE) for one in doc_to_visual(doc)]
        pictures = [{"type": "image", "url": picture} for picture in shown]
        return [{"role": "user", "content": [*pictures, {"type": "text", "text": doc_to_text(doc)}]}]

    settings = {"max_new_tokens": 128, "temperature": 0, "do_sample": False, "num_beams": 1}
    return [
        Instance(
            "generate_until",
            (doc_to_text(docs[number]), messages, dict(settings), number, TASK, "test"),
            number,
            {"task": TASK, "doc_id": number, "repeats": 1},
        )
        for number in range(count)
    ]


def entries(rival: Rival, folder: Path, batch: int, journal: Path) -> dict[str, Any]:
    """Make the stock entry, and ours with both methods, which share one loaded model."""
    from lmms_eval.models import get_model

    stock = get_model(rival.stock)(
        pretrained=str(folder), device="cpu", device_map="cpu", batch_size=batch, **rival.of_stock
    )
    ours = get_model(rival.ours)(
        **{"pretrained": str(folder), "device": "cpu", "batch_size": batch, "method": "zero_shot"},
        **{"journal": str(journal), "resume": False, **rival.of_ours},
    )
    sepm = copy.copy(ours)
    method = get_method("sepm")
    path = journal.with_stem(f"{journal.stem}-sepm")
    sepm._runner = dataclasses.replace(ours._runner, method_name="sepm", method=method, journal_path=path)
    return {"stock": stock, "zero_shot": ours, "sepm": sepm}


def answers(model: Any, count: int, size: str) -> list[str]:
    """The texts that an entry answers; what it prints on the way is hidden."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        found = model.generate_until(requests(model, count, size))
    return [getattr(one, "text", one) for one in found]


def compare(rival: Rival, size: str, batch: int, pictures: int, rounds: int) -> list[Figure]:
    """Compare ours with a stock entry on one checkpoint, at one batch size."""
    torch.set_num_threads(1 if size == "tiny" else THREADS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(rival.family, size, Path(temporary) / rival.family)
        models = entries(rival, folder, batch, Path(temporary) / "journal.jsonl")
        said = {name: answers(model, pictures, size) for name, model in models.items()}  # warms up, too
        if any(len(text.strip()) != 1 for texts in said.values() for text in texts):
            raise AssertionError(
                f"{rival.stock}: an answer is no letter, so the times would be those of decoding: {said}"
            )
        tasks = {name: partial(answers, model, pictures, size) for name, model in models.items()}
        seconds = in_turns(tasks, rounds)
        for name in ("zero_shot", "sepm"):
            models[name]._runner.journal.close()
    return figures(f"{rival.stock}, {size}, {batch} at once", seconds, said, pictures, size, batch)


def in_turns(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each task; tasks take turns, forwards and then backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds):
        for name in list(tasks)[:: -1 if turn % 2 else 1]:
            begin = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def figures(
    what: str, seconds: dict[str, list[float]], said: dict[str, list[str]], pictures: int, size: str, batch: int
) -> list[Figure]:
    """How many times as fast ours are, and how often our zero-shot gives the stock entry's answer."""
    faster = {
        name: statistics.median(stock / ours for stock, ours in zip(seconds["stock"], seconds[name], strict=True))
        for name in ("zero_shot", "sepm")
    }
    same = sum(one.strip() == other.strip() for one, other in zip(said["stock"], said["zero_shot"], strict=True))
    target = 1.3 if size == "wide" and batch == 1 else None
    return [
        Figure(f"{what}: its pictures a second", pictures / statistics.median(seconds["stock"]), unit="/s"),
        Figure(f"{what}: our zero-shot is faster", faster["zero_shot"], at_least=target),
        Figure(f"{what}: our SEPM is faster than its zero-shot", faster["sepm"], at_least=1),
        Figure(f"{what}: zero-shot answers alike", 100 * same / pictures, unit="%"),
    ]


def measure(names: Sequence[str], sizes: Sequence[str], pictures: int, rounds: int) -> list[Figure]:
    """Measure all figures of some stock entries; one whose package is missing is left out with a message."""
    found = []
    for name in names:
        rival = RIVALS[name]
        if rival.needs and importlib.util.find_spec(rival.needs) is None:
            print(f"{name} is left out: the package {rival.needs}, which it imports, is not installed")
            continue
        for size in sizes:
            for batch in rival.batches:
                found += compare(rival, size, batch, pictures if size == "tiny" else max(pictures // 4, batch), rounds)
    return found


def main() -> None:
    """Measure and show; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(RIVALS), help=f"among {', '.join(RIVALS)}")
    parser.add_argument("--sizes", nargs="+", choices=["tiny", "wide"], default=["tiny", "wide"])
    parser.add_argument("--pictures", type=int, default=16, help="of tiny models; a quarter of them at full width")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    show(measure(args.names, args.sizes, args.pictures, args.rounds))


if __name__ == "__main__":
    main()

"""The peak memory of loading a checkpoint, over the size of its files.

Three checkpoints are generated, in float16: LLaVA-1.5 in its original layout, with two ``.bin`` shards and the tower
beside it, VILA-1.5's three parts, and for ``hf`` a Qwen2.5-VL in one file. Each is loaded in a process of its own,
after the tiny checkpoint of the same layout, whose memory (mostly libraries) is subtracted. Loading ends with one small
question, as it does for a user, so that the weights have been used. Two peaks are taken, both from Linux:

* resident: VmHWM. It counts pages of files that are mapped into memory, though the system may free them at any time.
* anonymous: RssAnon, read every 2 ms: memory that the system cannot free.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from table import Figure, show
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from sepm_eval import load_backbone
from sepm_eval.model_wrappers._vila import Projector

ORACLES = Path(__file__).parent.parent / "tests" / "oracles"
LAYOUTS = {
    "llava": ORACLES / "llava15_tiny" / "original",
    "vila": ORACLES / "vila15_tiny" / "checkpoint",
    "hf": ORACLES / "hf_families" / "qwen2_5_vl",
}
TOWER = "clip-vit-tiny-patch14-56"
KEYS = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
SMALL = {"language": (1024, 2752, 8, 2), "clip": (256, 1024, 4, 2), "siglip": (288, 1088, 4, 2)}
FULL = {"language": (4096, 11008, 32, 2), "clip": (1024, 4096, 16, 24), "siglip": (1152, 4304, 16, 27)}
VOCABULARY = 32000
AT_MOST = 1.15  # of the files' size; for resident memory only if the weights keep their dtype


def generate(family: str, place: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Make a checkpoint with random weights of these shapes, and return its folder."""
    source = LAYOUTS[family]
    folder = place / source.name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.npz"))
    if family == "hf":
        _save(folder, _tensors(lambda: AutoModelForImageTextToText.from_config(_qwen(folder, shapes["language"]))))
        return folder
    language = {
        **dict(zip(KEYS, shapes["language"], strict=True)),
        "num_key_value_heads": shapes["language"][2],
        "vocab_size": VOCABULARY,
    }
    if family == "llava":
        shutil.copytree(source.parent / TOWER, place / TOWER, ignore=shutil.ignore_patterns("*.safetensors"))
        vision = _change(place / TOWER, dict(zip(KEYS, shapes["clip"], strict=True)))
        config = LlamaConfig(**{**_change(folder, language), "model_type": "llama"})
        with torch.device("meta"):
            projector = nn.Sequential(nn.Linear(shapes["clip"][0], config.hidden_size), nn.GELU())
            projector.append(nn.Linear(config.hidden_size, config.hidden_size))
        named = {f"model.mm_projector.{key}": one for key, one in projector.state_dict().items()}
        _shards(folder, {**_tensors(lambda: LlamaForCausalLM(config)), **named})
        _save(place / TOWER, _tensors(lambda: CLIPVisionModel(CLIPVisionConfig(**vision)), "vision_model."))
        return folder
    vision = _change(folder / "vision_tower", dict(zip(KEYS, shapes["siglip"], strict=True)))
    tower = SiglipVisionConfig(**vision, vision_use_head=False)
    config = LlamaConfig(**_change(folder / "llm", language))
    _save(folder / "llm", _tensors(lambda: LlamaForCausalLM(config)))
    _save(folder / "vision_tower", _tensors(lambda: SiglipVisionModel(tower), "vision_model."))
    _save(folder / "mm_projector", _tensors(lambda: Projector(tower.hidden_size, config.hidden_size)))
    return folder


def _qwen(folder: Path, shape: tuple[int, ...]) -> Any:
    """Widen the language model of a tiny Qwen2.5-VL, and return its configuration."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"] |= {
        **dict(zip(KEYS, shape, strict=True)),
        "num_key_value_heads": shape[2],
        "max_window_layers": shape[3],
        "layer_types": ["full_attention"] * shape[3],
        "vocab_size": VOCABULARY,
        "rope_parameters": {**config["text_config"]["rope_parameters"], "mrope_section": [16, 24, 24]},
    }
    config["vision_config"]["out_hidden_size"] = shape[0]
    path.write_text(json.dumps(config | {"dtype": "float16"}))
    return AutoConfig.from_pretrained(folder)


def _change(folder: Path, values: dict[str, int]) -> dict[str, object]:
    """Change values in a config.json, and return the whole configuration."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values, "torch_dtype": "float16"}
    path.write_text(json.dumps(config))
    return config


def _tensors(build: Callable[[], nn.Module], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a model by name, on the meta device, where they take no memory."""
    with torch.device("meta"):
        return {f"{prefix}{key}": one for key, one in build().state_dict().items()}


def _filled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.empty(one.shape, dtype=torch.float16).normal_(std=0.02) for key, one in tensors.items()}


def _save(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(_filled(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def _shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    names, weight_map = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save(_filled({name: tensors[name] for name in part}), folder / shard)
        weight_map.update(dict.fromkeys(part, shard))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def _held(key: str) -> int:
    """Read a value of /proc/self/status, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def load(family: str, folder: Path, dtype: str) -> dict[str, int]:
    """Load the tiny checkpoint and then this one; return the peak bytes of the latter, resident and anonymous."""
    load_backbone(family, str(LAYOUTS[family]), device="cpu", dtype=dtype)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = {"resident": _held("VmRSS"), "anonymous": _held("RssAnon")}
    most, done = before["anonymous"], threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.002):
            most = max(most, _held("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    backbone = load_backbone(family, str(folder), device="cpu", dtype=dtype)
    done.set()
    watcher.join()
    most = max(most, _held("RssAnon"))
    assert backbone.settings["dtype"] == dtype
    return {"resident": _held("VmHWM") - before["resident"], "anonymous": most - before["anonymous"]}


def measure(family: str, dtype: str, place: Path, shapes: dict[str, tuple[int, ...]]) -> list[Figure]:
    """Measure both peaks over the size of the files.

    Weights that are converted to another dtype are held in that dtype, which takes as many bytes here.
    """
    folder = generate(family, place, shapes)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.suffix in (".bin", ".safetensors"))
    command = [sys.executable, __file__, "--load", family, str(folder), dtype]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    peaks = json.loads(run.stdout.splitlines()[-1])
    stored = dtype == "float16"
    return [
        Figure(
            f"{family}, {size / 1e9:.2f} GB, as {dtype}: {kind} / size",
            peak / size,
            at_most=AT_MOST if stored or kind == "anonymous" else None,
        )
        for kind, peak in peaks.items()
    ]


def main() -> None:
    """Measure and show; exit 1 if a peak is beyond its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the widths of 7B models, with two decoder layers")
    parser.add_argument("--load", nargs=3, metavar=("FAMILY", "FOLDER", "DTYPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        family, folder, dtype = arguments.load
        print(json.dumps(load(family, Path(folder), dtype)))
        return
    figures = []
    for family in LAYOUTS:
        for dtype in ("float16", "bfloat16"):
            with tempfile.TemporaryDirectory() as place:
                figures += measure(family, dtype, Path(place), FULL if arguments.full else SMALL)
    show(figures)


if __name__ == "__main__":
    main()

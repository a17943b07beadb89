"""What fits a card of 24 GB, told without one: peak memory at full size in bf16, batch 8.

Full widths, two and three decoder layers on the CPU; torch's allocator counts the bytes of tensors. What one layer more
adds is taken for each of the others, since they are alike. Not counted: the CUDA context (some 0.5 GB), workspaces of
kernels, fragmentation. ``gpu.py`` measures the real thing.
"""

from __future__ import annotations

import argparse
import dataclasses

import torch
from models import FULL, build, demo_questions
from speed import peak
from table import Figure, show
from torch import nn

from sepm_eval import get_method
from sepm_eval.model_wrappers._image_first import ImageFirst

CARD = 24.0  # GB of the paper's cards, RTX 4090
FEW = (2, 3)  # decoder layers
METHODS = {"sepm": {}, "sepm reuse": {"reuse": True}}


def weights(backbone: ImageFirst) -> int:
    """Bytes of all parameters."""
    language = backbone._language_model
    parts = (*vars(backbone).values(), language.decoder, language.head)
    modules = [part for part in parts if isinstance(part, nn.Module)]
    each = {p.data_ptr(): p.numel() * p.element_size() for module in modules for p in module.parameters()}
    return sum(each.values())


def measure(batch: int) -> list[Figure]:
    """Weights and peak of each model and method, in GB."""
    questions = demo_questions(batch)
    figures = []
    for family, geometry in FULL.items():
        held: dict[str, list[float]] = {}
        for layers in FEW:
            smaller = dataclasses.replace(geometry, decoder=dataclasses.replace(geometry.decoder, layers=layers))
            backbone = build(family, smaller, dtype=torch.bfloat16)
            held.setdefault("weights", []).append(weights(backbone) / 1e9)
            for name, options in METHODS.items():
                method = get_method("sepm", **options)
                more = peak(lambda method=method, backbone=backbone: method.answer(questions, backbone)) / 1e9
                held.setdefault(name, []).append(held["weights"][-1] + more)
        for name, (two, three) in held.items():
            whole = two + (three - two) * (geometry.decoder.layers - FEW[0])
            figures.append(Figure(f"{family}, batch {batch}: {name}", whole, at_most=CARD, unit="GB"))
    return figures


def main() -> None:
    """Measure and show; exit 1 if a model does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    show(measure(parser.parse_args().batch))


if __name__ == "__main__":
    main()

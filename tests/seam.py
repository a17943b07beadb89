"""Models and pictures at which the seam is tested."""

from __future__ import annotations

from conftest import ORACLES

from sepm_eval import load_backbone

FOLDERS = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint"}
PHRASE = "Please focus on emotion."
PROMPTS = [f"{PHRASE}\nPositive or negative?", f"{PHRASE}\nWhich of all these is it?", f"{PHRASE}\nWhich?"]


def load(name, **options):
    return load_backbone(name, str(ORACLES / FOLDERS[name]), device="cpu", dtype="float32", **options)

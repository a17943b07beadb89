"""A damaged checkpoint is refused by name, or it answers: whatever the libraries below make of it."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from conftest import ORACLES
from damage import damages
from PIL import Image

from sepm_eval import Question, demo, get_method, load_backbone

LAYOUTS = {
    "demo": ("llava", demo.MODEL, "."),
    "llava-hf": ("llava", ORACLES / "llava15_tiny", "hf"),
    "llava-original": ("llava", ORACLES / "llava15_tiny", "original"),
    "vila": ("vila", ORACLES / "vila15_tiny" / "checkpoint", "."),
}
READ = (".json", ".safetensors", ".model")
EDITS = 12  # of each JSON file


def files(layout: str) -> list[str]:
    """The files that loading reads: those of the checkpoint, and of the tower beside it."""
    _, root, inside = LAYOUTS[layout]
    towers = {"llava-original": ["clip-vit-tiny-patch14-56"]}.get(layout, [])
    found = [path for folder in (inside, *towers) for path in (root / folder).rglob("*") if path.suffix in READ]
    return sorted(path.relative_to(root).as_posix() for path in found)


CASES = [(layout, name) for layout in LAYOUTS for name in files(layout)]


def answer(family: str, folder: Path) -> str | None:
    """Load a checkpoint and ask it; None if it answered, or what the refusal said."""
    try:
        backbone = load_backbone(family, str(folder), device="cpu")
    except (ValueError, FileNotFoundError) as error:
        assert type(error) in (ValueError, FileNotFoundError), f"{type(error).__name__}: {error}"
        return str(error)
    question = Question(Image.new("RGB", (40, 30), (200, 30, 90)), ("joy", "fear"))
    try:
        get_method("sepm").answer([question], backbone)
    except FloatingPointError:  # weights may have become NaN; the runner counts the item as failed
        pass
    return None


@pytest.mark.parametrize(("layout", "name"), CASES, ids=lambda value: value)
def test_every_damage_is_refused_by_name_or_harmless(tmp_path, layout, name):
    family, root, inside = LAYOUTS[layout]
    shutil.copytree(root, tmp_path / "made")
    path, folder = tmp_path / "made" / name, tmp_path / "made" / inside
    content = path.read_bytes()
    assert answer(family, folder) is None
    wrong, refused = [], 0
    for number, (what, damaged) in enumerate(damages(name, content, seed=len(name), most=EDITS)):
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said = answer(family, folder)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            wrong.append(f"{number} {what}: {type(error).__name__}: {str(error)[:150]}")
            continue
        refused += said is not None
        if said is not None and str(tmp_path / "made") not in said:
            wrong.append(f"{number} {what}: names no file or checkpoint: {said[:150]}")
    assert wrong == []
    assert refused or Path(name).name not in ("config.json", "model.safetensors", "tokenizer.json")


# What a preprocessor may say


def with_processor(tmp_path, layout, **changes):
    """A copy of a checkpoint whose preprocessor says something else; ... takes a key away."""
    family, root, inside = LAYOUTS[layout]
    shutil.copytree(root, tmp_path / "made")
    folder = {"llava-original": "clip-vit-tiny-patch14-56", "vila": "vision_tower"}.get(layout, inside)
    path = tmp_path / "made" / folder / "preprocessor_config.json"
    said = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not ...}))
    return family, str(tmp_path / "made" / inside)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_std": [-1, 1, 1]}, "image_std"),
        ({"image_std": [0, 1, 1]}, "image_std"),
        ({"image_std": [float("nan")] * 3}, "image_std"),
        ({"image_std": [1e-30] * 3}, "image_std"),
        ({"image_std": [0.5]}, "image_std"),
        ({"image_std": 0.5}, "image_std"),
        ({"image_std": "0.5"}, "image_std"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_mean": [127, 127, 127]}, "image_mean"),
        ({"image_mean": [0.5, 0.5, float("inf")]}, "image_mean"),
        ({"image_mean": ["0.5", 0.5, 0.5]}, "image_mean"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"rescale_factor": -1 / 255}, "rescale_factor"),
        ({"rescale_factor": 1}, "rescale_factor"),
        ({"rescale_factor": "x"}, "rescale_factor"),
        ({"resample": 0}, "resample"),
        ({"resample": 99}, "resample"),
        ({"do_normalize": False}, "do_normalize"),
        ({"do_rescale": False}, "do_rescale"),
        ({"do_resize": False}, "do_resize"),
    ],
)
def test_an_odd_preprocessor_is_refused_by_name(tmp_path, layout, changes, named):
    family, folder = with_processor(tmp_path, layout, **changes)
    with pytest.raises(ValueError, match=rf"preprocessor.*{named}"):
        load_backbone(family, folder, device="cpu")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"height": 8, "width": 8}, "crop_size": {"height": 8, "width": 8}},
        {"size": 8, "crop_size": 8},  # as openai's CLIP repositories write it
        {"size": {"shortest_edge": 10**9}},
        {"do_pad": True, "pad_size": {"height": 10**6, "width": 10**6}},
        {"do_center_crop": True, "crop_size": {"height": 10**6, "width": 10**6}},
        {"do_convert_rgb": False},
        {"do_rescale": ..., "rescale_factor": ..., "do_convert_rgb": ...},
    ],
)
def test_sizes_are_the_towers_whatever_the_preprocessor_says(tmp_path, layout, changes):
    family, folder = with_processor(tmp_path, layout, **changes)
    _, root, inside = LAYOUTS[layout]
    picture = Image.effect_noise((60, 40), 90).convert("RGB")
    changed, plain = load_backbone(family, folder, device="cpu"), load_backbone(family, str(root / inside), device="cpu")
    assert torch.equal(changed._pixels([picture], 1.0), plain._pixels([picture], 1.0))

"""A damaged checkpoint is refused by name, or it answers: whatever the libraries below make of it."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import tokenizers
import torch
from conftest import ORACLES
from damage import damages
from PIL import Image

from sepm_eval import Question, demo, get_method, load_backbone
from sepm_eval.backbone.tokenizers import load_tokenizer

LAYOUTS = {
    "demo": ("llava", demo.MODEL, "."),
    "llava-hf": ("llava", ORACLES / "llava15_tiny", "hf"),
    "llava-original": ("llava", ORACLES / "llava15_tiny", "original"),
    "vila": ("vila", ORACLES / "vila15_tiny" / "checkpoint", "."),
}
READ = (".json", ".safetensors", ".model")
DECISIVE = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")  # of others every fourth
EDITS = 12  # of each JSON file


def files(layout: str) -> list[str]:
    """The files that loading reads: those of the checkpoint, and of the tower beside it."""
    _, root, inside = LAYOUTS[layout]
    towers = {"llava-original": ["clip-vit-tiny-patch14-56"]}.get(layout, [])
    found = [path for folder in (inside, *towers) for path in (root / folder).rglob("*") if path.suffix in READ]
    return sorted(path.relative_to(root).as_posix() for path in found)


CASES = [(layout, name) for layout in LAYOUTS for name in files(layout)]


def answer(family: str, folder: Path) -> str | None:
    """Load a checkpoint and ask it; None if it answered, or what the refusal said.

    Raises:
        BaseException: anything that is not what ``load_backbone`` promises.
    """
    try:
        backbone = load_backbone(family, str(folder), device="cpu")
    except Exception as error:
        if type(error) not in (ValueError, FileNotFoundError):
            raise
        return str(error)
    question = Question(Image.new("RGB", (40, 30), (200, 30, 90)), ("joy", "fear"))
    with suppress(FloatingPointError):  # weights may have become NaN; the runner counts the item as failed
        get_method("sepm").answer([question], backbone)
    return None


@pytest.mark.parametrize(("layout", "name"), CASES, ids=lambda value: value)
def test_every_damage_is_refused_by_name_or_harmless(tmp_path, layout, name):
    family, root, inside = LAYOUTS[layout]
    shutil.copytree(root, tmp_path / "made")
    path, folder = tmp_path / "made" / name, tmp_path / "made" / inside
    content = path.read_bytes()
    assert answer(family, folder) is None
    step = 1 if path.name in DECISIVE else 4
    wrong, refused = [], 0
    for what, damaged in islice(damages(name, content, seed=len(name), most=EDITS), None, None, step):
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
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[:150]}")
            continue
        refused += said is not None
        if said is not None and str(tmp_path / "made") not in said:
            wrong.append(f"{what}: names no file or checkpoint: {said[:150]}")
    assert wrong == []
    assert refused or path.name not in DECISIVE


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
    changed, plain = (
        load_backbone(family, folder, device="cpu"),
        load_backbone(family, str(root / inside), device="cpu"),
    )
    assert torch.equal(changed._pixels([picture], 1.0), plain._pixels([picture], 1.0))


# Tokenizers

TOKENIZERS = {
    "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    "pre_tokenizer": {"type": "FixedLength", "length": 0},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {},
    },
}


def with_tokenizer(tmp_path, **changes):
    shutil.copytree(ORACLES / "llava15_tiny" / "hf", tmp_path / "made")
    path = tmp_path / "made" / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return tmp_path / "made"


@pytest.mark.parametrize("part", TOKENIZERS)
def test_a_tokenizer_at_which_its_library_panics_is_refused(tmp_path, part):
    """The PanicException of a library written in Rust is no Exception."""
    folder = with_tokenizer(tmp_path, **{part: TOKENIZERS[part]})
    with pytest.raises(BaseException, match=r"Precompiled|non-zero|no entry") as raised:
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode("A")
    assert type(raised.value).__module__ == "pyo3_runtime"  # what the next lines are about
    for load in (load_tokenizer, lambda path: load_backbone("llava", str(path), device="cpu")):
        with pytest.raises(ValueError, match=r"tokenizer\.json is not a whole tokenizer"):
            load(folder)


@pytest.mark.parametrize("name", ["llava", "vila"])
def test_a_panic_anywhere_in_a_loading_is_an_error_that_names_the_checkpoint(monkeypatch, name):
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def fail(*_, **__):
        raise panic("index out of bounds")

    monkeypatch.setattr(f"sepm_eval.model_wrappers._{name}.find_checkpoint", fail)
    with pytest.raises(ValueError, match=rf"^demo cannot be loaded as {name}: PanicException: index out of bounds"):
        load_backbone(name, "demo", device="cpu")


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=repr,
)
def test_what_is_no_fault_of_the_checkpoint_passes_through(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("sepm_eval.model_wrappers._llava.find_checkpoint", fail)
    with pytest.raises(type(error)) as raised:
        load_backbone("llava", "demo", device="cpu")
    assert raised.value is error


def test_truncation_and_padding_of_a_tokenizer_are_no_part_of_a_prompt(tmp_path):
    """transformers switches both off; the library would cut prompts, panic, or end the process for want of memory."""
    folder = with_tokenizer(
        tmp_path,
        truncation={"max_length": 4, "strategy": "LongestFirst", "stride": 9, "direction": "Right"},
        padding={
            **{"strategy": {"Fixed": 2**60}, "direction": "Right", "pad_to_multiple_of": None},
            **{"pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        },
    )
    plain = load_tokenizer(ORACLES / "llava15_tiny" / "hf")
    text = "Please focus on emotion. Which one is it?"
    assert load_tokenizer(folder).encode(text) == plain.encode(text)


def test_ids_without_an_embedding_are_refused(tmp_path):
    model = json.loads((ORACLES / "llava15_tiny" / "hf" / "tokenizer.json").read_text())["model"]
    model["vocab"] = {token: 100_000 if index == 500 else index for token, index in model["vocab"].items()}
    folder = with_tokenizer(tmp_path, model=model)
    with pytest.raises(ValueError, match="tokenizer has the id 100000, its model only 704 embeddings"):
        load_backbone("llava", str(folder), device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000; allowed are 1 to 1000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0; allowed are 1 to 1000"),
        ({"num_hidden_layers": 900}, "weights, but its files have only"),
        ({"vocab_size": 10**8}, "describes a model of .* weights, but its files have only"),
        ({"hidden_size": 3 * 2**14, "intermediate_size": 2**18}, "describes a model of .* weights"),
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_larger_than_its_files_is_refused_before_memory_is_asked_for(tmp_path, layout, changes, message):
    family, root, inside = LAYOUTS[layout]
    shutil.copytree(root, tmp_path / "made")
    path = tmp_path / "made" / (f"{inside}/llm" if family == "vila" else inside) / "config.json"
    config = json.loads(path.read_text())
    config.get("text_config", config).update(changes)
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load_backbone(family, str(tmp_path / "made" / inside), device="cpu")

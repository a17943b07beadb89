"""Loading: what is seen of files and memory before weights are read, formats, quantisation, nothing held twice."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from conftest import ORACLES
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration, PreTrainedModel
from transformers.quantizers import auto as quantizers
from untouched import KEYS, Untouched

from sepm_eval import load_backbone
from sepm_eval.backbone import shards
from sepm_eval.backbone.shards import check_files
from sepm_eval.backbone.weights import read_weights
from sepm_eval.model_wrappers._quantization import NAMES, parse_quantization, stored_bytes

TINY = ORACLES / "llava15_tiny"
VILA = ORACLES / "vila15_tiny" / "checkpoint"
LAYOUTS = {"hf": ("llava", TINY / "hf"), "original": ("llava", TINY / "original"), "vila": ("vila", VILA)}


def in_bins(tmp_path: Path, *, zipped: bool = True, dtype: torch.dtype = torch.float32) -> Path:
    """The original layout as it is published: two ``.bin`` shards and an index."""
    shutil.copytree(TINY, tmp_path / "made")
    folder = tmp_path / "made" / "original"
    weights = {key: one.to(dtype) for key, one in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save({key: weights[key] for key in part}, folder / shard, _use_new_zipfile_serialization=zipped)
        weight_map.update(dict.fromkeys(part, shard))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def logits(backbone, oracle):
    return backbone.read(["Which one?"] * 3, backbone.see(oracle.images)).logits


# Files


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bin_shards_load_as_safetensors_do(tmp_path, llava_oracle, zipped, dtype):
    folder = in_bins(tmp_path, zipped=zipped)
    found = load_backbone("llava", str(folder), device="cpu", dtype=dtype)
    expected = load_backbone("llava", str(TINY / "original"), device="cpu", dtype=dtype)
    torch.testing.assert_close(logits(found, llava_oracle), logits(expected, llava_oracle), atol=0, rtol=0)


def in_pages_of(folder: Path, weights) -> list[bool]:
    """Which tensors lie in memory that is mapped from a file of this folder."""
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [[int(end, 16) for end in one[0].split("-")] for one in maps if one[-1].startswith(str(folder))]
    return [any(start <= weight.data_ptr() < end for start, end in spans) for weight in weights]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of mappings")
def test_files_are_mapped_and_become_the_models_own_weights(tmp_path):
    """A weight of a model on the CPU lies in the file's own pages where its dtype is the stored one."""
    folder = in_bins(tmp_path)
    weights = read_weights(folder, torch.float32)
    assert all(in_pages_of(folder, weights.values()))
    weights = read_weights(TINY / "hf", torch.float32)
    assert all(in_pages_of(TINY / "hf", weights.values()))
    backbone = load_backbone("llava", str(folder), device="cpu", dtype="float32")
    assert all(in_pages_of(tmp_path, backbone._model.parameters())), "a weight was copied"


def test_before_torch_1_6_one_file_after_the_other_is_cast(tmp_path, monkeypatch):
    """Such a file cannot be mapped; of the others' weights only what is needed is held while it is read."""
    folder, held = in_bins(tmp_path, zipped=False), []
    load = torch.load

    def watched(path, **how):
        assert how["weights_only"]
        assert not how["mmap"]
        held.append(path)
        return load(path, **how)

    monkeypatch.setattr(torch, "load", watched)
    weights = read_weights(folder, torch.bfloat16)
    assert len(held) == 2
    assert {one.dtype for one in weights.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[:-100], r"00001-of-00002\.bin is cut off or damaged \(BadZipFile"),
        (lambda whole: whole[: len(whole) // 2], "is cut off or damaged"),
        (lambda whole: b"PK" + b"x" * 200, "is cut off or damaged"),
        (
            lambda whole: b"version https://git-lfs.github.com/spec/v1",
            r"is not a file of weights \(it begins with b've'\)",
        ),
        (lambda whole: b"<html>", "is not a file of weights"),
        (lambda whole: b"", "is empty"),
    ],
)
def test_a_torn_bin_file_is_named_before_anything_is_read(tmp_path, monkeypatch, content, message):
    folder = in_bins(tmp_path)
    path = folder / "pytorch_model-00001-of-00002.bin"
    path.write_bytes(content(path.read_bytes()))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("weights were read"))
    for look in (check_files, lambda place: load_backbone("llava", str(place), device="cpu")):
        with pytest.raises(ValueError, match=message):
            look(folder)


def test_a_bin_shard_of_another_checkpoint_is_named(tmp_path):
    folder = in_bins(tmp_path)
    torch.save({"other": torch.zeros(2)}, folder / "pytorch_model-00002-of-00002.bin")
    with pytest.raises(ValueError, match=r"00002-of-00002\.bin lacks the tensor .* it may be of another checkpoint"):
        check_files(folder)


def test_a_bin_file_is_looked_into_without_running_it(tmp_path):
    """Names are read off the pickle's opcodes; a file that would run code is only refused when it is loaded."""

    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('ran')",)

    torch.save({"w": Bomb()}, tmp_path / "pytorch_model.bin")
    check_files(tmp_path)
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_weights(tmp_path, torch.float32)


# Memory

# Quantisation


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("options", "package"),
    [
        ({"load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quantization_config": "nf4"}, "bitsandbytes"),
        ({"quantization_config": "torchao-int8"}, "torchao"),
        ({"quantization_config": '{"quant_method": "bitsandbytes", "load_in_8bit": true}'}, "bitsandbytes"),
    ],
)
def test_quantisation_without_its_package_is_one_sentence(layout, options, package, monkeypatch):
    family, folder = LAYOUTS[layout]
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False)
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_8bit.is_bitsandbytes_available", lambda: False)
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(ValueError, match=rf"quantised loading needs the package {package} \(pip install {package}\)"):
        load_backbone(family, str(folder), device="cpu", **options)


@pytest.fixture
def untouched(monkeypatch):
    Untouched.asked.clear()
    for key in KEYS:
        monkeypatch.setitem(quantizers.AUTO_QUANTIZER_MAPPING, key, Untouched)
    return Untouched.asked


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_language_model_alone_is_quantised_and_it_is_recorded(layout, untouched):
    family, folder = LAYOUTS[layout]
    found = {
        name: load_backbone(family, str(folder), device="cpu", **options).settings
        for name, options in {
            "plain": {},
            "4": {"load_in_4bit": True},
            "nf4": {"quantization_config": "nf4"},
            "8": {"load_in_8bit": True},
            "8 as JSON": {"quantization_config": '{"quant_method": "bitsandbytes", "load_in_8bit": true}'},
        }.items()
    }
    assert {model for model, _ in untouched} == {
        "LlamaForCausalLM" if family == "vila" else "LlavaForConditionalGeneration"
    }
    assert len(untouched) == 4
    for _, config in untouched:
        assert config.llm_int8_skip_modules[-1] == "lm_head"
        assert ("model.vision_tower" in config.llm_int8_skip_modules) == (family == "llava")
    recorded = {name: settings["quantization_config"] for name, settings in found.items()}
    assert recorded["plain"] == "none"
    assert recorded["8"] == recorded["8 as JSON"]
    assert len(set(recorded.values())) == 4
    assert json.loads(recorded["nf4"])["bnb_4bit_quant_type"] == "nf4"
    assert json.loads(recorded["nf4"])["bnb_4bit_compute_dtype"] == found["nf4"]["dtype"] == "bfloat16"


def test_what_is_settled_reaches_transformers(monkeypatch):
    given = {}

    class Reached(Exception):
        pass

    def load(folder, **how):
        given.update(how, folder=folder)
        raise Reached

    monkeypatch.setattr(LlavaForConditionalGeneration, "from_pretrained", load)
    with pytest.raises(ValueError, match="Reached"):
        load_backbone("llava", str(TINY / "hf"), device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert given["folder"] == TINY / "hf"
    assert (given["dtype"], given["attn_implementation"]) == (torch.bfloat16, "eager")
    assert given["device_map"] == {"": torch.device("cpu")}
    assert "quantization_config" not in given
    with pytest.raises(ValueError, match="Reached"):
        load_backbone("llava", str(TINY / "hf"), device_map="balanced", max_memory='{"0": "1GB", "cpu": "2GiB"}')
    assert given["device_map"] == "balanced"
    assert given["max_memory"] == {0: 10**9, "cpu": 2**31}


def test_a_checkpoint_that_is_quantised_is_not_quantised_again(tmp_path, untouched):
    shutil.copytree(TINY / "hf", tmp_path / "made")
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "made" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="are already quantised: leave out load_in_4bit"):
        load_backbone("llava", str(tmp_path / "made"), device="cpu", load_in_4bit=True)


def test_bytes_of_quantised_numbers():
    for name in ("nf4", "fp4", "int8"):
        made = parse_quantization(False, False, name)(torch.bfloat16)
        assert stored_bytes(made) == (1 if name == "int8" else 0.5)
    assert set(NAMES) == {"nf4", "fp4", "int8", "torchao-int8"}


def test_the_names_of_kinds_cover_what_torch_writes():
    assert {"FloatStorage", "HalfStorage", "BFloat16Storage"} <= set(shards._STORAGES)

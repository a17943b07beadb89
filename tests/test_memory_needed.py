"""How much memory weights need is known, and held against what is free, before they are read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_loading import LAYOUTS, TINY
from transformers import PreTrainedModel

from sepm_eval import load_backbone
from sepm_eval.backbone import memory
from sepm_eval.backbone.shards import bytes_in_memory
from sepm_eval.model_wrappers import _memory, _placement
from sepm_eval.model_wrappers._memory import NotEnoughMemory


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 0.5), (torch.float16, 1), (torch.bfloat16, 1)])
def test_the_need_of_memory_follows_from_headers(tmp_path, dtype, share):
    weights = {"a": torch.zeros(300, 100, dtype=dtype), "b": torch.zeros(10_000, dtype=dtype)}
    (tmp_path / "st").mkdir()
    save_file(weights, tmp_path / "st" / "model.safetensors")
    assert bytes_in_memory(tmp_path / "st", 2) == 80_000
    assert bytes_in_memory(tmp_path / "st", 0.5) == 20_000
    (tmp_path / "bin").mkdir()
    torch.save(weights, tmp_path / "bin" / "pytorch_model.bin")
    assert 80_000 <= bytes_in_memory(tmp_path / "bin", 2) < 84_000
    size = (tmp_path / "bin" / "pytorch_model.bin").stat().st_size
    assert bytes_in_memory(tmp_path / "bin", 2) == int(size * share)


def test_numbers_that_are_quantised_as_stored_stay_as_they_are(tmp_path):
    save_file({"a": torch.zeros(1000, dtype=torch.uint8), "b": torch.zeros(10)}, tmp_path / "model.safetensors")
    assert bytes_in_memory(tmp_path, 2) == 1020


@pytest.fixture
def little(monkeypatch):
    """A machine on which only so many bytes are free, on every device."""

    def leave(size):
        for module in (_memory, _placement):
            monkeypatch.setattr(module, "free_memory", lambda device: size)
        monkeypatch.setattr(PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("weights were read"))

    return leave


@pytest.mark.parametrize("layout", LAYOUTS)
def test_too_little_memory_is_one_sentence_with_the_remedy(layout, little):
    family, folder = LAYOUTS[layout]
    little(100_000)
    with pytest.raises(NotEnoughMemory) as raised:
        load_backbone(family, str(folder), device="cpu", dtype="float32")
    assert isinstance(raised.value, MemoryError)
    told = str(raised.value)
    for part in ("cannot be loaded: its weights need", "are free", "dtype=bfloat16 needs", "load_in_4bit=True"):
        assert part in told
    assert "device_map=auto" not in told, "there is nothing to divide it with"
    assert "\n" not in told


def test_on_a_gpu_the_remedy_is_also_to_divide(monkeypatch):
    monkeypatch.setattr(_memory, "free_memory", lambda device: 20 * 2**30)
    told = _memory.lack_of_memory(26 * 2**30, "cuda:0", 2)
    assert "need 26.0 GiB of memory on cuda:0, where 20.0 GiB are free; device_map=auto divides it" in told
    assert "dtype=bfloat16" not in told
    assert _memory.lack_of_memory(20 * 2**30, "cuda:0", 2) == ""


def test_a_map_by_hand_is_held_against_each_place(little):
    little(100_000)
    with pytest.raises(NotEnoughMemory, match=r"device_map puts 0\.0 GiB of weights on cpu, where 0\.0 GiB are"):
        load_backbone("llava", str(TINY / "hf"), device="cpu", dtype="float32", device_map={"": "cpu"})


def test_what_is_on_disk_needs_no_memory(monkeypatch):
    monkeypatch.setattr(_memory, "free_memory", lambda device: 1_000_000)
    monkeypatch.setattr(_placement, "free_memory", lambda device: 1_000_000)
    with pytest.raises(NotEnoughMemory):
        load_backbone(
            "llava", str(TINY / "hf"), device="cpu", dtype="float32", device_map={"": "cpu", "lm_head": "cpu"}
        )
    device_map = {"": "cpu", **{f"model.language_model.layers.{layer}": "disk" for layer in range(3)}}
    load_backbone("llava", str(TINY / "hf"), device="cpu", dtype="float32", device_map=device_map)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_auto_takes_bfloat16_on_a_cpu_where_float32_does_not_fit(layout, monkeypatch, caplog):
    family, folder = LAYOUTS[layout]
    places = [folder, TINY / "clip-vit-tiny-patch14-56"] if layout == "original" else [folder]
    if layout == "vila":
        places = [folder / part for part in ("llm", "vision_tower", "mm_projector")]
    whole = sum(bytes_in_memory(place, 4) for place in places)
    for free, dtype in ((whole, "float32"), (whole - 1, "bfloat16")):
        for module in (_memory, _placement):
            monkeypatch.setattr(module, "free_memory", lambda device, free=free: free)
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="sepm_eval"):
            backbone = load_backbone(family, str(folder), device="cpu")
        assert backbone.settings["dtype"] == dtype
        said = [record for record in caplog.records if "dtype=auto takes bfloat16" in record.getMessage()]
        assert len(said) == (dtype == "bfloat16")


def group(root: Path, place: str, **figures: str) -> None:
    (root / place).mkdir(parents=True, exist_ok=True)
    for name, value in figures.items():
        (root / place / name.replace("__", ".")).write_text(value)


@pytest.mark.parametrize(
    ("membership", "place", "names", "files"),
    [
        ("0::/batch/job\n", "batch", ("memory__max", "memory__current"), "inactive_file 40\nactive_file 60\nanon 5\n"),
        ("0::/\n", "", ("memory__max", "memory__current"), "inactive_file 100\n"),
        (
            "5:cpu,memory:/batch\n3:pids:/\n",
            "memory/batch",
            ("memory__limit_in_bytes", "memory__usage_in_bytes"),
            "inactive_file 1\ntotal_inactive_file 100\n",
        ),
    ],
    ids=["version 2, set further up", "version 2, a container", "version 1"],
)
def test_limits_of_control_groups_count(tmp_path, membership, place, names, files):
    root, named = tmp_path / "cgroup", tmp_path / "membership"
    named.write_text(membership)
    group(root, "batch/job", memory__max="max", memory__current="7", memory__stat="")
    group(root, place, **{names[0]: "1000", names[1]: "600", "memory__stat": files})
    assert memory._left_by_limits(root, named) == [500]


def test_without_control_groups_there_are_no_limits(tmp_path):
    assert memory._left_by_limits(tmp_path, tmp_path / "none") == []


def test_free_memory_is_the_least_of_system_and_limits(monkeypatch):
    monkeypatch.setattr(memory, "_left_by_limits", lambda *_: [10**18, 12345])
    assert memory.free_memory("cpu") == 12345
    monkeypatch.setattr(memory, "_left_by_limits", lambda *_: [])
    assert memory.free_memory("cpu") > 12345


@pytest.mark.parametrize(("family", "dtype"), [("llava", "float16"), ("llava", "bfloat16"), ("hf", "bfloat16")])
def test_loading_holds_nothing_twice(monkeypatch, tmp_path, family, dtype):
    """The peak of a process that loads 190 MB of weights, as ``benchmarks/load_memory.py`` takes it."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's figures")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    from load_memory import SMALL, measure

    found = {one.what.rpartition(": ")[2]: one for one in measure(family, dtype, tmp_path / "made", SMALL)}
    assert found["anonymous / size"].at_most == 1.15
    assert not [one for one in found.values() if one.missed], found

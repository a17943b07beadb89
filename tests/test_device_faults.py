"""A device without memory halves the batch and changes no answer; numbers that are none fail one item by name."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from test_runner import asked, says_fear

from sepm_eval import get_method
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner
from sepm_eval.scoring import is_failure


def small(scripted, most, error):
    """A backbone whose memory suffices for so many questions at once."""
    backbone = scripted(says_fear)
    original = backbone.read
    backbone.sizes = []

    def read(prompts, *args, **kwargs):
        backbone.sizes.append(len(prompts))
        if len(prompts) > most:
            raise error
        return original(prompts, *args, **kwargs)

    backbone.read = read
    return backbone


FAULTS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    "windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4294967296 bytes."),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 8.94 GB, other allocations: 118.41 MB)"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "driver": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    "hip": RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    "python": MemoryError("memory"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_batch_that_does_not_fit_is_halved(tmp_path, scripted, caplog, fault):
    questions = [asked(i) for i in range(19)]
    plain = Runner("scripted", scripted(says_fear), "sepm", get_method("sepm"), 8, tmp_path / "plain.jsonl")
    backbone = small(scripted, 3, fault)
    tight = Runner("scripted", backbone, "sepm", get_method("sepm"), 8, tmp_path / "tight.jsonl")
    assert tight.answer(questions, quiet=True) == plain.answer(questions, quiet=True)
    assert "out of memory with 8 questions at once; going on with 4" in caplog.text
    assert "out of memory with 4 questions at once; going on with 2" in caplog.text
    assert [size for size in backbone.sizes if size > 3] == [8, 4, 4]  # found out once, not with every batch
    assert tight.batch_size == 8


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_one_question_that_does_not_fit_stops_the_run(tmp_path, scripted, fault):
    runner = Runner("scripted", small(scripted, 0, fault), "sepm", get_method("sepm"), 8, tmp_path / "journal.jsonl")
    with pytest.raises(type(fault), match=re.escape(str(fault))):
        runner.answer([asked(i) for i in range(3)], quiet=True)
    assert not runner.journal.path.read_bytes()


def test_what_was_answered_before_a_question_that_does_not_fit_is_kept(tmp_path, scripted):
    """Of a batch of four, the first half fits, and the third question does not fit even alone."""
    backbone, fault, answered = scripted(says_fear), FAULTS["cuda"], []
    plain = backbone.read

    def read(prompts, visual, **more):
        if len(prompts) > 2 or len(answered) >= 2:
            raise fault
        answered.extend(prompts)
        return plain(prompts, visual, **more)

    backbone.read = read
    path = tmp_path / "journal.jsonl"
    runner = Runner("scripted", backbone, "zero_shot", get_method("zero_shot"), 4, path)
    with pytest.raises(type(fault)):
        runner.answer([asked(i) for i in range(4)], quiet=True)
    assert [record["doc_id"] for record in read_journal(path)] == [0, 1]


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: device-side assert triggered"),
        KeyError("out of memory"),
    ],
)
def test_another_error_is_no_lack_of_memory(tmp_path, scripted, fault):
    backbone = small(scripted, 1, fault)
    runner = Runner("scripted", backbone, "zero_shot", get_method("zero_shot"), 4, tmp_path / "journal.jsonl")
    with pytest.raises(type(fault)):
        runner.answer([asked(i) for i in range(3)], quiet=True)
    assert backbone.sizes == [3]


@pytest.mark.parametrize("where", ["load", "prepare"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_picture_that_does_not_fit_fails_alone(tmp_path, scripted, fault, where):
    backbone = scripted(says_fear)

    def fail(*_):
        raise fault

    broken = asked(1)
    if where == "load":
        broken = dataclasses.replace(broken, load=fail)
    else:
        backbone.prepare = lambda image: fail() if image.getpixel((0, 0))[0] == 1 else None
    runner = Runner("scripted", backbone, "zero_shot", get_method("zero_shot"), 4, tmp_path / "journal.jsonl")
    outputs = runner.answer([asked(0), broken, asked(2)], quiet=True)
    assert [is_failure(output) for output in outputs] == [False, True, False]
    failed = [record for record in read_journal(runner.journal.path) if record["status"] == "failed"]
    assert [record["error"] for record in failed] == [f"{type(fault).__name__}: {fault}"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["sepm", "query_drop"])
def test_attention_that_is_no_number_fails_the_item_it_belongs_to(tmp_path, scripted, caplog, number, method):
    """NaN sorts too: without a check some tokens would be dropped."""
    backbone = scripted(says_fear)
    see, read = backbone.see, backbone.read
    rows = []

    def look(images, side=1.0):
        rows[:] = [image.getpixel((0, 0))[0] for image in images]
        return see(images, side)

    def broken(prompts, *args, **kwargs):
        reading = read(prompts, *args, **kwargs)
        if 2 in rows and reading.probe_attention is not None:
            reading.probe_attention[rows.index(2)][7] = number
        return reading

    backbone.see, backbone.read = look, broken
    runner = Runner("scripted", backbone, method, get_method(method), 3, tmp_path / "journal.jsonl")
    outputs = runner.answer([asked(i) for i in range(5)], quiet=True)
    assert [is_failure(output) for output in outputs] == [False, False, True, False, False]
    assert "document 2: the model's attention to the picture is NaN or infinite" in caplog.text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("method", ["zero_shot", "sepm"])
def test_numbers_that_are_none_fail_the_item_they_belong_to(tmp_path, scripted, caplog, number, method):
    backbone = scripted(says_fear)
    see, read = backbone.see, backbone.read
    rows = []

    def look(images, side=1.0):
        rows[:] = [image.getpixel((0, 0))[0] for image in images]
        return see(images, side)

    def broken(prompts, *args, **kwargs):
        reading = read(prompts, *args, **kwargs)
        for row, shade in enumerate(rows):
            if shade == 2:
                reading.logits[row, 7] = number
        return reading

    backbone.see, backbone.read = look, broken
    runner = Runner("scripted", backbone, method, get_method(method), 3, tmp_path / "journal.jsonl")
    outputs = runner.answer([asked(i) for i in range(5)], quiet=True)
    assert [is_failure(output) for output in outputs] == [False, False, True, False, False]
    assert "document 2: the model's logits are NaN or infinite" in caplog.text
    failed = [record for record in read_journal(runner.journal.path) if record["status"] == "failed"]
    assert [record["doc_id"] for record in failed] == [2]

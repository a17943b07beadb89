"""A device without memory halves the batch and changes no answer; numbers that are none fail one item by name."""

from __future__ import annotations

import pytest
import torch
from test_runner import asked, says_fear

from sepm_eval import get_method
from sepm_eval.journal import read_journal
from sepm_eval.runner import Runner
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


FAULTS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["cuda", "cpu"])
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


@pytest.mark.parametrize("fault", FAULTS, ids=["cuda", "cpu"])
def test_one_question_that_does_not_fit_stops_the_run(tmp_path, scripted, fault):
    runner = Runner("scripted", small(scripted, 0, fault), "sepm", get_method("sepm"), 8, tmp_path / "journal.jsonl")
    with pytest.raises(type(fault), match="memory"):
        runner.answer([asked(i) for i in range(3)], quiet=True)
    assert not runner.journal.path.read_bytes()


def test_another_error_of_torch_is_no_lack_of_memory(tmp_path, scripted):
    backbone = small(scripted, 1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    runner = Runner("scripted", backbone, "zero_shot", get_method("zero_shot"), 4, tmp_path / "journal.jsonl")
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        runner.answer([asked(i) for i in range(3)], quiet=True)
    assert backbone.sizes == [3]


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

"""Same inputs, same answers: again, in batches of another size, in another order, shared out, and after a resume."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from sepm_eval import get_method
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image
from sepm_eval.methods import find_methods
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner

VARIANTS = [(name, {}) for name in sorted(find_methods())] + [("sepm", {"reuse": True}), ("random_drop", {"seed": 7})]
COUNT = 10


@pytest.fixture(scope="module")
def questions():
    benchmark = find_benchmarks()["emotion_demo"]
    items = benchmark.items()
    items = items[:: len(items) // COUNT][:COUNT]

    def load(item):
        return benchmark.question(), [open_image(item.path)]

    return [Asked("emotion_demo", number, partial(load, item), 16) for number, item in enumerate(items)]


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[f"{n}-{'-'.join(o)}" for n, o in VARIANTS])
def test_an_answer_depends_on_its_picture_alone(tmp_path, questions, demo_backbone, name, options):
    method = get_method(name, **options)

    def records(what, asked, batch_size, shards=1):
        found = {}
        for rank in range(shards):
            shard = f".rank{rank}" if shards > 1 else ""
            path = tmp_path / f"{what}.jsonl"
            runner = Runner("llava", demo_backbone, name, method, batch_size, path, shard=shard)
            runner.answer(asked[rank::shards], quiet=True)
            runner.journal.close()
            found.update({r["doc_id"]: r for r in read_journal(runner.journal.path)})
        return [(r["text"], r.get("dropped"), r.get("polarity"), r.get("candidates")) for _, r in sorted(found.items())]

    torch.manual_seed(1)
    once = records("once", questions, 1)
    assert len(once) == COUNT
    torch.manual_seed(2)
    assert records("again", questions, 1) == once
    assert records("batches", questions, 4) == once
    assert records("all", questions, COUNT) == once
    assert records("backwards", questions[::-1], 3) == once
    assert records("shared", questions, 3, shards=2) == once
    records("half", questions[: COUNT // 2], 3)
    assert records("half", questions, 2) == once


def test_answers_of_other_processes_are_known(tmp_path, questions, demo_backbone):
    """Begun with two processes, gone on with one, and with three: nothing is asked again."""
    method = get_method("zero_shot")
    path = tmp_path / "journal.jsonl"

    def run(asked, shard):
        runner = Runner("llava", demo_backbone, "zero_shot", method, 4, path, shard=shard)
        before = len(runner.journal)
        outputs = runner.answer(asked, quiet=True)
        runner.journal.close()
        return before, outputs

    parts = [run(questions[rank::2], f".rank{rank}")[1] for rank in range(2)]
    seen = []
    original = demo_backbone.see
    demo_backbone.see = lambda *args: seen.append(args) or original(*args)
    try:
        before, outputs = run(questions, "")
        assert before == COUNT
        assert outputs[0::2] == parts[0]
        assert outputs[1::2] == parts[1]
        for rank in range(3):
            run(questions[rank::3], f".rank{rank}")
        assert not seen
    finally:
        del demo_backbone.see

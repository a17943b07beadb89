"""Several variants in one pass, and the journals they leave for a harness."""

import pytest
from miniature import emoset_release
from test_lmms_eval import lmms_eval

from sepm_eval import get_method
from sepm_eval.backbone.shared import Shared
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image
from sepm_eval.methods.common import MAX_NEW_TOKENS
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner
from sepm_eval.runs.variants import answer_variants


@pytest.fixture
def questions(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    emoset_release(tmp_path)
    benchmark = find_benchmarks()["emoset"]
    text = benchmark.question()
    return [
        Asked("emoset", number, lambda item=item: (text, [open_image(item.path)]), MAX_NEW_TOKENS)
        for number, item in enumerate(benchmark.items())
    ]


def runners(backbone, folder, *alphas, batch_size=4):
    return [
        Runner("llava", backbone, "sepm", get_method("sepm", alpha=alpha), batch_size, folder / f"sepm_{alpha}.jsonl")
        for alpha in alphas
    ]


def test_a_harness_finds_the_answers_of_a_sweep(tmp_path, questions, demo_backbone):
    """lmms-eval's run of any variant then asks the model nothing, and scores what was answered."""
    variants = runners(Shared(demo_backbone), tmp_path, 0.05, 0.2)
    outputs = answer_variants(variants, questions, quiet=True)
    for runner in variants:
        runner.journal.close()
    assert [len(found) for found in outputs] == [16, 16]
    journal = tmp_path / "sepm_0.2.jsonl"
    before = journal.read_bytes()
    output, results, samples = lmms_eval(
        tmp_path, "sepm_llava", f"pretrained=demo,alpha=0.2,device=cpu,journal={journal}", "emoset"
    )
    assert "16 answers from before" in output
    assert results["emoset"]["n_failed,none"] == 0
    assert [sample["filtered_resps"][0] for sample in samples["emoset"]] == outputs[1]
    assert journal.read_bytes() == before


def test_a_sweep_equals_single_runs(tmp_path, questions, demo_backbone):
    outputs = answer_variants(runners(Shared(demo_backbone), tmp_path / "one", 0.0, 0.1, 0.24), questions, quiet=True)
    for runner, found in zip(runners(demo_backbone, tmp_path / "two", 0.0, 0.1, 0.24), outputs, strict=True):
        assert runner.answer(questions, quiet=True) == found
        runner.journal.close()
        pairs = zip(
            read_journal(tmp_path / "one" / runner.journal.path.name), read_journal(runner.journal.path), strict=True
        )
        for one, other in pairs:
            assert (one["key"], one["text"], one["dropped"]) == (other["key"], other["text"], other["dropped"])


def test_variants_must_share(tmp_path, questions, demo_backbone):
    with pytest.raises(ValueError, match="through one Shared"):
        answer_variants(runners(demo_backbone, tmp_path, 0.1), questions)
    shared = Shared(demo_backbone)
    mixed = runners(shared, tmp_path / "a", 0.1) + runners(shared, tmp_path / "b", 0.1, batch_size=2)
    with pytest.raises(ValueError, match=r"batch sizes \[2, 4\] differ"):
        answer_variants(mixed, questions)

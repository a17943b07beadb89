"""Several variants in one pass, and the journals they leave for a harness."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from miniature import emoset_release
from test_lmms_eval import lmms_eval

from sepm_eval import get_method, images
from sepm_eval.backbone.shared import Shared
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import UnreadableImage, open_image
from sepm_eval.methods.common import MAX_NEW_TOKENS
from sepm_eval.runs import loading_ahead
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner
from sepm_eval.runs.variants import answer_variants
from sepm_eval.scoring import is_failure


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


@pytest.mark.parametrize("workers", [1, 4])
def test_a_picture_s_digest_is_taken_once(tmp_path, questions, demo_backbone, monkeypatch, workers):
    """Journals, shared readings and a random choice all go by it: two variants and a random drop, one digest each."""
    counted: Counter[int] = Counter()
    take = images._sha256

    def count(image):
        counted[id(image)] += 1
        kept.append(image)  # so that no two have one id
        return take(image)

    kept: list[object] = []
    monkeypatch.setattr(images, "_sha256", count)
    monkeypatch.setattr(loading_ahead, "LOADERS", workers)
    variants = runners(Shared(demo_backbone), tmp_path, 0.05, 0.2)
    path = tmp_path / "random.jsonl"
    variants.append(Runner("llava", variants[0].backbone, "random_drop", get_method("random_drop"), 4, path))
    answer_variants(variants, questions, quiet=True)
    for runner in variants:
        runner.journal.close()
    assert list(counted.values()) == [1] * len(questions)


def test_a_question_is_loaded_once_and_its_fault_is_every_variant_s(tmp_path, questions, demo_backbone):
    loaded: Counter[int] = Counter()

    def load(number):
        loaded[number] += 1
        if number == 5:
            raise UnreadableImage("picture 5 is broken")
        return questions[number].load()

    asked = [replace(one, load=partial(load, number)) for number, one in enumerate(questions)]
    variants = runners(Shared(demo_backbone), tmp_path, 0.05, 0.2)
    for texts in answer_variants(variants, asked, quiet=True):
        assert [is_failure(text) for text in texts] == [number == 5 for number in range(len(questions))]
    for runner in variants:
        runner.journal.close()
    assert set(loaded.values()) == {1}


def test_variants_must_share(tmp_path, questions, demo_backbone):
    with pytest.raises(ValueError, match="through one Shared"):
        answer_variants(runners(demo_backbone, tmp_path, 0.1), questions)
    shared = Shared(demo_backbone)
    mixed = runners(shared, tmp_path / "a", 0.1) + runners(shared, tmp_path / "b", 0.1, batch_size=2)
    with pytest.raises(ValueError, match=r"batch sizes \[2, 4\] differ"):
        answer_variants(mixed, questions)

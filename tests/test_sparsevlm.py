"""SparseVLM against the numbers of its own code, with 64 and with 576 visual tokens."""

import numpy as np
import pytest
import torch
from conftest import ORACLES, Oracle, stacked

from sepm_eval import load_backbone
from sepm_eval.backbone import probe as probes
from sepm_eval.methods.sparsevlm import FULL, KEPT, Sparsify, merge


@pytest.fixture(scope="module", params=["n64", "n576"])
def reference(request):
    oracle = Oracle(f"sparsevlm_reference/{request.param}")
    backbone = load_backbone("llava", str(ORACLES / "sparsevlm_reference" / request.param / "original"), device="cpu")
    return oracle, backbone, backbone.see(oracle.images)


def sparsify(budget, visual):
    return Sparsify(tuple(round(count * visual.counts[0] / FULL) for count in KEPT[budget]))


def close(found, oracle, budget, name):
    """Either way of breaking ties of density is the reference's."""
    names = [f"B{budget}/{name}", f"ties_by_position/B{budget}/{name}"]
    expected = [oracle[one] for one in names if one in oracle._arrays.files]
    for i, row in enumerate(found):
        assert any(np.allclose(row, other[i], atol=1e-4, rtol=0) for other in expected), (budget, i)


def test_features_and_dense_control(reference, stage_one_question):
    oracle, backbone, visual = reference
    np.testing.assert_allclose(stacked(visual).numpy(), oracle["image_features"], atol=1e-4, rtol=0)
    logits = backbone.read([stage_one_question] * 3, visual).logits.numpy()
    np.testing.assert_allclose(logits, oracle["dense/logits_last"], atol=1e-4, rtol=0)


def test_raters(reference, stage_one_question):
    oracle, backbone, visual = reference
    tokens = backbone._tokenise(stage_one_question, image=True, probe=None)
    text = backbone._language_model.decoder.get_input_embeddings()(torch.tensor(tokens.after))
    for i in range(3):
        found = Sparsify((1, 1, 1)).raters(visual.pictures[i].features, text).nonzero().flatten().tolist()
        assert found == oracle[f"raters/{i}"].tolist()


@pytest.mark.parametrize("budget", sorted(KEPT))
def test_logits_and_lengths(reference, stage_one_question, budget):
    oracle, backbone, visual = reference
    reading = backbone.read([stage_one_question] * 3, visual, prune=sparsify(budget, visual))
    close(reading.logits.numpy(), oracle, budget, "logits_last")
    assert [layer.shape[1] for layer in reading.attended] == oracle[f"B{budget}/cache_length_per_layer"].tolist()


@pytest.mark.parametrize("budget", sorted(KEPT))
def test_decoding_beyond_the_first_token(reference, stage_one_question, budget):
    oracle, backbone, visual = reference
    reading = backbone.read([stage_one_question] * 3, visual, prune=sparsify(budget, visual))
    assert backbone._language_model.write(reading, 4) == oracle[f"B{budget}/greedy_ids"][:, 1:].tolist()


def test_prompts_of_different_length_share_a_batch(reference, stage_one_question):
    _, backbone, visual = reference
    longer = f"{stage_one_question}\nAnswer now, and answer directly."
    prune = sparsify(128, visual)
    alone = backbone.read([stage_one_question], visual[[0]], prune=prune)
    mixed = backbone.read([stage_one_question, longer, longer], visual, prune=prune)
    np.testing.assert_allclose(mixed.logits[0].numpy(), alone.logits[0].numpy(), atol=1e-4)
    written = backbone._language_model.write(mixed, 4)
    assert written[0] == backbone._language_model.write(alone, 4)[0]


def test_one_step(reference):
    """Kept, recycled and merged tokens of the first step, from the reference's own scores."""
    oracle, _, visual = reference
    budget, layer = 192, 2
    counts = oracle[f"B{budget}/counts"][0].tolist()
    for i in range(3):
        scores = torch.from_numpy(oracle[f"B{budget}/L{layer}/score/{i}"])
        numbered = torch.arange(len(scores), dtype=torch.float32)[:, None].repeat(1, 4)
        kept, merged, centres = sparsify(budget, visual).step(layer, numbered, scores)
        assert kept.tolist() == oracle[f"B{budget}/L{layer}/kept/{i}"].tolist()
        assert len(kept) == counts[1]
        assert len(kept) + len(merged) == counts[5]
        assert len(set(centres.tolist())) == len(merged)
        assert not set(centres.tolist()) & set(kept.tolist())


def test_one_cluster_is_the_mean():
    tokens = torch.randn(7, 5)
    torch.testing.assert_close(merge(tokens)[0], tokens.mean(0, keepdim=True))


def test_a_model_without_any_of_the_layers_is_refused(tiny_llava, llava_oracle):
    """It would be zero-shot under another's name."""
    visual = tiny_llava.see(llava_oracle.images)  # three layers
    with pytest.raises(ValueError, match=r"nothing would be pruned: .* layers \[3, 7\], and this model .* 0 to 2"):
        tiny_llava.read(["What is it?"] * 3, visual, prune=Sparsify((4, 4), (3, 7)))
    reading = tiny_llava.read(["What is it?"] * 3, visual, prune=Sparsify((6, 4), (1, 7)))  # one of them is there
    assert reading.attended[2].shape[1] < reading.attended[1].shape[1]


def test_a_layer_that_does_not_report_its_attention_is_an_error(llava_oracle):
    """Not a reading in which nothing was pruned."""
    backbone = load_backbone("llava", str(ORACLES / "llava15_tiny/hf"), device="cpu")
    visual = backbone.see(llava_oracle.images)
    backbone._language_model.decoder.set_attn_implementation("sdpa")
    with pytest.raises(RuntimeError, match="probe of layer 1 was not answered"):
        backbone.read(["What is it?"] * 3, visual, prune=Sparsify((6,), (1,)))


def test_scores_that_are_no_numbers_are_an_error(tiny_llava, llava_oracle, monkeypatch):
    visual, prune = tiny_llava.see(llava_oracle.images), Sparsify((6,), (1,))
    answer = probes.Probe.fill

    def overflow(self, *args):
        answer(self, *args)
        self.found[1][1, 5] = torch.nan

    with monkeypatch.context() as patch:
        patch.setattr(probes.Probe, "fill", overflow)
        with pytest.raises(FloatingPointError, match=r"layer 1 that rates .* \(rows \[1\] of the batch\)"):
            tiny_llava.read(["What is it?"] * 3, visual, prune=prune)
    monkeypatch.setattr(Sparsify, "raters", lambda self, visual, text: torch.zeros(len(text)).bool())
    with pytest.raises(FloatingPointError, match=r"no token behind the image rates .* \(rows \[0, 1, 2\]"):
        tiny_llava.read(["What is it?"] * 3, visual, prune=prune)

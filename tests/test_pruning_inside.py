"""FastV and PyramidDrop against the numbers of their own code, with 16 and with 576 visual tokens."""

import numpy as np
import pytest
from conftest import ORACLES, Oracle

from sepm_eval import get_method, load_backbone
from sepm_eval.backbone import pruning

WEIGHTS = {"n16": "llava15_tiny", "n576": "sparsevlm_reference/n576"}
TOLERANCE = {"n16": 1e-5, "n576": 1e-6}  # of scores
RATIO = {"default": 0.5, "gentle": 0.75}


LAYERS = [
    ("n16", 1),
    ("n16", 2),
    ("n576", 1),
    ("n576", 2),
    ("n576", 3),
]  # n16 has three layers


@pytest.fixture(scope="module")
def models():
    """Of each size the model, and its visual tokens."""
    found = {}
    for name, folder in WEIGHTS.items():
        backbone = load_backbone("llava", str(ORACLES / folder / "original"), device="cpu")
        found[name] = backbone, backbone.see(Oracle(folder).images)
    return found


@pytest.fixture
def chosen(monkeypatch):
    """Scores and kept indices of every row, in the order in which they are chosen."""
    found, highest = [], pruning.highest

    def noted(scores, count):
        kept = highest(scores, count)
        found.append((scores.numpy(), kept.tolist()))
        return kept

    monkeypatch.setattr(pruning, "highest", noted)
    return found


def numbers(method):
    with np.load(ORACLES / method / "oracle.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("name", "layer"), LAYERS)
@pytest.mark.parametrize("keep", [192, 128, 64])
def test_fastv(models, stage_one_question, chosen, name, layer, keep):
    backbone, visual = models[name]
    oracle = numbers("fastv")
    reading = backbone.read([stage_one_question] * 3, visual, prune=get_method("fastv", keep=keep, layer=layer).cut)
    expected = f"{name}/K{layer}/B{keep}"
    assert len(chosen) == 3
    for row, (scores, kept) in enumerate(chosen):
        np.testing.assert_allclose(scores, oracle[f"{name}/K{layer}/score"][row], atol=TOLERANCE[name], rtol=0)
        assert kept == oracle[f"{expected}/kept"][row].tolist()
    np.testing.assert_allclose(reading.logits.numpy(), oracle[f"{expected}/logits_last"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("run", RATIO)
def test_pyramiddrop(models, stage_one_question, chosen, name, run):
    backbone, visual = models[name]
    oracle = numbers("pyramiddrop")
    reading = backbone.read([stage_one_question] * 3, visual, prune=get_method("pyramiddrop", ratio=RATIO[run]).cut)
    assert len(chosen) == 3 * (2 if name == "n16" else 3)
    for index, (scores, kept) in enumerate(chosen):
        stage, row = divmod(index, 3)
        expected = f"{name}/{run}/stage{stage}"
        np.testing.assert_allclose(scores, oracle[f"{expected}/score"][row], atol=TOLERANCE[name], rtol=0)
        assert kept == oracle[f"{expected}/kept_in_entering"][row].tolist()
    np.testing.assert_allclose(reading.logits.numpy(), oracle[f"{name}/{run}/logits_last"], atol=1e-4, rtol=0)
    assert backbone._language_model.write(reading, 5) == oracle[f"{name}/{run}/greedy_ids"].tolist()

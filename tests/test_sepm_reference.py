"""Every step of SEPM against the numbers of its public code."""

import numpy as np
import pytest
import torch

from sepm_eval import Question, get_method, prompts
from sepm_eval.emotions import MIKELS
from sepm_eval.methods.evidence import answer_probabilities, confidence, is_sure
from sepm_eval.methods.selection import keep_most_significant


@pytest.fixture
def stage_one(tiny_llava, llava_oracle, stage_one_question):
    visual = tiny_llava.see(llava_oracle.images)
    reading = tiny_llava.read([stage_one_question] * 3, visual, probe=prompts.WORDINGS["code"].probe)
    return visual, reading


def test_stage_one(tiny_llava, sepm_oracle, stage_one):
    _, reading = stage_one
    np.testing.assert_allclose(reading.logits.numpy(), sepm_oracle["stage1/logits"], atol=1e-4, rtol=0)
    pair = answer_probabilities(reading.logits, tiny_llava.letter_ids("AB"))
    np.testing.assert_allclose(pair.numpy(), sepm_oracle["stage1/p_A_p_B"], atol=1e-5, rtol=0)
    variance = confidence(pair, unbiased=True)
    np.testing.assert_allclose(variance.numpy(), sepm_oracle["stage1/var_unbiased"], atol=1e-5, rtol=0)
    branches = [
        ("A" if a > b else "B") if sure else "ambiguous"
        for (a, b), sure in zip(pair, is_sure(variance, sepm_oracle.meta["alpha"], at_threshold=True), strict=True)
    ]
    assert branches == sepm_oracle.meta["branch"]


def test_significance_is_the_mean_over_focus_tokens_and_heads(tiny_llava, sepm_oracle, stage_one, stage_one_question):
    _, reading = stage_one
    np.testing.assert_allclose(
        torch.stack(reading.probe_attention).numpy(), sepm_oracle["stage1/importance"], atol=1e-5, rtol=0
    )
    tokens = tiny_llava._tokenise(stage_one_question, image=True, probe=prompts.WORDINGS["code"].probe)
    assert tokens.probed == sepm_oracle["stage1/text_rows_after_image"].tolist()


@pytest.mark.parametrize("beta", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("branch", ["A", "B", "ambiguous"])
def test_stage_two(tiny_llava, sepm_oracle, stage_one, beta, branch):
    """The same tokens are dropped, exactly, and the answer's logits agree: positions close up."""
    visual, reading = stage_one
    keep = [keep_most_significant(rated, beta) for rated in reading.probe_attention]
    dropped = [(~row).nonzero().flatten().tolist() for row in keep]
    assert dropped == sepm_oracle[f"beta{beta}/dropped_sorted"].tolist()
    question = sepm_oracle.meta["stage2_questions"][branch]
    logits = tiny_llava.read([question] * 3, visual, keep=keep).logits
    np.testing.assert_allclose(logits.numpy(), sepm_oracle[f"beta{beta}/stage2_logits/{branch}"], atol=1e-4, rtol=0)


def test_stage_two_without_dropping(tiny_llava, sepm_oracle, stage_one):
    visual, _ = stage_one
    question = sepm_oracle.meta["stage2_questions"]["B"]
    logits = tiny_llava.read([question] * 3, visual).logits
    np.testing.assert_allclose(logits.numpy(), sepm_oracle["beta0/stage2_logits/B"], atol=1e-4, rtol=0)


def test_different_branches_share_a_batch(tiny_llava, sepm_oracle, stage_one):
    visual, reading = stage_one
    keep = [keep_most_significant(rated, 0.2) for rated in reading.probe_attention]
    branches = ["A", "B", "ambiguous"]
    logits = tiny_llava.read([sepm_oracle.meta["stage2_questions"][b] for b in branches], visual, keep=keep).logits
    for i, branch in enumerate(branches):
        expected = sepm_oracle[f"beta0.2/stage2_logits/{branch}"][i]
        np.testing.assert_allclose(logits[i].numpy(), expected, atol=1e-4, rtol=0)


def test_the_code_preset_words_stage_two_as_the_code_does(sepm_oracle, scripted, picture):
    """Through the method itself: sure A, sure B and unsure, as the public code would go on."""
    asked = {}
    for branch, (a, b) in {"A": (0.9, 0.1), "B": (0.1, 0.9), "ambiguous": (0.5, 0.4)}.items():
        backbone = scripted(lambda prompt, a=a, b=b: {"A": a, "B": b} if "Positive" in prompt else {"B": 1.0})
        question = Question(picture, tuple(MIKELS), tuple(MIKELS.values()))
        get_method("sepm", preset="code").answer([question], backbone)
        asked[branch] = backbone.asked[1]
    assert asked == sepm_oracle.meta["stage2_questions"]

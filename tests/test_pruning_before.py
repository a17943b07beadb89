"""Visual tokens chosen before the language model, against the numbers of each method's own code."""

import numpy as np
import pytest
from conftest import ORACLES, Oracle

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.backbone.interface import Block, PictureTokens
from sepm_eval.methods.before import keep_chosen
from sepm_eval.methods.budget import tokens_within

BUDGETS = (192, 128, 64)
WEIGHTS = {"n16": "llava15_tiny", "n576": "sparsevlm_reference/n576"}


class Model:
    """A tiny LLaVA and the pictures and the question of an oracle."""

    def __init__(self, grid: str, question: str) -> None:
        self.grid, oracle = grid, Oracle(WEIGHTS[grid])
        folder = ORACLES / WEIGHTS[grid] / "original"
        self.backbone = load_backbone("llava", str(folder), device="cpu")
        self.pixels, self.question = oracle["pixel_values_pad"], question
        self.questions = [Question(image, ("joy", "fear"), text=question) for image in oracle.images]


@pytest.fixture(scope="module", params=list(WEIGHTS))
def model(request, stage_one_question):
    return Model(request.param, stage_one_question)


@pytest.fixture
def answers(model, see_pixels, monkeypatch):
    """A method's answers, and the logits of the first token they were written from."""
    import sepm_eval.methods.common as common

    def ask(name, **options):
        read, found = model.backbone.read, []
        with monkeypatch.context() as patch:
            import torch

            patch.setattr(common, "MAX_NEW_TOKENS", 1)
            patch.setattr(model.backbone, "_prepared_pixels", lambda images, side: torch.from_numpy(model.pixels))
            patch.setattr(model.backbone, "read", lambda *args, **more: found.append(read(*args, **more)) or found[-1])
            given = get_method(name, **options).answer(model.questions, model.backbone)
        (reading,) = found
        return given, reading

    return ask


def kept(answer):
    return [token for token, stays in enumerate(answer.kept) if stays]


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", ["divprune", "fastervlm"])
def test_kept_tokens_and_logits_are_the_originals(model, answers, name, budget):
    oracle = Oracle(name)
    found, reading = answers(name, budget=budget)
    place = f"{model.grid}/B{budget}"
    assert [kept(answer) for answer in found] == oracle[f"{place}/kept"].tolist()
    np.testing.assert_allclose(reading.logits.numpy(), oracle[f"{place}/logits_last"], atol=1e-4, rtol=0)
    written = model.backbone._language_model.write(reading, 5)
    assert written == oracle[f"{place}/greedy_ids"].tolist()
    assert {answer.tokens_read for answer in found} == {(tokens_within(budget, len(found[0].kept)),)}


def scale(budget, grid):
    """The number of tokens of a tag such as B192 or T24."""
    return int(budget[1:]) if budget.startswith("T") else tokens_within(int(budget[1:]), int(grid[1:]))


@pytest.fixture
def tower(model, see_pixels, monkeypatch):
    """The pictures as they are seen with what the tower has to show."""
    import torch

    with monkeypatch.context() as patch:
        patch.setattr(model.backbone, "_prepared_pixels", lambda images, side: torch.from_numpy(model.pixels))
        return model.backbone.see([question.image for question in model.questions], tower=True)


def test_class_token_attention(model, tower):
    found = np.stack([picture.more["class_attention"].numpy() for picture in tower.pictures])
    atol = 1e-5 if model.grid == "n16" else 1e-6
    np.testing.assert_allclose(found, Oracle("fastervlm")[f"{model.grid}/cls_attention"], atol=atol, rtol=0)

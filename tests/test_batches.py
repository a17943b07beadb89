"""One answer, whatever the company it is asked in."""

import numpy as np
import pytest

from sepm_eval import Question, get_method
from sepm_eval.datasets import emotion_demo
from sepm_eval.images import open_image
from sepm_eval.methods import find_methods


@pytest.fixture(scope="module")
def questions():
    items = emotion_demo.BENCHMARKS["emotion_demo"].items()
    names = emotion_demo.BENCHMARKS["emotion_demo"].names
    return [Question(open_image(item.path), tuple(names), tuple(names.values())) for item in items[::31][:16]]


@pytest.mark.parametrize("name", sorted(find_methods()))
def test_batch_of_1_and_of_16(name, questions, demo_backbone):
    method = get_method(name)
    together = method.answer(questions, demo_backbone)
    alone = [method.answer([question], demo_backbone)[0] for question in questions]
    for one, other in zip(together, alone, strict=True):
        assert (one.text, one.letter, one.prompts) == (other.text, other.letter, other.prompts)
        probabilities = [list(answer.option_probabilities.values()) for answer in (one, other)]
        np.testing.assert_allclose(*probabilities, atol=1e-5)
        if one.evidence is not None:
            assert one.evidence.dropped == other.evidence.dropped
            assert one.evidence.candidates == other.evidence.candidates
            np.testing.assert_allclose(one.evidence.p_positive, other.evidence.p_positive, atol=1e-5)


def test_order_does_not_matter(questions, demo_backbone):
    method = get_method("sepm")
    forth = method.answer(questions, demo_backbone)
    back = method.answer(questions[::-1], demo_backbone)[::-1]
    assert [answer.text for answer in forth] == [answer.text for answer in back]

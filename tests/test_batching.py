"""Questions whose pictures give unequal numbers of visual tokens: read with their like, answered in order."""

import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_runner import EIGHT, asked, picture, says_fear
from tiny_families import backbone_of

from sepm_eval import get_method
from sepm_eval.images import UnreadableImage
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.batching import AHEAD, MOST_PADDING, alike, shortest_first
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=40), st.integers(1, 16))
def test_every_batch_is_mostly_no_padding(counts, most):
    left, read = [counts[index] for index in shortest_first(counts)], 0
    while left:
        size = alike(left, most)
        batch, left = left[:size], left[size:]
        assert 1 <= len(batch) <= most
        assert sum(batch) >= (1 - MOST_PADDING) * max(batch) * len(batch)
        read += len(batch)
    assert read == len(counts)


@pytest.mark.parametrize(("counts", "size"), [([7] * 9, 4), ([95, 100], 2), ([80, 100, 100], 1), ([100, 200], 1)])
def test_as_many_as_go_together(counts, size):
    assert alike(counts, 4) == size


class Sized:
    """Puts the shade of a picture in the place of its number of visual tokens, and remembers what is seen at once."""

    def __init__(self, backbone):
        self.backbone, self.batches = backbone, []
        self.see, backbone.prepare, backbone.see = backbone.see, lambda image: image.getpixel((0, 0))[0], self.remember

    def remember(self, images):
        self.batches.append([image.getpixel((0, 0))[0] for image in images])
        return self.see(images)


@pytest.fixture
def run(tmp_path, scripted):
    """The texts, what was seen at once and the journal of questions about pictures of so many visual tokens."""

    def run(counts, batch_size=4, says=says_fear, more=()):
        sized = Sized(scripted(says))
        questions = [asked(i, images=[picture(count)]) for i, count in enumerate(counts)]
        for index, other in more:
            questions[index] = other
        runner = Runner(
            *("scripted", sized.backbone, "zero_shot", get_method("zero_shot")),
            batch_size=batch_size,
            journal_path=tmp_path / "journal.jsonl",
        )
        try:
            return runner.answer(questions, quiet=True), sized.batches
        finally:
            runner.journal.close()

    run.journal = lambda: read_journal(tmp_path / "journal.jsonl")
    return run


UNEQUAL = [200, 50, 51, 100, 52, 101, 199, 102, 53, 201, 103, 104, 202, 54, 105, 203, 55]


def test_pictures_of_one_size_are_read_as_they_come(tmp_path, scripted):
    backbone, batches = scripted(says_fear), []
    see = backbone.see
    backbone.see = lambda images: batches.append([image.getpixel((0, 0))[0] for image in images]) or see(images)
    questions = [asked(i) for i in range(10)]
    runner = Runner(
        *("scripted", backbone, "zero_shot", get_method("zero_shot")), batch_size=4, journal_path=tmp_path / "j.jsonl"
    )
    runner.answer(questions, quiet=True)
    runner.journal.close()
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_pictures_of_many_sizes_are_read_with_their_like(run):
    _, batches = run(UNEQUAL)
    assert sorted(count for batch in batches for count in batch) == sorted(UNEQUAL)
    for batch in batches:
        assert sum(batch) >= (1 - MOST_PADDING) * max(batch) * len(batch)
    first, others = batches[:3], batches[3:]
    assert first == [[50, 51], [100], [200]]  # of the first four only: so many are loaded until sizes are known
    assert len(others[0]) == 4
    assert max(len(batch) for batch in batches) == 4


def test_answers_and_records_are_in_the_order_of_the_questions(run):
    texts, batches = run(UNEQUAL, says=lambda prompt: {"G": 1.0})
    assert len(batches) < len(UNEQUAL)
    assert len(texts) == len(UNEQUAL)
    assert [record["doc_id"] for record in run.journal()] == list(range(len(UNEQUAL)))


def test_each_question_gets_its_own_answer(tmp_path, scripted):
    """Where questions are asked in another order than they came."""
    letters = iter("ABCDEFGH")
    sized = Sized(scripted(lambda prompt: {next(letters): 1.0}))
    questions = [asked(i, images=[picture(shade)]) for i, shade in enumerate([200, 100, 150, 50])]
    runner = Runner(
        *("scripted", sized.backbone, "zero_shot", get_method("zero_shot")),
        batch_size=4,
        journal_path=tmp_path / "journal.jsonl",
    )
    assert runner.answer(questions, quiet=True) == ["D", "B", "C", "A"]
    runner.journal.close()


def test_what_was_answered_is_kept_when_the_run_breaks_off(run):
    """The shortest are asked first, so an earlier question may wait when another fails the whole run."""
    asked_so_far = []

    def says(prompt):
        asked_so_far.append(prompt)
        if len(asked_so_far) > 3:
            raise KeyError("a slip")
        return {"G": 1.0}

    with pytest.raises(KeyError):
        run([200, 100, 150, 50], says=says)
    assert [record["doc_id"] for record in run.journal()] == [1, 2, 3]
    texts, batches = run([200, 100, 150, 50])
    assert batches == [[200]]
    assert texts == ["G"] * 4


def test_a_broken_picture_among_unequal_ones_fails_alone(run):
    def broken():
        raise UnreadableImage("no picture")

    texts, _ = run(UNEQUAL, more=[(5, Asked("task", 5, broken, 8))])
    assert [index for index, text in enumerate(texts) if "no picture" in text] == [5]
    assert sorted(record["doc_id"] for record in run.journal()) == list(range(len(UNEQUAL)))


def test_more_are_loaded_ahead_only_where_sizes_differ(scripted, tmp_path):
    """So that what a run holds in memory does not grow where nothing is gained."""
    most = {}
    for name, shades in (("equal", [7] * 40), ("unequal", [10 * (i % 20 + 1) for i in range(40)])):
        begun, lock, sized = [0], threading.Lock(), Sized(scripted(says_fear))
        held, see = [], sized.backbone.see

        def load(shade, begun=begun, lock=lock):
            with lock:
                begun[0] += 1
            return EIGHT, [picture(shade)]

        def remember(images, see=see, held=held, begun=begun, sized=sized):
            found = see(images)
            held.append(begun[0] - sum(map(len, sized.batches)))
            return found

        sized.backbone.see = remember
        runner = Runner(
            *("scripted", sized.backbone, "zero_shot", get_method("zero_shot")),
            batch_size=2,
            journal_path=tmp_path / f"{name}.jsonl",
            resume=False,
        )
        runner.answer([Asked("task", i, partial(load, s), 8) for i, s in enumerate(shades)], quiet=True)
        runner.journal.close()
        most[name] = max(held)
    assert most["equal"] <= 2
    assert 2 * 2 < most["unequal"] <= 2 * AHEAD * 2


def test_a_real_family_says_how_many_tokens_a_picture_gives():
    backbone = backbone_of("qwen2_5_vl")
    pictures = [Image.linear_gradient("L").resize(size).convert("RGB") for size in ((56, 56), (112, 84), (60, 200))]
    assert [backbone.prepare(one) for one in pictures] == backbone.see(pictures).counts
    assert len(set(backbone.see(pictures).counts)) == 3


def test_a_real_family_answers_the_same_alone_and_with_its_like(tmp_path):
    """Twelve pictures of six sizes, four at once in a run that sorts them, against one by one."""
    backbone = backbone_of("qwen2_5_vl")
    pictures = [
        Image.linear_gradient("L").rotate(30 * i).resize((56 + 28 * (i * 5 % 6), 84)).convert("RGB") for i in range(12)
    ]
    found = {}
    for size in (1, 4):
        path = tmp_path / f"{size}.jsonl"
        runner = Runner("hf", backbone, "sepm", get_method("sepm"), batch_size=size, journal_path=path)
        runner.answer([asked(i, images=[one]) for i, one in enumerate(pictures)], quiet=True)
        runner.journal.close()
        found[size] = read_journal(path)
    assert [record["doc_id"] for record in found[4]] == [record["doc_id"] for record in found[1]] == list(range(12))
    for one, other in zip(found[1], found[4], strict=True):
        assert one["key"] == other["key"]
        assert one["dropped"] == other["dropped"]
        assert one["option_probabilities"] == pytest.approx(other["option_probabilities"], abs=1e-4)

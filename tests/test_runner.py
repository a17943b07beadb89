"""Questions of a harness: batches, the journal, faults."""

import gc
import json
import threading
import weakref
from functools import partial

import pytest
from PIL import Image

from sepm_eval import get_method, prompts
from sepm_eval.emotions import MIKELS
from sepm_eval.images import UnreadableImage, open_image
from sepm_eval.methods import find_methods
from sepm_eval.parsing import Options
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.runner import Runner
from sepm_eval.scoring import is_failure

EIGHT = prompts.fine(zip(prompts.letters(8), MIKELS.values(), strict=True), prompts.WORDINGS["paper"])


def picture(shade):
    return Image.new("RGB", (8, 8), (shade, shade, shade))


def asked(doc_id, text=EIGHT, images=None, **more):
    images = [picture(doc_id)] if images is None else images
    return Asked(task="task", doc_id=doc_id, load=lambda: (text, images), max_new_tokens=8, **more)


@pytest.fixture
def run(tmp_path):
    """Run a method over questions on a backbone; every run has the same journal."""

    def run(backbone, questions, method="zero_shot", **settings):
        runner = Runner(
            "scripted",
            backbone,
            method,
            settings.pop("chosen", None) or get_method(method),
            journal_path=tmp_path / "journal.jsonl",
            **settings,
        )
        try:
            return runner.answer(questions, quiet=True)
        finally:
            runner.journal.close()

    run.journal = tmp_path / "journal.jsonl"
    return run


def says_fear(prompt):
    return {"B": 0.9, "A": 0.1} if "B. Negative" in prompt else {"G": 1.0}


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_answers_come_in_order_whatever_the_batch(run, scripted, batch_size):
    replies = iter("GABCDE")
    backbone = scripted(lambda prompt: {"G": 1.0} if prompt == EIGHT else {next(replies): 1.0})
    questions = [asked(0), asked(1, text="Describe it."), asked(2), asked(3, text="And this?")]
    assert run(backbone, questions, batch_size=batch_size) == ["G", "G", "G", "A"]


def test_the_second_run_asks_nothing(run, scripted):
    questions = [asked(i) for i in range(5)]
    first = run(scripted(says_fear), questions, method="sepm", batch_size=2)
    backbone = scripted(says_fear)
    assert run(backbone, questions, method="sepm", batch_size=3) == first
    assert backbone.asked == []
    assert len(read_journal(run.journal)) == 5


def test_few_pictures_are_in_memory_at_a_time(run, scripted):
    """A run over 53,000 pictures holds a batch of them, not all."""
    alive, most = weakref.WeakSet(), []

    class Counted(Image.Image):
        __hash__ = object.__hash__

    def load(shade):
        image = picture(shade % 256)
        counted = Counted()
        counted.__dict__.update(image.__dict__)
        alive.add(counted)
        gc.collect()
        most.append(len(alive))
        return EIGHT, [counted]

    questions = [Asked("task", i, partial(load, i), 8) for i in range(40)]
    run(scripted(says_fear), questions, batch_size=4)
    assert len(most) == 40
    assert max(most) <= 2 * 4


def loaders():
    return [thread for thread in threading.enumerate() if "sepm_eval-loader" in thread.name]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pictures_are_loaded_while_the_model_works(run, scripted, batch_size):
    begun = [threading.Event() for _ in range(12)]
    backbone = scripted(says_fear)
    see, met = backbone.see, []

    def load(shade):
        begun[shade].set()
        return EIGHT, [picture(shade)]

    def wait_for_the_next(images):
        following = images[-1].getpixel((0, 0))[0] + 1
        met.append(following == len(begun) or begun[following].wait(timeout=20))
        return see(images)

    backbone.see = wait_for_the_next
    run(backbone, [Asked("task", i, partial(load, i), 8) for i in range(12)], batch_size=batch_size)
    assert met == [True] * (12 // batch_size)
    assert backbone.prepared == 12
    assert not loaders()


def test_order_does_not_depend_on_which_is_loaded_first(run, scripted):
    second = threading.Event()

    def load(shade):
        if shade == 0:
            assert second.wait(timeout=20)
        second.set()
        return EIGHT, [picture(shade)]

    backbone = scripted(lambda prompt: {"ABCDEFGH"[len(backbone.asked) - 1]: 1.0})
    texts = run(backbone, [Asked("task", i, partial(load, i), 8) for i in range(4)], batch_size=4)
    assert texts == ["A", "B", "C", "D"]
    assert [record["doc_id"] for record in read_journal(run.journal)] == [0, 1, 2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError])
@pytest.mark.parametrize("where", ["model", "load"])
def test_no_thread_survives_an_interruption(run, scripted, error, where):
    backbone, loaded = scripted(says_fear), []

    def fail(*_):
        raise error

    def load(shade):
        loaded.append(shade)
        if where == "load" and shade == 5:
            fail()
        return EIGHT, [picture(shade)]

    if where == "model":
        backbone.see = fail
    with pytest.raises(error):
        run(backbone, [Asked("task", i, partial(load, i), 8) for i in range(100)], batch_size=4)
    assert not loaders()
    assert len(loaded) <= 16  # what had not begun is not loaded any more


def test_resume_can_be_switched_off(run, scripted):
    run(scripted(says_fear), [asked(0)])
    backbone = scripted(says_fear)
    run(backbone, [asked(0)], resume=False)
    assert len(backbone.asked) == 1


def test_another_picture_method_or_setting_is_asked_anew(run, scripted):
    run(scripted(says_fear), [asked(0)], method="sepm")
    for questions, method, chosen in (
        ([asked(0, images=[picture(77)])], "sepm", None),
        ([asked(0)], "zero_shot", None),
        ([asked(0)], "sepm", get_method("sepm", alpha=0.2)),
    ):
        backbone = scripted(says_fear)
        run(backbone, questions, method=method, chosen=chosen)
        assert backbone.asked


def test_a_record_holds_what_the_answer_rests_on(run, scripted):
    run(scripted(says_fear), [asked(3)], method="sepm")
    (record,) = read_journal(run.journal)
    assert record["task"] == "task"
    assert record["doc_id"] == 3
    assert record["method"] == {
        "name": "sepm",
        "alpha": 0.1,
        "beta": 0.2,
        "preset": "paper",
        "cci": True,
        "foe": True,
        "vta": True,
        "select": "focus",
        "clip": None,
        "reuse": False,
    }
    assert record["model"] == {
        "backbone": "scripted",
        "pretrained": "scripted",
        "revision": "none",
        "dtype": "float32",
    }
    assert {"sepm-eval", "torch", "transformers", "lmms-eval", "python"} <= set(record["versions"])
    assert record["p_negative"] == pytest.approx(0.9, abs=1e-3)
    assert record["confidence"] == pytest.approx(0.16, abs=1e-3)
    assert (record["polarity"], record["ambiguous"]) == ("negative", False)
    assert record["candidates"] == ["anger", "disgust", "fear", "sadness"]
    assert (record["visual_tokens"], record["dropped"]) == (10, [0, 1])
    assert record["option_probabilities"]["fear"] == pytest.approx(1, abs=1e-3)
    assert (record["text"], record["answer"], record["label"]) == ("G", "G", "fear")
    assert record["question"] == EIGHT
    assert len(record["prompts"]) == 2
    assert len(record["image_sha256"]) == 1
    json.dumps(record)


def _broken(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    return Asked("task", 9, lambda: (EIGHT, [open_image(tmp_path / "broken.jpg")]), 8)


def test_a_broken_picture_fails_alone(run, scripted, tmp_path, caplog):
    texts = run(scripted(says_fear), [asked(0), _broken(tmp_path), asked(2)], batch_size=4)
    assert [is_failure(text) for text in texts] == [False, True, False]
    assert "broken.jpg" in texts[1]
    assert "1 of 3 questions could not be asked" in caplog.text
    failed = [r for r in read_journal(run.journal) if r["status"] == "failed"]
    assert [(r["doc_id"], r["error"].split(":")[0]) for r in failed] == [(9, UnreadableImage.__name__)]


def test_a_failed_question_is_asked_again_next_time(run, scripted, tmp_path):
    run(scripted(says_fear), [_broken(tmp_path)])
    picture(5).save(tmp_path / "broken.jpg")
    again = Asked("task", 9, lambda: (EIGHT, [open_image(tmp_path / "broken.jpg")]), 8)
    assert run(scripted(says_fear), [again]) == ["G"]


def test_infinite_logits_fail_the_item_that_has_them(run, scripted):
    backbone = scripted(says_fear)
    see, read = backbone.see, backbone.read

    def remember(images):
        backbone.shades = [image.getpixel((0, 0))[0] for image in images]
        return see(images)

    def overflow(*args, **kwargs):
        reading = read(*args, **kwargs)
        for i, shade in enumerate(backbone.shades):
            if shade == 1:
                reading.logits[i] = float("inf")
        return reading

    backbone.see, backbone.read = remember, overflow
    texts = run(backbone, [asked(i) for i in range(4)], batch_size=4)
    assert [is_failure(text) for text in texts] == [False, True, False, False]


def test_a_programming_error_stops_the_run_and_loses_nothing(run, scripted):
    def says(prompt):
        raise KeyError("a bug")

    run(scripted(says_fear), [asked(0)])
    with pytest.raises(KeyError):
        run(scripted(says), [asked(0), asked(1)])
    assert len(read_journal(run.journal)) == 1


def test_other_questions_are_answered_by_plain_generation(run, scripted):
    backbone = scripted(lambda prompt: {"Two dogs.\n\nThey play.": 1.0})
    questions = [
        asked(0, text="Describe the picture."),
        asked(1, text="Describe the picture.", until=("\n\n",)),
        asked(2, text="Which?\nA. Joy\nB. Awe"),  # emotions of one polarity: nothing to settle first
        asked(3, text="What is 1 + 1?", images=[]),
    ]
    texts = run(backbone, questions, method="sepm")
    assert texts == ["Two dogs.\n\nThey play.", "Two dogs.", *["Two dogs.\n\nThey play."] * 2]
    assert {record["method"]["name"] for record in read_journal(run.journal)} == {"generate"}


@pytest.mark.parametrize("method", sorted(find_methods()))
def test_emotions_of_one_polarity(run, scripted, caplog, method):
    """Methods that settle the polarity first cannot, and it is said once; the others answer as ever."""
    text = "Which?\nA. Joy\nB. Awe\nC. Love"
    backbone = scripted(lambda prompt: {"C": 1.0})
    texts = run(backbone, [asked(0, text=text), asked(1, text=text), asked(2)], method=method)[:2]
    records = read_journal(run.journal)[:2]
    third = records[0]["shuffled"]["labels"][2] if method == "permute" else "love"  # of the options as they were shown
    assert texts == 2 * ["ABC"[("joy", "awe", "love").index(third)]]
    needs = get_method(method).needs_polarities
    assert needs is (method in {"sepm", "random_drop", "query_drop", "downsample", "dan"})
    assert {record["method"]["name"] for record in records} == {"generate" if needs else method}
    assert {record.get("label") for record in records} == {None if needs else third}
    said = f"emotions ['joy', 'awe', 'love'] have one polarity and {method} needs both"
    assert caplog.text.count(said) == needs


def test_polarity_can_be_overridden(run, scripted):
    text = "Which?\nA. Joy\nB. Surprise\nC. Fear"
    for polarity, group in (({}, "Joy, Surprise"), ({"surprise": "negative"}, "Joy")):
        backbone = scripted(says_fear)
        run(backbone, [asked(0, text=text)], method="sepm", polarity=polarity)
        assert f"Positive emotions include {group}." in backbone.asked[0]


def test_a_misspelt_label_is_said_once(run, scripted, caplog):
    text = "Which?\nA. Joy\nB. Feer"
    run(scripted(says_fear), [asked(0, text=text), asked(1, text=text), asked(2, text="Which?\nA. Paris\nB. Rome")])
    assert caplog.text.count("options ['Feer'] are no known emotions") == 1
    assert "Rome" not in caplog.text


def test_options_that_travel_with_the_question_are_not_read_from_its_text(run, scripted):
    """A document of ours says what it offers; the text is shown as it is, whatever could be read from it."""
    text = "Which?\n1) Anger\n2) Awe"
    backbone = scripted(lambda prompt: {"B": 1.0})
    offered = Options(("anger", "awe"), ("Anger", "Awe"))
    run(backbone, [asked(0, text=text), asked(0, text=text, options=offered)])
    plain, ours = read_journal(run.journal)
    assert (plain["method"]["name"], ours["method"]["name"]) == ("generate", "zero_shot")
    assert (ours["question"], ours["label"], list(ours["option_probabilities"])) == (text, "awe", ["anger", "awe"])


def test_several_pictures_are_refused_per_question(run, scripted):
    texts = run(scripted(says_fear), [asked(0, text="Compare.", images=[picture(1), picture(2)]), asked(1)])
    assert is_failure(texts[0])
    assert "one picture a question, not 2" in texts[0]
    assert texts[1] == "G"

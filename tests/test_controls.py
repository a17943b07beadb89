"""Controls: the question without the picture, and with its options in another order."""

from __future__ import annotations

import json

import pytest
from conftest import ORACLES
from make_runs import LLAVA, give_own_questions, read_lines, run, write_lines
from PIL import Image

from sepm_eval import Question, demo, get_method, load_backbone, prompts
from sepm_eval.backbone.shared import Shared
from sepm_eval.methods.blind import mean_colour
from sepm_eval.parsing import with_names
from sepm_eval.report.findings import noise_floor
from sepm_eval.report.proofs import controls
from sepm_eval.report.stages import costs
from sepm_eval.report.tables import all_tables
from sepm_eval.runs.asking import Asked
from sepm_eval.runs.results import read_runs
from sepm_eval.runs.runner import Runner

LABELS = ("awe", "anger", "fear", "joy", "sadness")
QUESTION = prompts.fine(zip("ABCDE", [label.capitalize() for label in LABELS], strict=True), prompts.WORDINGS["paper"])


@pytest.fixture(scope="module")
def pictures():
    return [Image.open(path).convert("RGB") for path in sorted((demo.PICTURES / "seen").glob("*_000.jpg"))[:3]]


@pytest.fixture(scope="module", params=["llava", "vila", "hf"])
def family(request):
    folder = {"llava": "llava15_tiny/hf", "vila": "vila15_tiny/checkpoint", "hf": "hf_families/internvl"}
    return load_backbone(request.param, str(ORACLES / folder[request.param]), device="cpu")


def ask(name, images, backbone, **options):
    questions = [Question(image, LABELS, text=QUESTION) for image in images]
    return get_method(name, **options).answer(questions, backbone)


def test_blind_answers_do_not_depend_on_the_picture(family, pictures):
    first, *others = ask("blind", pictures, family)
    assert (first.visual_tokens, first.tokens_read, first.tokens_left, first.blocks) == (0, (0,), 0, ())
    assert first.prompts == (QUESTION,)
    for other in others:
        assert other.text == first.text
        assert other.option_probabilities == pytest.approx(first.option_probabilities, abs=1e-5)
    (seen, *_) = ask("zero_shot", pictures, family)
    assert seen.option_probabilities != pytest.approx(first.option_probabilities, abs=1e-5)


def test_blind_of_a_batch_shared_among_variants(demo_backbone, pictures):
    alone = ask("blind", pictures, demo_backbone)
    assert ask("blind", pictures, Shared(demo_backbone)) == alone


def test_the_mean_colour_is_shown(family, pictures):
    meant = ask("blind", pictures, family, picture="mean")
    shown = ask("zero_shot", [mean_colour(picture) for picture in pictures], family)
    assert meant == shown
    assert meant != ask("zero_shot", pictures, family)


def test_the_mean_colour_of_a_picture():
    picture = Image.new("RGB", (2, 1), (10, 20, 31))
    picture.putpixel((1, 0), (20, 40, 60))
    mean = mean_colour(picture)
    assert (mean.size, mean.getcolors()) == ((2, 1), [(2, (15, 30, 46))])


def reads_second(prompt):
    """A model that always answers B."""
    return {"B": 0.9, "A": 0.05}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_permuted_answer_is_mapped_back(scripted, pictures, n):
    """Whatever stands second is chosen, and the label, the letter and the text are the question's own."""
    for picture, answer in zip(pictures, ask("permute", pictures, scripted(reads_second), n=n), strict=True):
        shown = answer.shuffled.labels
        assert sorted(shown) == sorted(LABELS)
        assert answer.prompts == (with_names(QUESTION, [label.capitalize() for label in shown]),)
        assert answer.shuffled.text == "B"
        assert answer.label == shown[1]
        assert answer.letter == answer.text == "ABCDE"[LABELS.index(shown[1])]
        assert list(answer.option_probabilities) == list(LABELS)
        assert answer.option_probabilities[shown[1]] == pytest.approx(0.9, abs=0.06)
        (again,) = ask("permute", [picture], scripted(reads_second), n=n)
        assert again == answer, "the order is the picture's, not the batch's"


def test_orders_differ_by_picture_and_by_number(scripted, pictures):
    found = [
        answer.shuffled.labels for n in (1, 2, 3, 4) for answer in ask("permute", pictures, scripted(reads_second), n=n)
    ]
    assert len(set(found)) > len(found) // 2


def test_what_names_no_option_in_the_order_shown_names_none_at_all(scripted, pictures):
    """ "A. Awe" contradicts itself where A is another label, and would be an answer in the question's letters."""
    answers = ask("permute", pictures, scripted(lambda prompt: {"A. Awe": 0.9}))
    moved = [answer for answer in answers if answer.shuffled.labels[0] != "awe"]
    assert moved
    for answer in moved:
        assert (answer.text, answer.letter, answer.label) == ("", None, None)
        assert answer.shuffled.text == "A. Awe"


def test_a_permuted_prompt_is_the_question_with_other_names():
    assert with_names("Which?\n(A) joy \nB: fear\nNow.", ["Awe", "Anger"]) == "Which?\n(A) Awe\nB: Anger\nNow."
    with pytest.raises(ValueError, match="does not list 3 options from A on"):
        with_names("Which?\nA. joy\nB. fear", ["a", "b", "c"])


def test_the_journal_has_the_order(scripted, pictures, tmp_path):
    runner = Runner(
        "llava", scripted(reads_second), "permute", get_method("permute"), journal_path=tmp_path / "j.jsonl"
    )
    (text,) = runner.answer([Asked("task", 0, lambda: (QUESTION, [pictures[0]]), 8)], quiet=True)
    runner.journal.close()
    record = json.loads((tmp_path / "j.jsonl").read_text())
    assert record["shuffled"]["text"] == "B"
    assert record["label"] == record["shuffled"]["labels"][1]
    assert text == record["text"] == "ABCDE"[LABELS.index(record["label"])]


def test_the_report_prints_the_noise_floor(tmp_path):
    date = "20261101_120000"
    for method, skill in (("zero_shot", 0.9), ("blind", 0.0), ("blind,picture=mean", 0.1), ("permute,n=2", 0.7)):
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", skill, date)
    runs = read_runs([tmp_path])
    table = controls(runs)
    assert table in all_tables(runs)
    rows = {row["method"]: row for row in table.records}
    assert set(rows) == {"blind", "blind (picture=mean)", "permute (n=2)"}
    by_name = {one.variant: one for one in runs}
    for name, row in rows.items():
        assert row["difference"] == pytest.approx(by_name[name].accuracy - by_name["zero_shot"].accuracy)
        pairs = zip(by_name["zero_shot"].outcomes, by_name[name].outcomes, strict=True)
        assert row["answers_changed"] == sum(a.score.label != b.score.label for a, b in pairs) / 32
        assert row["chance"] == 12.5


def test_chance_is_that_of_each_items_own_question(tmp_path):
    """Half of the questions with two options and half with four: 37.5 %, not the 25 % of four labels in all."""
    for method in ("zero_shot", "blind"):
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, "20261101_120000")
    give_own_questions(tmp_path)
    runs = read_runs([tmp_path])
    (row,) = controls(runs).records
    assert row["chance"] == 37.5
    (told,) = noise_floor(runs)
    assert "chance 37.5 %" in told


def test_blind_costs_no_visual_tokens(tmp_path):
    """A question without its picture has a row among the costs, too."""
    for method in ("zero_shot", "blind"):
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, "20261101_120000")
    (path,) = (tmp_path / "journals").glob("*blind*")
    without = {"visual_tokens": 0, "tokens_read": [0], "tokens_left": 0, "blocks": []}
    write_lines(path, [{**line, **without} for line in read_lines(path)])
    rows = {row["method"]: row for row in costs(read_runs([tmp_path])).records}
    assert (rows["blind"]["visual_tokens"], rows["blind"]["tokens_a_layer"]) == (0, 0)
    assert rows["blind"]["prefill_tflop"] < 0.5 * rows["zero_shot"]["prefill_tflop"]


def test_no_control_no_table(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, "20261101_120000")
    assert controls(read_runs([tmp_path])) is None

"""Benchmarks from the hub's copies: every layout, what their items are, and what is said when a copy is another."""

from __future__ import annotations

import json
import math

import pytest
from miniature_hub import COPIES, cache, encoded, lai_gai, lai_gai_rows, table  # noqa: F401
from scipy.stats import pearsonr, spearmanr
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.lai_gai import SIX
from sepm_eval.datasets.vecbench import TASKS
from sepm_eval.emotions import LAI_GAI, MIKELS
from sepm_eval.parsing import parse_answer
from sepm_eval.runs.exams import exam_of
from sepm_eval.runs.identity import exam_digest
from sepm_eval.runs.item_sets import item_set_digest, marks_of, tied_questions
from sepm_eval.scoring import failure_text
from sepm_eval.tasks.documents import documents
from sepm_eval.tasks.functions import aggregate_plcc, aggregate_srcc, process_results, process_results_rated

BENCHMARKS = find_benchmarks()


def prepare(*arguments):
    return CliRunner().invoke(app, ["prepare", *arguments])


@pytest.fixture
def prepared(cache):  # noqa: F811
    """Gets a benchmark's copy; its items."""

    def get(name, of=""):
        repository, make = COPIES[of or name]
        make(cache(repository))
        result = prepare(name, "--source", f"hf:{repository}")
        assert result.exit_code == 0, result.output
        return BENCHMARKS[name].items()

    return get


def test_lai_gai_has_votes_and_a_label_from_them(prepared):
    items = {item.id: item for item in prepared("lai_gai")}
    assert len(items) == 12
    assert {item.label for item in items.values()} == set(LAI_GAI)
    for label in LAI_GAI:
        item = items[f"{label}_0"]
        assert item.label == label
        assert item.path.suffix == ".png"
        assert sum(item.extra["votes"].values()) == pytest.approx(1)
    # a mean of 5.5 above 1, beside 0, 0.1 and 0.2 above 1 four times each, but for the label's own place
    assert items["amusement_0"].extra["votes"]["amusement"] == pytest.approx(4.5 / (4.5 + 4 * 0.1 + 4 * 0.2))
    six = BENCHMARKS["lai_gai6"].items()
    assert {item.label for item in six} == set(SIX)
    assert all(set(item.extra["votes"]) == set(LAI_GAI) for item in six)
    docs = documents(BENCHMARKS["lai_gai"])
    assert process_results(docs[0], ["A"])["votes"] == pytest.approx(items[docs[0]["id"]].extra["votes"])


def test_lai_gai_of_shares(cache):  # noqa: F811
    """Numbers below 1 cannot be mean ratings of a scale from 1: they are shares."""
    table(cache("ACG-AMU/LAI-GAI") / "train.parquet", lai_gai_rows(ratings=False))
    assert prepare("lai_gai", "--source", "hf:ACG-AMU/LAI-GAI").exit_code == 0
    votes = {item.id: item.extra["votes"] for item in BENCHMARKS["lai_gai"].items()}["joy_0"]
    assert votes["joy"] == pytest.approx(0.9)


def test_all_of_vecbench_from_one_copy(prepared):
    items = prepared("vecbench_emoset")
    assert [item.label for item in items[:6]] == [*MIKELS][:6]
    for name, (_, labels, _) in TASKS.items():
        benchmark = BENCHMARKS[f"vecbench_{name}"]
        found = benchmark.items()
        assert len(found) == 2 * min(6, len(labels)) or len(found) == 12
        assert {item.label for item in found} == set([*labels][:6])
        assert benchmark.options.names == tuple(labels.values())


def test_mvei_asks_each_statement(prepared):
    items = {item.id: item for item in prepared("mvei")}
    assert len(items) == 6
    first = items["contentment/contentment_14236.jpg#0"]
    assert (first.label, first.extra["kind"]) == ("correct", "sentiment_polarity")
    assert first.question.text.splitlines() == [
        "Statement: Viewers of picture 0 feel emotion 0. Often.",
        "Does the statement match what the image conveys?",
        *("A. Correct", "B. Incorrect", "Answer directly with the letter of the chosen option."),
    ]
    assert parse_answer("Incorrect", first.question.options) == "B"
    assert first.path.parts[-3:] == ("images", "contentment", "contentment_14236.jpg")


def test_eemo_asks_what_has_options(prepared):
    items = {item.id: item for item in prepared("eemo_single")}
    assert list(items) == ["1", "0", "2"]  # by label, in turn; the open question is left out
    assert items["0"].question.text.splitlines()[1:3] == ["A. No", "B. Yes"]
    assert (items["0"].label, items["0"].extra["kind"], items["1"].extra["kind"]) == (
        "option_b",
        "yes_or_no",
        "what_how",
    )
    assert items["1"].question.options.names == ("Much lower", "About the same", "Much higher")
    assert parse_answer("Much higher.", items["1"].question.options) == "C"
    assert json.loads(items["0"].extra["ranking"]) == {"Anger": 33, "Joy": 22, "Surprise": 28}
    assert json.loads(items["0"].extra["vad"]) == {"valence": 5.33, "arousal": 6.44, "dominance": 5.44}


def test_eemo_asks_for_the_first_of_each_pictures_rank(prepared):
    items = prepared("eemo_emotion", of="eemo_single")
    assert {item.id: item.label for item in items} == {"image_579": "anger", "image_100": "surprise"}
    assert json.loads(items[0].extra["vad"])["valence"] == 5.33


def test_eemo_asks_for_every_place_of_a_rank(prepared):
    items = {item.id: item for item in prepared("eemo_ranking", of="eemo_single")}
    assert {name: item.label for name, item in items.items()} == {
        **{"image_579#first": "anger", "image_579#second": "surprise", "image_579#third": "joy"},
        **{"image_100#first": "surprise", "image_100#second": "anger", "image_100#third": "joy"},
    }
    second = items["image_579#second"]
    assert second.extra["kind"] == "second"
    assert second.question.text.splitlines()[0].endswith("Which one is the second strongest?")
    assert second.question.text.splitlines()[7] == "G. Surprise"
    assert parse_answer("Surprise", second.question.options) == "G"


def test_eemo_asks_for_the_level_of_valence_arousal_and_dominance(prepared):
    items = {item.id: item for item in prepared("eemo_vad", of="eemo_single")}
    found = {name: (item.label, item.extra["rating"]) for name, item in items.items() if name.startswith("image_579")}
    assert found == {
        "image_579#valence": ("medium", 5.33),
        "image_579#arousal": ("high", 6.44),
        "image_579#dominance": ("medium", 5.44),
    }
    valence = items["image_579#valence"].question
    assert valence.text.splitlines()[1:4] == ["A. Negative", "B. Neutral", "C. Positive"]
    assert items["image_579#arousal"].question.options.names == ("Calm", "Neutral", "Intense")


@pytest.mark.parametrize(("rating", "level"), [("1.00", "low"), ("3.66", "low"), ("3.67", "medium"), ("9.00", "high")])
def test_a_level_is_a_third_of_the_scale(prepared, rating, level):
    prepared("eemo_single")
    path = BENCHMARKS["eemo_vad"].release() / "EEmo-Bench(single).json"
    path.write_text(path.read_text().replace("Valence:5.33", f"Valence:{rating}"))
    assert {i.label for i in BENCHMARKS["eemo_vad"].items() if i.extra["kind"] == "valence"} == {level}


def test_ratings_and_levels_are_correlated():
    ratings = {"a": 2.0, "b": 5.0, "c": 8.0, "d": 8.5, "e": 3.0, "f": 4.0}
    answers = {"a": "A", "b": "C", "c": "B", "d": "C", "e": "both", "f": failure_text(OSError("gone"))}
    told = []
    for name, rating in ratings.items():
        doc = {"id": name, "label": "low", "labels": ["low", "medium", "high"], "names": ["Low", "Medium", "High"]}
        doc |= {"kind": "valence", "rating": rating, "benchmark": "eemo_vad", "item_list": "rated", "picture": ""}
        told.append(process_results_rated(doc, [answers[name]]))
    rated = [one["srcc_valence"] for one in told if "srcc_valence" in one]
    assert [one["level"] for one in rated] == [0, 1, 0.5, 1]  # what names no level, and what failed, is not among them
    assert aggregate_srcc(rated) == pytest.approx(spearmanr([0, 1, 0.5, 1], [2, 5, 8, 8.5]).statistic)
    assert aggregate_plcc(rated) == pytest.approx(pearsonr([0, 1, 0.5, 1], [2, 5, 8, 8.5]).statistic)
    assert math.isnan(aggregate_srcc(rated[1:2]))
    assert math.isnan(aggregate_plcc([rated[1], rated[3]]))


@pytest.mark.parametrize("name", ["mvei", "eemo_single", "eemo_ranking", "eemo_vad"])
def test_own_questions_in_documents_samples_and_exam(prepared, name):
    items = {item.id: item for item in prepared(name, of=name if name in COPIES else "eemo_single")}
    docs = list(documents(BENCHMARKS[name]))
    for doc in docs:
        asked = items[doc["id"]].question
        assert (doc["question"], tuple(doc["labels"]), tuple(doc["names"])) == (
            *(asked.text, asked.options.labels, asked.options.names),
        )
        right = chr(ord("A") + doc["labels"].index(doc["label"]))
        sample = process_results(doc, [right])
        assert (sample["acc"], sample["own_question"]) == (1.0, True)
        assert sample["options"] == dict(zip(doc["labels"], doc["names"], strict=True))
    rows = [(doc["id"], doc["label"], doc["picture"]) for doc in docs]
    chosen = BENCHMARKS[name].chosen_list()
    asked = tied_questions((doc["id"], doc["question"], marks_of(doc)) for doc in docs)
    assert len(asked) == len(docs)
    expected = exam_digest(name, chosen, item_set_digest(rows), asked)
    assert exam_of(BENCHMARKS[name]).digest == expected


def test_emoverse_labels_in_any_case(prepared):
    items = prepared("emoverse")
    assert {item.id: item.label for item in items} == {f"{label}/{at}": label for at, label in enumerate(MIKELS)}
    assert "made by models" in BENCHMARKS["emoverse"].terms


def without(rows, column):
    return [{key: value for key, value in row.items() if key != column} for row in rows]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            without(lai_gai_rows(), "Joy"),
            r"has the columns \['image', 'Image_name', .*not found: joy in Joy or joy.*--column joy=ITS_NAME",
        ),
        (without(lai_gai_rows(), "image"), "not found: picture in image"),
        ([{**row, "image": "x.png"} for row in lai_gai_rows()], "row 0 has no picture's bytes, but 'x.png'"),
        ([{**row, "Image_name": "same"} for row in lai_gai_rows()], "have an id that another has, 'same'"),
        ([{**row, "Image_name": "../x"} for row in lai_gai_rows()], "leads out of the release"),
        ([{**row, "Joy": None} for row in lai_gai_rows()], "line 1: expected a rating or share of each"),
        ([{**row, "Joy": -1.0} for row in lai_gai_rows()], "line 1: expected a rating or share of each"),
        ([{**row, **{label.capitalize(): 1 for label in LAI_GAI}} for row in lai_gai_rows()], "at the lowest point"),
    ],
)
def test_a_copy_that_is_another(cache, rows, message):  # noqa: F811
    import re

    table(cache("ACG-AMU/LAI-GAI") / "train.parquet", rows)
    result = prepare("lai_gai", "--source", "hf:ACG-AMU/LAI-GAI")
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


def test_a_column_of_another_name(cache):  # noqa: F811
    rows = [{("img" if key == "image" else key): value for key, value in row.items()} for row in lai_gai_rows()]
    table(cache("ACG-AMU/LAI-GAI") / "train.parquet", rows)
    source = ("--source", "hf:ACG-AMU/LAI-GAI")
    assert "not found: picture in image" in prepare("lai_gai", *source).output
    assert prepare("lai_gai", *source, "--column", "picture=img").exit_code == 0
    assert len(BENCHMARKS["lai_gai"].items()) == 12
    assert "is read for ['picture', 'id'" in prepare("lai_gai", *source, "--column", "colour=img").output
    assert "write WHAT=NAME" in prepare("lai_gai", *source, "--column", "picture").output
    assert "--column goes with --source" in prepare("lai_gai", "--column", "picture=img").output


def test_a_revision(cache):  # noqa: F811
    """@ names one; main is another."""
    lai_gai(cache("ACG-AMU/LAI-GAI"))
    other = "f" * 40
    table(cache("ACG-AMU/LAI-GAI", other) / "train.parquet", lai_gai_rows()[:5])
    assert prepare("lai_gai", "--source", f"hf:ACG-AMU/LAI-GAI@{other}").exit_code == 0
    assert len(BENCHMARKS["lai_gai"].items()) == 5


def test_what_cannot_be_had(cache):  # noqa: F811
    result = prepare("lai_gai", "--source", "hf:ACG-AMU/LAI-GAI")
    assert result.exit_code == 1
    assert "hf:ACG-AMU/LAI-GAI cannot be fetched" in result.output
    assert "HF_HUB_OFFLINE" in result.output
    (cache("wudq/MVEI") / "README.md").write_text("x")
    result = prepare("mvei", "--source", "hf:wudq/MVEI")
    assert "holds no file *MVEI_metadata.json or" in result.output
    assert "there are ['hf:ACG-AMU/LAI-GAI']" in prepare("lai_gai6", "--source", "hf:somebody/else").output


@pytest.mark.parametrize(
    ("name", "file", "change", "message"),
    [
        ("eemo_ranking", "EEmo-Bench(single).json", ("'Anger': 33", "'Rage': 33"), "known are .'anger', 'disgust'"),
        ("eemo_vad", "EEmo-Bench(single).json", ("Valence:5.33", "Valence:53.3"), "valence of 53.3; the scale goes"),
        ("eemo_emotion", "EEmo-Bench(single).json", ("'Anger': 33", "'Rage': 33"), "known are .'anger', 'disgust'"),
        ("vecbench_emoset", "VECBench/test_metadata.csv", ("image_path", "path"), r"'image_path'\] is not there"),
        ("vecbench_emoset", "VECBench/test_metadata.csv", (",Awe", ",Joy"), "line 4: EmoSet-8 has the label 'Joy'"),
        (
            "mvei",
            "MVEI/MVEI_metadata.json",
            ("statement_list", "list"),
            "entry 0: expected image_id and statement_list",
        ),
        ("mvei", "MVEI/MVEI_metadata.json", ('"incorrect"', '"wrong"'), "entry 0, statement 1: expected a statement"),
        ("mvei", "MVEI/MVEI_metadata.json", ("[", "{"), "is not JSON"),
        ("eemo_single", "EEmo-Bench(single).json", ("{'B'", "{{'B'"), "entry 0: expected id, image_url"),
        ("eemo_single", "EEmo-Bench(single).json", ('"D"', '"E"'), "entry 2: expected id, image_url"),
        ("eemo_single", "EEmo-Bench(single).json", ("579.jpg", "../579.jpg"), "leads out of the release"),
    ],
)
def test_lists_that_are_others(cache, name, file, change, message):  # noqa: F811
    import re

    repository, make = COPIES["eemo_single" if name.startswith("eemo_") else name]
    folder = cache(repository)
    make(folder)
    text = (folder / file).read_text()
    assert change[0] in text
    everywhere = "jpg" in change[0] or (file.startswith("EEmo") and name != "eemo_single")  # all on a picture
    (folder / file).write_text(text.replace(*change) if everywhere else text.replace(*change, 1))
    result = prepare(name, "--source", f"hf:{repository}")
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


def test_a_picture_is_taken_for_what_it_is(cache):  # noqa: F811
    """An id may have folders and another ending than the picture; a number is an id too."""
    names = ("a/b.JPG", "c.d", "e", "007")
    rows = [{**row, "Image_name": name} for row, name in zip(lai_gai_rows(), names, strict=False)]
    rows[0]["image"] = {"bytes": encoded(3), "path": None}
    table(cache("ACG-AMU/LAI-GAI") / "train.parquet", rows)
    assert prepare("lai_gai", "--source", "hf:ACG-AMU/LAI-GAI").exit_code == 0
    assert sorted(item.id for item in BENCHMARKS["lai_gai"].items()) == ["a/b", "c.d", "e", "picture_007"]

"""The other benchmarks: every quirk of their releases, and which pictures are evaluated."""

import json
from collections import Counter
from pathlib import Path

import pytest
from miniature import abstract_release, all_releases, artphoto_release, emotion6_release, webemo_release

from sepm_eval import Question, get_method
from sepm_eval.datasets import Item, MissingData, find_benchmarks, proportional
from sepm_eval.datasets.vecbench import TASKS
from sepm_eval.emotions import EMOTION6, MIKELS, POLARITY, WEBEMO7, WEBEMO25, WEBEMO_CATEGORIES
from sepm_eval.parsing import parse_question
from sepm_eval.tasks.documents import documents

BENCHMARKS = find_benchmarks()
FROM_RELEASES = ["emotion6", "emoset", "webemo7", "webemo25", "abstract", "artphoto"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def set_lists(monkeypatch):
    return lambda text: monkeypatch.setenv("SEPM_EVAL_LISTS", text)


def test_a_list_of_no_benchmark_is_refused(root, set_lists):
    """A misspelt name must not leave the default list standing under the wished one's name."""
    set_lists("emotion_6=full")
    with pytest.raises(ValueError, match=r"names \['emotion_6'\], which are no benchmarks; there are \["):
        BENCHMARKS["emotion_demo"].items()


def labels(items):
    return {item.id: item.label for item in items}


def test_the_benchmarks_there_are():
    by_folder = {"fi", "unbiasedemo", "emotionroi"}
    hub = {
        "lai_gai",
        "lai_gai6",
        "mvei",
        "eemo_single",
        "eemo_emotion",
        "eemo_ranking",
        "eemo_vad",
        "emoverse",
        *(f"vecbench_{name}" for name in TASKS),
    }
    assert {*FROM_RELEASES, "emotion_demo", *by_folder, *hub} == set(BENCHMARKS)
    eemo = {"eemo_single", "eemo_emotion", "eemo_ranking", "eemo_vad"}
    without_polarity = {"lai_gai", "mvei", *eemo, "vecbench_fi2", "vecbench_webemo2"}
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        assert (set(benchmark.names) <= set(POLARITY)) == (name not in without_polarity)
        if name not in without_polarity:
            assert parse_question(benchmark.question()) == benchmark.options


def test_webemo_labels_are_the_releases():
    assert len(WEBEMO25) == 25
    assert list(WEBEMO7) == ["anger", "confusion", "fear", "joy", "love", "sadness", "surprise"]
    negative = {label for label in WEBEMO25 if POLARITY[label] == "negative"}
    assert len(negative) == 14
    assert {"sympathy", "confusion"} <= negative
    assert POLARITY["surprise"] == "positive"
    for fine, _, coarse in WEBEMO_CATEGORIES:
        assert POLARITY[fine] == POLARITY[coarse]  # level 1 of both levels agrees in category.txt


SPLIT = {  # level 1 of category.txt, "+" and "-", in the order of its ids
    "+": (
        "affection",
        "cheerfullness",
        "contentment",
        "enthrallment",
        "gratitude",
        "lust",
        "optimism",
        "pride",
        "relief",
        "surprise",
        "zest",
    ),
    "-": (
        "confusion",
        "disappointment",
        "disgust",
        "envy",
        "exasperation",
        "horror",
        "irritabilty",
        "neglect",
        "nervousness",
        "rage",
        "sadness",
        "shame",
        "suffering",
        "sympathy",
    ),
}


def test_the_polarity_of_25_labels(picture):
    names = BENCHMARKS["webemo25"].names
    question = Question(picture, tuple(names), tuple(names.values()))
    assert question.of_polarity("positive") == SPLIT["+"]
    assert question.of_polarity("negative") == SPLIT["-"]


@pytest.mark.parametrize("side", ["+", "-"])
def test_what_sepm_asks_of_25_labels(picture, scripted, side):
    """Both lists of the coarse question, and the letters and names of the narrowed one, which keep their places."""
    names = BENCHMARKS["webemo25"].names
    backbone = scripted(lambda prompt: {"A": 0.95} if ("Positive emotions" in prompt) == (side == "+") else {"B": 0.95})
    get_method("sepm").answer([Question(picture, tuple(names), tuple(names.values()))], backbone)
    coarse, fine = backbone.asked
    assert coarse.splitlines()[4] == (
        "Positive emotions include Affection, Cheerfulness, Contentment, Enthrallment, Gratitude, Lust, Optimism, "
        "Pride, Relief, Surprise, Zest. Negative emotions include Confusion, Disappointment, Disgust, Envy, "
        "Exasperation, Horror, Irritability, Neglect, Nervousness, Rage, Sadness, Shame, Suffering, Sympathy."
    )
    letters = {"+": "ABDGJMPQSWY", "-": "CEFHIKLNORTUVX"}[side]
    shown = [line for line in fine.splitlines() if line[1:3] == ". "]
    assert shown == [f"{letter}. {names[label]}" for letter, label in zip(letters, SPLIT[side], strict=True)]


def test_emotion6_by_keyword_and_by_votes(root, set_lists):
    emotion6_release(root)
    by_keyword = labels(BENCHMARKS["emotion6"].items("full"))
    assert by_keyword["anger/1"] == "anger"
    assert Counter(by_keyword.values()) == dict.fromkeys(EMOTION6, 4)
    by_votes = labels(BENCHMARKS["emotion6"].items("full-votes"))
    assert by_votes["anger/1"] == "disgust"  # neutral has the most votes and is no class
    assert by_votes["anger/2"] == "anger"
    set_lists("emotion6=full-votes")
    assert documents(BENCHMARKS["emotion6"])[0]["item_list"] == "full-votes"


def test_emotion6_default_is_balanced(root):
    emotion6_release(root, per_class=330)
    items = BENCHMARKS["emotion6"].items()
    assert Counter(item.label for item in items) == dict.fromkeys(EMOTION6, 99)
    assert [item.id for item in items] == [item.id for item in BENCHMARKS["emotion6"].items("balanced594")]


def test_the_other_emotion_6_is_recognised(root):
    (emotion6_release(root) / "images" / "love").mkdir()
    with pytest.raises(ValueError, match=r"Emotion-6 \(Panda"):
        BENCHMARKS["emotion6"].items()


def test_webemo_rows(root):
    webemo_release(root)
    fine, coarse = (labels(BENCHMARKS[name].items()) for name in ("webemo25", "webemo7"))
    assert len(fine) == len(coarse) == 51
    assert fine["1/220_F_10_abcDEF.jpg"] == "cheerfullness"
    assert fine["24/220_F_241_abcDEF.jpg"] == "zest"  # a two-digit id
    assert (fine["0/220_F_00_abcDEF.jpg"], fine["24/220_F_00_abcDEF.jpg"]) == ("affection", "zest")
    assert (coarse["1/220_F_10_abcDEF.jpg"], coarse["2/220_F_20_abcDEF.jpg"]) == ("joy", "confusion")


def test_webemo_evaluates_what_is_there_and_says_so(root, caplog):
    folder = webemo_release(root)
    (folder / "images/test25/3/220_F_30_abcDEF.jpg").unlink()
    assert len(BENCHMARKS["webemo25"].items()) == 50
    assert "1 of 51 pictures are missing" in caplog.text
    assert "50 are evaluated" in caplog.text


def test_webemo_without_any_picture_is_an_error(root):
    webemo_release(root, images=False)
    with pytest.raises(MissingData, match=r"51 of 51 pictures are missing.*sepm-eval download webemo"):
        BENCHMARKS["webemo7"].items()


def test_abstract_votes_and_ties(root):
    abstract_release(root)
    everything = labels(BENCHMARKS["abstract"].items())
    winners = ["amusement", "anger", "awe", "contentment", "disgust", "awe", "fear", "sadness"]
    assert [everything[f"abstract_{1 + 3 * n:04d}"] for n in range(8)] == winners
    unique = labels(BENCHMARKS["abstract"].items("unique"))
    assert set(everything) - set(unique) == {"abstract_0016"}


def test_artphoto_names(root):
    artphoto_release(root)
    assert Counter(item.label for item in BENCHMARKS["artphoto"].items()) == dict.fromkeys(MIKELS, 2)


@pytest.mark.parametrize(
    ("make", "name", "file", "old", "new", "message"),
    [
        (emotion6_release, "emotion6", "ground_truth.txt", "anger/2.jpg", "angst/2.jpg", "line 3: expected keyword"),
        (emotion6_release, "emotion6", "ground_truth.txt", "0.6\n", "most\n", "line 2: expected keyword"),
        (emotion6_release, "emotion6", "ground_truth.txt", "anger/2.jpg", "anger/../../x", "leads out of the release"),
        (webemo_release, "webemo25", "test25.txt", "jpg 3\r", "jpg 25\r", "line 7: expected a URL and an id below 25"),
        (webemo_release, "webemo25", "test25.txt", "jpg 3\r", "jpg\r", "line 7: expected"),
        (abstract_release, "abstract", "ABSTRACT_groundTruth.csv", "'Fear'", "'Joy'", "not the eight emotions"),
        (abstract_release, "abstract", "ABSTRACT_groundTruth.csv", ",6,", ",six,", "line 2: expected a file name"),
    ],
)
def test_broken_lists_name_the_row(root, make, name, file, old, new, message):
    path = make(root) / file
    content = path.read_bytes().decode()
    assert old in content
    path.write_bytes(content.replace(old, new).encode())
    with pytest.raises(ValueError, match=message):
        BENCHMARKS[name].items("full" if name == "emotion6" else None)


def test_a_strange_artphoto_name_is_an_error(root):
    (artphoto_release(root) / "holiday_1.jpg").touch()
    with pytest.raises(ValueError, match=r"holiday_1\.jpg: the name does not begin"):
        BENCHMARKS["artphoto"].items()


@pytest.mark.parametrize("name", FROM_RELEASES)
def test_nothing_there(root, name):
    with pytest.raises(MissingData, match=f"{name}: no folder .*export SEPM_EVAL_DATA="):
        BENCHMARKS[name].items()


def test_a_list_of_ones_own(root, set_lists):
    artphoto_release(root)
    (root / "mine.csv").write_text("id,label\nawe_0001,\nsad_0000,fear\n")
    set_lists(f"artphoto={root / 'mine.csv'}")
    assert labels(BENCHMARKS["artphoto"].items()) == {"awe_0001": "awe", "sad_0000": "fear"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\nawe_9999\n", "line 2: 'awe_9999' is no item of artphoto"),
        ("name\nawe_0001\n", "needs a column id"),
        ("id\nawe_0001\nawe_0001\n", "names 1 items twice"),
        ("id,label\nawe_0001,hunger\n", "line 2: 'hunger' is no label of artphoto; known are"),
    ],
)
def test_a_bad_list_of_ones_own(root, content, message):
    artphoto_release(root)
    (root / "mine.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        BENCHMARKS["artphoto"].items(str(root / "mine.csv"))


@pytest.mark.parametrize("setting", ["artphoto", "artphoto=", "=x"])
def test_a_bad_setting(root, set_lists, setting):
    artphoto_release(root)
    set_lists(setting)
    with pytest.raises(ValueError, match="write benchmark=list"):
        BENCHMARKS["artphoto"].items()


def test_an_unknown_list_names_the_known(root):
    artphoto_release(root)
    with pytest.raises(ValueError, match=r"unknown item list 'half'; there are \['all'\]"):
        BENCHMARKS["artphoto"].items("half")


def test_proportional_lists_depend_on_ids_alone(tmp_path):
    items = [
        Item(f"{label}/{n}", tmp_path, label) for label, count in (("joy", 70), ("fear", 30)) for n in range(count)
    ]
    pick = proportional(10)
    chosen = pick(items)
    assert Counter(item.label for item in chosen) == {"joy": 7, "fear": 3}
    assert {item.id for item in pick(items[::-1])} == {item.id for item in chosen}


def chosen_of(count, **sizes):
    """How many of each class a proportional list takes."""
    items = [Item(f"{label}/{n}", Path("x"), label) for label, size in sizes.items() for n in range(size)]
    picked = Counter(item.label for item in proportional(count)(items))
    return {label: picked[label] for label in sizes}


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        # shares 3.7, 3.6, 2.7: two are rounded up, those with the largest remainders and not the largest classes
        (10, {"awe": 37, "fear": 36, "joy": 27}, {"awe": 4, "fear": 3, "joy": 3}),
        # shares 1.25, 6.25, 2.5: the largest remainder belongs to neither the first nor the largest class
        (10, {"awe": 5, "fear": 25, "joy": 10}, {"awe": 1, "fear": 6, "joy": 3}),
        # shares 1.9, 0.6, 0.5: by remainder, not by label
        (3, {"joy": 19, "fear": 6, "awe": 5}, {"joy": 2, "fear": 1, "awe": 0}),
        # equal remainders of 0.5: the first labels of the alphabet, whatever order the release has
        (2, {"joy": 5, "fear": 5, "awe": 5, "zest": 5}, {"joy": 0, "fear": 1, "awe": 1, "zest": 0}),
        (6, {"zest": 15, "joy": 25, "awe": 15, "fear": 25}, {"zest": 1, "joy": 2, "awe": 1, "fear": 2}),
        # shares 3.3, 1.3, 2.3, 3.1: equal remainders, though 3.3 - 3 < 1.3 - 1 in floating point
        (10, {"fear": 13, "zest": 31, "joy": 23, "awe": 33}, {"fear": 1, "zest": 3, "joy": 2, "awe": 4}),
        (10, {"joy": 14, "awe": 24, "fear": 34, "zest": 28}, {"joy": 1, "awe": 3, "fear": 3, "zest": 3}),
    ],
)
def test_largest_remainders(count, sizes, expected):
    assert chosen_of(count, **sizes) == expected
    assert chosen_of(count, **dict(reversed(sizes.items()))) == dict(reversed(expected.items()))


def test_proportions_of_the_real_webemo():
    """Row counts of test25.txt by level 2: the 2,000 that the list takes."""
    sizes = {
        **{"anger": 6971, "confusion": 2120, "fear": 6300, "joy": 15463},
        **{"love": 6622, "sadness": 13663, "surprise": 2350},
    }
    assert chosen_of(2000, **sizes) == {
        **{"anger": 261, "confusion": 79, "fear": 235, "joy": 578},
        **{"love": 248, "sadness": 511, "surprise": 88},
    }


def test_questions_are_frozen():
    """Every byte of every benchmark's question. A wanted change gets a new task version, and a new snapshot."""
    asked = {name: benchmark.question() for name, benchmark in sorted(BENCHMARKS.items())}
    assert asked == json.loads((Path(__file__).parent / "snapshots" / "questions.json").read_text(encoding="utf-8"))


def test_every_document_is_complete(root):
    all_releases(root)
    for name in FROM_RELEASES:
        docs = documents(BENCHMARKS[name])
        assert {"id", "image", "label", "benchmark", "item_list", "question"} <= set(docs.column_names)
        assert set(docs["label"]) <= set(BENCHMARKS[name].names)
        json.dumps(docs[0])

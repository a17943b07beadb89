"""EEmo-Bench's texts of rankings and ratings: what has one right answer is asked, what cannot be read is refused."""

from __future__ import annotations

import json

import pytest
from miniature_hub import encoded

from sepm_eval.datasets import find_benchmarks

BENCHMARKS = find_benchmarks()
RATINGS = "Valence:5 Arousal:5 Dominance:6"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Writes a release with one question for each (picture, text), or (picture, columns)."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    folder = tmp_path / "EEmo-Bench_single"

    def write(*told):
        entries = []
        for number, (name, text) in enumerate(told):
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(number))
            columns = text if isinstance(text, dict) else {"image_label": text}
            asked = {"question": "Q?", "options": "{'A': 'Yes', 'B': 'No'}", "correct_answer": "A"}
            entries.append({"id": number, "image_url": name, "question_type": "Yes-or-No", **asked, **columns})
        (folder / "list.json").write_text(json.dumps(entries))

    return write


def labels(name):
    return {item.id: item.label for item in BENCHMARKS[name].items()}


@pytest.mark.parametrize(
    ("ranking", "places"),
    [
        ("{'Joy': 33, 'Anger': 12, 'Fear': 5}", {"first": "joy", "second": "anger", "third": "fear"}),
        ("{'Joy': 33, 'Anger': 33, 'Fear': 12}", {"third": "fear"}),
        ("{'Joy': 33, 'Fear': 12, 'Anger': 12}", {"first": "joy"}),
        ("{'Joy': 33, 'Fear': 12, 'Anger': 9, 'Disgust': 9}", {"first": "joy", "second": "fear"}),
        ("{'Joy': 33, 'Surprise': 0, 'Anger': 0}", {"first": "joy"}),
        ("{'Joy': 33, 'Fear': 12.5, 'Surprise': 0}", {"first": "joy", "second": "fear"}),
    ],
)
def test_a_place_is_asked_if_one_emotion_has_it(release, ranking, places):
    release(("1.jpg", f"Ranking:{ranking} {RATINGS}"), ("2.jpg", "Ranking:{'Fear': 1}"))
    found = labels("eemo_ranking")
    assert {key.partition("#")[2]: label for key, label in found.items() if key.startswith("image_1#")} == places
    assert labels("eemo_emotion").get("image_1") == places.get("first")


def test_a_ranking_keeps_the_releases_order(release):
    release(("1.jpg", "Ranking:{'Joy': 33, 'Anger': 33, 'Fear': 40}"))
    (item,) = BENCHMARKS["eemo_emotion"].items()
    assert list(json.loads(item.extra["ranking"])) == ["Joy", "Anger", "Fear"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            f"Ranking:{{'Fear': 33}} {RATINGS}",
            "the ranking .*Joy.* and .*Fear",
        ),
        (
            f"Ranking:{{'Joy': 33}} {RATINGS[:-1]}7",
            r"the vad .*6\.0.* and .*7\.0",
        ),
    ],
)
@pytest.mark.parametrize("name", ["eemo_emotion", "eemo_ranking", "eemo_vad"])
def test_entries_that_contradict_each_other(release, name, other, message):
    told = f"Ranking:{{'Joy': 33}} {RATINGS}"
    release(("1.jpg", told), ("1.jpg", other))
    with pytest.raises(ValueError, match=rf"the questions '0' and '1' on 1\.jpg have {message}"):
        BENCHMARKS[name].items()
    release(("1.jpg", told), ("1.jpg", "no label"), ("1.jpg", told))
    assert BENCHMARKS[name].items()


def test_pictures_of_one_name_in_two_folders(release):
    joy, fear = (f"Ranking:{{'{emotion}': 33}} {RATINGS}" for emotion in ("Joy", "Fear"))
    release(("a/1.jpg", joy), ("b/1.jpg", fear), ("2.jpg", joy))
    assert labels("eemo_emotion") == {"image_a/1": "joy", "image_b/1": "fear", "image_2": "joy"}
    assert labels("eemo_ranking").keys() == {"image_a/1#first", "image_b/1#first", "image_2#first"}
    assert {key.partition("#")[0] for key in labels("eemo_vad")} == {"image_a/1", "image_b/1", "image_2"}


def test_pictures_that_would_have_one_id(release):
    release(("1.jpg", RATINGS), ("1.png", RATINGS))
    with pytest.raises(ValueError, match=r"1\.jpg and 1\.png, which would both be called image_1; rename one"):
        BENCHMARKS["eemo_vad"].items()


@pytest.mark.parametrize("text", ["Valence : 2.0", "valence:2.0, Arousal: 5", "Valence:2.0Arousal:5", "Valence:2.0."])
def test_ratings_that_can_be_read(release, text):
    release(("1.jpg", text))
    found = {item.id: item.extra["rating"] for item in BENCHMARKS["eemo_vad"].items()}
    assert found == {"image_1#valence": 2.0} | ({"image_1#arousal": 5.0} if "Arousal" in text else {})


@pytest.mark.parametrize("number", ["3,9", "-2.0", "", "high", "1.2.3", "2.0 Valence:3.0"])
def test_ratings_that_cannot_be_read(release, number):
    release(("1.jpg", RATINGS), ("2.jpg", f"Arousal:5 Valence:{number}"))
    with pytest.raises(ValueError, match=r"entry 1: expected one number behind each dimension, such as Valence:5\.33"):
        BENCHMARKS["eemo_vad"].items()


@pytest.mark.parametrize(
    "ranking", ["{'Joy': '9', 'Fear': '33'}", "{'Joy': -1}", "{'Joy': None}", "{}", "['Joy']", "{Joy}"]
)
def test_rankings_that_cannot_be_read(release, ranking):
    release(("1.jpg", RATINGS), ("2.jpg", f"Ranking:{ranking}"))
    with pytest.raises(ValueError, match="entry 1: expected a ranking with a number from 0 for each emotion, such as"):
        BENCHMARKS["eemo_emotion"].items()


def test_an_emotion_that_is_ranked_twice(release):
    release(("1.jpg", "Ranking:{'Joy': 3, 'joy': 33}"))
    with pytest.raises(ValueError, match="each once"):
        BENCHMARKS["eemo_emotion"].items()


def test_another_column_that_ends_in_label(release):
    told = f"Ranking:{{'Fear': 33}} {RATINGS}"
    release(("1.jpg", {"emotion_label": "Joy", "image_label": told}), ("2.jpg", told))
    assert labels("eemo_emotion") == {"image_1": "fear", "image_2": "fear"}
    assert len(labels("eemo_vad")) == 6

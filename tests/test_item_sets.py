"""What a run was asked on: the order of the questions, and the digest of items and pictures."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import artphoto_release, emoset_release
from miniature_hub import every_set

from sepm_eval.datasets import Item, find_benchmarks
from sepm_eval.datasets.lists import interleaved
from sepm_eval.runs.item_sets import item_set_digest, marks_of, tied_questions, votes_digest
from sepm_eval.tasks.documents import documents

BENCHMARKS = find_benchmarks()
LISTS = [(name, chosen) for name, benchmark in sorted(BENCHMARKS.items()) for chosen in benchmark.lists]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return tmp_path


def in_turn(labels, names) -> bool:
    """Whether the labels come one of each class after another, in the order of the names, as long as there are any."""
    left, expected = Counter(labels), []
    while left:
        expected += [name for name in names if left[name]]
        left -= Counter(list(left))
    return list(labels) == expected


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every release, and of EmoSet all splits and lists."""
    root = every_set(tmp_path_factory.mktemp("whole"))
    for split in ("val", "train"):
        (root / "EmoSet-118K" / f"{split}.json").write_bytes((root / "EmoSet-118K/test.json").read_bytes())
    (root / "EmoSet-118K" / "emoset2k.csv").write_text("id\nawe_00001\nawe_00000\nfear_00000\n")
    return root


@pytest.mark.parametrize(("name", "chosen"), LISTS)
def test_the_first_items_of_every_list_ask_for_every_class(monkeypatch, whole, name, chosen):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(whole))
    benchmark = BENCHMARKS[name]
    items = benchmark.items(chosen)
    assert {item.id for item in items} == {
        item.id for item in benchmark.lists[chosen](benchmark.read(benchmark.release()))
    }
    labels = [item.label for item in items]
    assert in_turn(labels, benchmark.names)
    classes = set(labels)
    for size in range(len(classes), len(items) + 1):
        asked = Counter(labels[:size])
        assert set(asked) == classes
        assert all(asked[label] >= max(asked.values()) - 1 or asked[label] == labels.count(label) for label in classes)


def test_a_trial_of_the_demo_asks_all_classes_and_both_kinds_of_artwork():
    """Pinned: whoever changes the order raises the version of the tasks."""
    items = BENCHMARKS["emotion_demo"].items()
    assert [item.id for item in items[:8]] == [
        "seen/amusement_031",
        "unseen/anger_017",
        "seen/awe_007",
        "unseen/contentment_011",
        "unseen/disgust_027",
        "seen/excitement_031",
        "seen/fear_003",
        "unseen/sadness_001",
    ]
    assert len(Counter((item.label, item.extra["seen"]) for item in items[:64])) == 16


def test_the_order_depends_on_ids_alone(root):
    release = emoset_release(root, per_class=6)
    before = [item.id for item in BENCHMARKS["emoset"].items()]
    rows = json.loads((release / "test.json").read_text())
    random.Random(5).shuffle(rows)
    (release / "test.json").write_text(json.dumps(rows))
    assert [item.id for item in BENCHMARKS["emoset"].items()] == before
    assert [item.id for item in BENCHMARKS["emoset"].items()][::8] != sorted(before)[:6]  # nor the release's order


def test_ones_own_list_keeps_its_order(root):
    artphoto_release(root)
    ids = ["awe_0001", "awe_0000", "sad_0000", "anger_0001", "anger_0000"]
    (root / "mine.csv").write_text("id\n" + "\n".join(ids) + "\n")
    assert [item.id for item in BENCHMARKS["artphoto"].items(str(root / "mine.csv"))] == ids


def test_a_larger_list_begins_with_the_smaller_one(root):
    """A trial of all of Emotion6 is a part of the 594 where classes are equal, and no other pictures."""
    from miniature import emotion6_release

    emotion6_release(root, per_class=120)
    small, large = (BENCHMARKS["emotion6"].items(chosen) for chosen in ("balanced594", "full"))
    assert [item.id for item in large[:594]] == [item.id for item in small]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), unique=True))
def test_interleaving_loses_nothing(rows):
    items = [Item(f"{label}/{number}", Path("x"), label) for label, number in rows]
    found = interleaved(items, "cab")
    assert sorted(item.id for item in found) == sorted(item.id for item in items)
    assert in_turn([item.label for item in found], "cab")


def test_documents_carry_the_digest_of_their_picture(root, monkeypatch):
    release = artphoto_release(root)
    benchmark = BENCHMARKS["artphoto"]
    docs = documents(benchmark)
    assert docs["picture"] == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in docs["image"]]
    (release / "awe_0000.jpg").write_bytes((release / "awe_0001.jpg").read_bytes() + b"\0")
    after = documents(benchmark)
    assert [old == new for old, new in zip(docs["picture"], after["picture"], strict=True)].count(False) == 1


def test_a_picture_that_cannot_be_read_has_no_digest(root, monkeypatch):
    artphoto_release(root)
    from sepm_eval import digests

    plain = digests.sha256_of

    def broken(path):
        if path.name in ("fear_0001.jpg", "awe_0000.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(digests, "sha256_of", broken)
    docs = documents(BENCHMARKS["artphoto"])
    digest_of = dict(zip(docs["id"], docs["picture"], strict=True))
    assert {key for key, digest in digest_of.items() if not digest} == {"fear_0001", "awe_0000"}
    assert {len(digest) for digest in digest_of.values()} == {0, 64}


def test_a_folder_that_cannot_be_read_is_told_at_the_first_look(root, monkeypatch):
    from sepm_eval.tasks.functions import doc_to_text

    artphoto_release(root)

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("sepm_eval.datasets.benchmark._has_content", denied)
    with pytest.raises(FileNotFoundError, match=r"Permission denied.*\.jpg"):
        doc_to_text(documents(BENCHMARKS["artphoto"])[0])


def test_questions_are_tied_to_their_items_where_they_differ():
    same = [("a", "Which?", ()), ("b", "Which?", ())]
    assert tied_questions(same) == ["Which?"]
    told = [("a", "True?", ()), ("b", "False?", ())]
    exchanged = [("a", "False?", ()), ("b", "True?", ())]
    rated = [("a", "Which?", marks_of({"kind": "valence", "rating": 3.0})), ("b", "Which?", ())]
    other = [("a", "Which?", marks_of({"kind": "valence", "rating": 3.5})), ("b", "Which?", ())]
    kinds = [("a", "Which?", marks_of({"kind": "arousal", "rating": 3.0})), ("b", "Which?", ())]
    sets = [frozenset(tied_questions(rows)) for rows in (same, told, exchanged, rated, other, kinds)]
    assert len(set(sets)) == len(sets)
    assert tied_questions(told) == tied_questions(iter(told))
    assert marks_of({"kind": None, "rating": [1], "votes": {"joy": 1}}) == ()


def test_votes_are_known_by_their_numbers():
    votes = [("a", {"joy": 3, "fear": 1}), ("b", None)]
    digest = votes_digest(votes)
    assert digest == votes_digest([("b", {}), ("a", {"fear": 1.0, "joy": 3.0, "awe": None})])
    assert digest != votes_digest([("a", {"joy": 3, "fear": 2})])
    assert digest != votes_digest([("b", {"joy": 3, "fear": 1})])
    assert votes_digest([("a", None), ("b", {})]) == ""


ITEMS = [("a", "joy", "0" * 64), ("b", "fear", "1" * 64), ("c", "joy", "")]


def test_a_digest_of_items_does_not_depend_on_their_order():
    digests = {item_set_digest(some) for some in permutations(ITEMS)}
    assert len(digests) == 1
    (digest,) = digests
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")
    text = '[["a","joy","' + "0" * 64 + '"],["b","fear","' + "1" * 64 + '"],["c","joy",""]]'
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert item_set_digest(iter(ITEMS)) == digest


def test_a_digest_of_items_changes_with_anything_in_them():
    changed = [
        [],
        ITEMS[:2],
        [*ITEMS, ITEMS[0]],  # twice
        [*ITEMS, ITEMS[0], ITEMS[0]],
        [("A", *ITEMS[0][1:]), *ITEMS[1:]],
        [("a", "fear", "0" * 64), *ITEMS[1:]],
        [("a", "joy", "2" * 64), *ITEMS[1:]],
        [("a", "joy", ""), *ITEMS[1:]],
        [("a", "fear", "0" * 64), ("b", "joy", "1" * 64), ITEMS[2]],  # labels swapped
        [("a", "joy", "1" * 64), ("b", "fear", "0" * 64), ITEMS[2]],  # pictures swapped
        [("aj", "oy", "0" * 64), *ITEMS[1:]],  # the same characters, cut elsewhere
        [('a","joy', "", "0" * 64), *ITEMS[1:]],
        [("\u00e4", "joy", "0" * 64), *ITEMS[1:]],
        [("\udcff", "joy", "0" * 64), *ITEMS[1:]],
    ]
    digests = [item_set_digest(items) for items in [ITEMS, *changed]]
    assert len(set(digests)) == len(digests)


def test_digests_of_items_need_nothing_heavy():
    code = (
        "import sys; from sepm_eval.runs.item_sets import item_set_digest, marks_of, tied_questions, votes_digest; "
        "print(sorted({'torch', 'datasets', 'numpy', 'PIL', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

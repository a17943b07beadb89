"""Files that stand in for pictures which were taken down: where pictures come from links they are no data."""

import pytest
from miniature import artphoto_release, webemo_release

from sepm_eval.datasets import MissingData, find_benchmarks

BENCHMARKS = find_benchmarks()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return tmp_path


def labels(items):
    return {item.id: item.label for item in items}


def stand_in(folder, labels, n=0):
    """The same "image removed" file in the place of several pictures."""
    paths = [folder / f"images/test25/{label}/220_F_{label}{n}_abcDEF.jpg" for label in labels]
    for path in paths:
        path.write_bytes(b"\xff\xd8 image removed")
    return paths


def test_a_file_under_many_names_is_no_data(root, caplog):
    folder = webemo_release(root)
    stand_in(folder, (3, 4, 5))
    for name in ("webemo25", "webemo7"):
        caplog.clear()
        items = BENCHMARKS[name].items()
        assert len(items) == 48
        assert not {"3/220_F_30_abcDEF.jpg", "4/220_F_40_abcDEF.jpg", "5/220_F_50_abcDEF.jpg"} & labels(items).keys()
        assert "3 of 51 pictures are one file under 3 or more names" in caplog.text
        assert "they are left out, 48 are evaluated" in caplog.text


def test_a_picture_listed_under_several_labels_is_data(root, caplog):
    """One URL under five ids is one file name five times; and one picture may have been uploaded twice."""
    folder = webemo_release(root)
    content = (folder / "images/test25/0/220_F_00_abcDEF.jpg").read_bytes()
    with (folder / "test25.txt").open("a") as file:
        for label in (7, 8, 9):
            file.write(f"https://as2.ftcdn.net/jpg/00/00/220_F_00_abcDEF.jpg {label}\n")
            (folder / f"images/test25/{label}/220_F_00_abcDEF.jpg").write_bytes(content)
    stand_in(folder, (3, 4))
    assert len(BENCHMARKS["webemo25"].items()) == 54
    assert not caplog.text


def test_placeholders_are_seen_from_any_list(root, caplog):
    """Of the three only one is in the list: the release tells what it is."""
    folder = webemo_release(root)
    stand_in(folder, (3, 4, 5))
    (root / "mine.csv").write_text("id\n3/220_F_30_abcDEF.jpg\n3/220_F_31_abcDEF.jpg\n")
    assert list(labels(BENCHMARKS["webemo25"].items(str(root / "mine.csv")))) == ["3/220_F_31_abcDEF.jpg"]
    (root / "mine.csv").write_text("id\n3/220_F_30_abcDEF.jpg\n")
    with pytest.raises(MissingData, match=r"1 of 1 pictures are one file under 3 or more names.*download webemo"):
        BENCHMARKS["webemo25"].items(str(root / "mine.csv"))


def test_equal_pictures_of_a_whole_release_stay(root):
    """Only where pictures come from links may one stand in for others; elsewhere the release says what is in it."""
    release = artphoto_release(root)
    for path in list(release.iterdir())[:5]:
        path.write_bytes(b"\xff\xd8 the same")
    assert len(BENCHMARKS["artphoto"].items()) == 16

"""Miniature copies of the hub's data sets, in a cache laid out as huggingface_hub lays it out, quirks included.

No layout could be looked at: these are what public code and pages say, as the benchmarks' own files tell.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pyarrow
import pytest
from miniature import all_releases
from PIL import Image
from pyarrow import parquet

from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases.hub_copies import fetch
from sepm_eval.datasets.vecbench import TASKS
from sepm_eval.emotions import EMOTION6, LAI_GAI, MIKELS, UNBIASEDEMO

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def encoded(shade: int, kind: str = "JPEG") -> bytes:
    """A small picture of its own colour, as a file."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (shade % 256, shade * 7 % 256, shade * 31 % 256)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gives the folder of a data set's snapshot in the local cache, which is all that can be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path / "data"))
    return lambda repository, commit=COMMIT: snapshot(tmp_path / "hub", repository, commit)


def snapshot(hub: Path, repository: str, commit: str = COMMIT) -> Path:
    """An empty snapshot, which is the branch main if it is the only one."""
    home = hub / f"datasets--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True, exist_ok=True)
    if not (home / "refs" / "main").exists():
        (home / "refs" / "main").write_text(commit)
    folder = home / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder


def table(path: Path, rows: list[dict]) -> Path:
    """A Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=4)
    return path


def lai_gai_rows(per_label: int = 1, ratings: bool = True) -> list[dict]:
    """One row a picture: its name, and of each feeling the mean rating from 1 to 7, or a share."""
    rows = []
    for n in range(per_label):
        for place, strongest in enumerate(LAI_GAI):
            numbers = {
                label.capitalize(): (5.5 if label == strongest else 1.0 + 0.1 * (at % 3))
                if ratings
                else (0.9 if label == strongest else 0.1 / 11)
                for at, label in enumerate(LAI_GAI)
            }
            picture = {"bytes": encoded(place + 12 * n, "PNG"), "path": None}
            rows.append({"image": picture, "Image_name": f"{strongest}_{n}.png", "Valence": 4.0, **numbers})
    return rows


def lai_gai(folder: Path, per_label: int = 1) -> None:
    """Two Parquet files."""
    rows = lai_gai_rows(per_label)
    table(folder / "data" / "train-00000-of-00002.parquet", rows[:7])
    table(folder / "data" / "train-00001-of-00002.parquet", rows[7:])


def emoverse(folder: Path) -> None:
    """Train and test; emotion names in capitals, and no column with an id: the picture's own name tells it."""
    rows = [
        {"image": {"bytes": encoded(at), "path": f"{label}/{at}.jpg"}, "emotion_category": label.capitalize()}
        for at, label in enumerate(MIKELS)
    ]
    table(folder / "data" / "test-00000-of-00001.parquet", rows)
    table(folder / "data" / "train-00000-of-00001.parquet", rows * 2)


def vecbench(folder: Path) -> None:
    """A table of all tasks, two pictures for each label of the first six; rows of training, and one other spelling."""
    lines = []
    for name, (spellings, labels, _) in TASKS.items():
        for at, label in enumerate([*labels][:6] * 2):
            place = f"images/{name}/{at}.jpg"
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(encoded(at + 20 * len(lines)))
            lines.append([spellings[-1], "test", place, label.capitalize()])
    lines.append(["EmoSet-8", "train", "images/train/1.jpg", "awe"])
    (folder / "VECBench").mkdir()
    with (folder / "VECBench" / "test_metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["task", "split", "image_path", "label"], *lines])


def statements() -> list[dict]:
    """Three pictures of MVEI with their statements: two, one and three."""
    classes = ("sentiment polarity", "emotion interpretation", "scene context", "perception subjectivity")
    about = {"contentment/contentment_14236.jpg": 2, "fear/fear_00001.jpg": 1, "awe/awe_00002.jpg": 3}
    found = []
    for at, (name, count) in enumerate(about.items()):
        told = [
            {
                "statement": f"Viewers of picture {at} feel emotion {n}.\nOften.",
                "label": "incorrect" if n % 2 else "correct",
                "class": classes[(at + n) % 4],
                "subclass": "none",
            }
            for n in range(count)
        ]
        found.append({"image_id": name, "ov_emotion": ["tranquility"], "statement_list": told})
    return found


def mvei(folder: Path) -> None:
    """The list and a zip file of pictures, in a folder MVEI."""
    home = folder / "MVEI"
    home.mkdir()
    (home / "MVEI_metadata.json").write_text(json.dumps(statements()))
    with zipfile.ZipFile(home / "images.zip", "w") as archive:
        for at, entry in enumerate(statements()):
            archive.writestr(f"images/{entry['image_id']}", encoded(at))


def questions() -> list[dict]:
    """EEmo-Bench: two, three and four options as Python literals, letters out of order, and an open question."""
    told = "Ranking:{'Anger': 33, 'Surprise': 28, 'Joy': 22}     category:Animal     Valence:5.33  Arousal:6.44  "
    common = {"image_url": "579.jpg", "image": "images\\579.jpg", "image_label": told + "Dominance:5.44"}
    return [
        {
            **{"id": 0, **common, "question": "Is anger one of the three main emotions?"},
            **{"options": "{'B': 'Yes.', 'A': 'No.'}", "correct_answer": "B", "question_type": "Yes-or-No"},
            **{"perceptual_dimension": "Emotion perception", "question_concern": "Attributes perception"},
        },
        {
            **{"id": 1, **common, "image_url": "100.jpg", "question": "How strong is\nthe arousal?"},
            **{"image_label": told.replace("28", "40") + "Dominance:5.44"},
            **{"options": "{'A': 'Much lower.', 'B': 'About the same.', 'C': 'Much higher.'}", "correct_answer": "A"},
            **{"question_type": "What/How", "perceptual_dimension": "Arousal perception"},
        },
        {
            **{"id": 2, **common, "question": "Which emotion?", "question_type": "What/How", "correct_answer": "D"},
            **{"options": "{'A': 'Neutral', 'B': 'Fear', 'C': 'Sadness', 'D': 'Joy'}"},
        },
        {"id": 3, **common, "question": "Describe it.", "question_type": "Open_ended", "correct_answer": "It is ..."},
    ]


def eemo_single(folder: Path) -> None:
    """The list and the pictures in a zip file without a top folder."""
    (folder / "EEmo-Bench(single).json").write_text(json.dumps(questions()))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for at, name in enumerate(("579.jpg", "100.jpg")):
            archive.writestr(name, encoded(at))


COPIES = {
    "lai_gai": ("ACG-AMU/LAI-GAI", lai_gai),
    "emoverse": ("PiLabUSTC/EmoVerse-Dataset", emoverse),
    "vecbench_emoset": ("wudq/VECBench", vecbench),
    "mvei": ("wudq/MVEI", mvei),
    "eemo_single": ("Workerred/EEmo-Bench_single", eemo_single),
}
"""By a benchmark that `sepm-eval prepare` gets from it: the repository, and what makes its miniature."""


def every_set(root: Path) -> Path:
    """Every benchmark's release in one data folder; the hub's are fetched from a cache as `sepm-eval prepare` does."""
    data = root / "data"
    data.mkdir()
    all_releases(data)
    for make in (fi, unbiasedemo, emotionroi):
        make(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root / "hub"))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        for name, (repository, make) in COPIES.items():
            make(snapshot(root / "hub", repository))
            fetch(find_benchmarks()[name], f"hf:{repository}", data)
    return data


@pytest.fixture(scope="session")
def every_data(tmp_path_factory):
    """The data folder of ``every_set``, made once; tests read it and change nothing."""
    return every_set(tmp_path_factory.mktemp("every"))


def fi(root: Path) -> Path:
    """FI: a folder for each class, of which one file is no picture."""
    for at, label in enumerate(MIKELS):
        for n in range(2):
            path = root / "FI" / label / f"{label}_{n}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(2 * at + n))
    (root / "FI" / "awe" / "Thumbs.db").write_bytes(b"x")
    return root / "FI"


def unbiasedemo(root: Path) -> Path:
    """UnBiasedEmo: kinds of objects below each emotion; a file name may occur under several."""
    for at, label in enumerate(UNBIASEDEMO):
        for n, kind in enumerate(("cat", "people")):
            path = root / "UnBiasedEmo" / "images" / label / kind / "1.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(2 * at + n))
    return root / "UnBiasedEmo"


def emotionroi(root: Path) -> Path:
    """EmotionROI: two lists, and pictures by keyword."""
    folder = root / "EmotionROI"
    (folder / "training_testing_split").mkdir(parents=True)
    for at, label in enumerate(EMOTION6):
        (folder / "images" / label).mkdir(parents=True)
        for n in range(1, 4):
            (folder / "images" / label / f"{n}.jpg").write_bytes(encoded(3 * at + n))
    for name, numbers in (("training", (1, 2)), ("testing", (3,))):
        lines = [f"{label}/{n}.jpg" for label in EMOTION6 for n in numbers]
        (folder / "training_testing_split" / f"{name}.txt").write_text("\r\n".join(lines) + "\r\n")
    return folder

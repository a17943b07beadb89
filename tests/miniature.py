"""Miniature releases in the exact official layouts, quirks included."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sepm_eval.emotions import EMOTION6, MIKELS, WEBEMO_CATEGORIES


def emoset_release(root: Path, per_class: int = 2) -> Path:
    """EmoSet-118K: test.json with rows of three and of four elements, image/<emotion>/<emotion>_NNNNN.jpg."""
    folder = root / "EmoSet-118K"
    rows = []
    for number in range(per_class):
        for shade, label in enumerate(MIKELS):
            name = f"{label}_{number:05d}"
            image = folder / "image" / label / f"{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30 + number), (shade * 30, number * 60, 90)).save(image)
            row = [label, f"image/{label}/{name}.jpg", f"annotation/{label}/{name}.json"]
            rows.append([label, name, *row[1:]] if number else row)
    (folder / "test.json").write_text(json.dumps(rows))
    return folder


def picture(path: Path, shade: int) -> None:
    """A small picture of its own colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (shade % 256, shade * 7 % 256, shade * 31 % 256)).save(path)


def emotion6_release(root: Path, per_class: int = 4) -> Path:
    """Emotion6: images/<keyword>/<n>.jpg and ground_truth.txt with bracketed headers."""
    folder = root / "Emotion6"
    header = ["[image_filename]", "[valence]", "[arousal]", *(f"[prob. {name}]" for name in (*EMOTION6, "neutral"))]
    lines = ["\t".join(header)]
    for c, keyword in enumerate(EMOTION6):
        for n in range(1, per_class + 1):
            picture(folder / "images" / keyword / f"{n}.jpg", c * per_class + n)
            shares = [0.0] * 7
            shares[c if n > 1 else (c + 1) % 6] = 0.4  # people see the next emotion in every first picture
            shares[6] = 0.6
            lines.append("\t".join([f"{keyword}/{n}.jpg", "2.5", "3.8", *map(str, shares)]))
    (folder / "ground_truth.txt").write_text("\n".join(lines) + "\n")
    return folder


def webemo_release(root: Path, host: str = "https://as2.ftcdn.net", images: bool = True) -> Path:
    """WebEmo: URL lists with CRLF, two-digit ids, and one URL under two ids."""
    folder = root / "WEBEmo"
    folder.mkdir()
    triples = [(label, coarse, "+") for label, _, coarse in WEBEMO_CATEGORIES]
    (folder / "category.txt").write_text(f"# (level 3, level 2, level 1)\r\nlabels={triples}\r\n")
    rows = []
    for label in range(25):
        for n in range(2):
            rows.append((f"{host}/jpg/00/{label:02d}/220_F_{label}{n}_abcDEF.jpg", label))
    rows.append((rows[0][0], 24))  # the same picture with another label
    (folder / "test25.txt").write_bytes("".join(f"{url} {label}\r\n" for url, label in rows).encode())
    if images:
        for i, (url, label) in enumerate(rows):
            picture(folder / "images" / "test25" / str(label) / url.rsplit("/", 1)[1], i)
    return folder


def abstract_release(root: Path) -> Path:
    """Abstract: quoted text cells, an empty first header cell, gaps in the numbers, and a tie."""
    folder = root / "testImages_abstract"
    names = ["Amusement", "Anger", "Awe", "Content", "Disgust", "Excitement", "Fear", "Sad"]
    lines = [",".join(["", *(f"'{name}'" for name in names)])]
    for c in range(8):
        number = 1 + 3 * c
        votes = [1] * 8
        votes[c] = 6
        if c == 5:
            votes[2] = 6  # awe and excitement tie: awe is the first maximum
        picture(folder / f"abstract_{number:04d}.jpg", c)
        lines.append(",".join([f"'abstract_{number:04d}.jpg'", *map(str, votes)]))
    (folder / "ABSTRACT_groundTruth.csv").write_text("\r\n".join(lines) + "\r\n")
    return folder


def artphoto_release(root: Path) -> Path:
    """ArtPhoto: flat, the emotion in front of the file name, sadness as "sad"."""
    folder = root / "testImages_artphoto"
    for c, name in enumerate(["amusement", "anger", "awe", "contentment", "disgust", "excitement", "fear", "sad"]):
        for n in range(2):
            picture(folder / f"{name}_{n:04d}.jpg", c * 2 + n)
    return folder


def all_releases(root: Path) -> None:
    """Every benchmark in one data folder."""
    for make in (emoset_release, emotion6_release, webemo_release, abstract_release, artphoto_release):
        make(root)

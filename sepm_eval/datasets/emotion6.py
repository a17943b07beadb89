"""Emotion6: six emotions, 1,980 pictures (Peng et al., CVPR 2015).

The release is a folder with ``images/<keyword>/<n>.jpg`` and ``ground_truth.txt``. This file is tab-separated. After a
header with names in brackets, each row has the file name, valence, arousal, and the shares of the votes for six
emotions and neutral; columns are read by position. People do not always see the emotion of the keyword by which a
picture was found. So there are two rules for labels: the keyword (balanced, 330 pictures per class; evaluations like
SEPM's use it) and the emotion with the most votes.

There is no official split. The accuracies in the SEPM paper are multiples of 1/594, so it used 594 pictures, 30 % of
the set; which ones is not published. The default list is a class-balanced choice of 594 pictures, not theirs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sepm_eval.datasets import Benchmark, HubCopy, Item, ItemList, proportional, read_text, safe_path, whole
from sepm_eval.emotions import EMOTION6

_VOTES = (*EMOTION6, "neutral")
_SHARE = re.compile(r"[0-9]{1,9}(\.[0-9]{0,20})?(e-[0-9]{1,2})?")  # float() also accepts 0_1 and non-ASCII digits


def read(folder: Path) -> list[Item]:
    """Read the rows of ground_truth.txt, labelled by keyword, with the votes in ``extra``.

    Raises:
        ValueError: a row is broken, or the folder holds Emotion-6, another data set of nearly the same name.
    """
    if (folder / "images" / "love").is_dir():
        raise ValueError(
            f"{folder} has a class 'love': this is Emotion-6 (Panda et al., ECCV 2018), another data set than Emotion6 "
            "(Peng et al., CVPR 2015), which has disgust instead"
        )
    path = folder / "ground_truth.txt"
    lines = read_text(path, "an Emotion6 release").splitlines()
    if lines and lines[0].split("/")[0] in EMOTION6:
        raise ValueError(f"{path}, line 1: expected a header, found {lines[0]!r}: the file's beginning is missing")
    return [_item(folder, f"{path}, line {n}", line) for n, line in enumerate(lines[1:], start=2) if line.strip()]


def _item(folder: Path, where: str, line: str) -> Item:
    name, *numbers = line.strip().split("\t")
    keyword = name.split("/")[0]
    shares = [float(number) if _SHARE.fullmatch(number) else -1.0 for number in numbers[2:]]
    fits = len(shares) == len(_VOTES) and all(0 <= share <= 1 for share in shares)
    if keyword not in EMOTION6 or not fits:
        raise ValueError(
            f"{where}: expected keyword/n.jpg, valence, arousal and {len(_VOTES)} shares from 0 to 1, found {line!r}"
        )
    votes = dict(zip(_VOTES, shares, strict=True))
    return Item(name.removesuffix(".jpg"), safe_path(folder / "images", name, where), keyword, {"votes": votes})


def _winner(votes: dict[str, float]) -> str:
    return max(EMOTION6, key=lambda emotion: votes[emotion])


def _by_votes(pick: ItemList) -> ItemList:
    """The pictures of a list, labelled by the emotion with the most votes (without neutral; ties go to the first)."""

    def relabelled(items: list[Item]) -> list[Item]:
        return [replace(item, label=_winner(item.extra["votes"])) for item in pick(items)]

    return relabelled


BENCHMARKS = {
    "emotion6": Benchmark(
        name="emotion6",
        title="Emotion6",
        names=EMOTION6,
        read=read,
        folder="Emotion6",
        obtain=(
            "Download Emotion6.zip (Cornell, chenlab.ece.cornell.edu/downloads.html) and unpack it there, so that it "
            "holds Emotion6/images/ and Emotion6/ground_truth.txt."
        ),
        terms="academic research only; the pictures belong to their Flickr owners",
        lists={
            "balanced594": proportional(594),
            "full": whole,
            "balanced594-votes": _by_votes(proportional(594)),
            "full-votes": _by_votes(whole),
        },
        hub=(HubCopy("wudq/Small-Scale_VSA_Datasets", ("*Emotion6.zip",)),),
        archive="Emotion6.zip",
        size=594,
        licence="research",
        votes=True,
    )
}

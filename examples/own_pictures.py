"""Score zero-shot and SEPM on a folder of your own pictures: one folder a label, such as joy/, fear/ and sadness/.

Without arguments: the small model and the pictures that ship with the package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sepm_eval import Question, UnreadableImage, get_method, load_backbone
from sepm_eval.datasets import find_benchmarks
from sepm_eval.report.statistics import wilson

DEMO = find_benchmarks()["emotion_demo"]
METHODS = {"zero_shot": get_method("zero_shot"), "sepm": get_method("sepm", beta=0.2)}


def pictures_of(folder: Path) -> list[tuple[Path, str]]:
    """Every file of every folder in a folder, with its folder's name as the label."""
    labels = sorted(place for place in folder.iterdir() if place.is_dir())
    return [(path, place.name) for place in labels for path in sorted(place.iterdir())]


def demo_pictures(count: int) -> list[tuple[Path, str]]:
    """The first drawn scenes in the package; the labels take turns."""
    return [(item.path, item.label) for item in DEMO.items()[:count]]


def main() -> None:
    """Ask every picture with every method, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a folder with one folder a label")
    parser.add_argument("--model", default="llava", help="hf, llava or vila")
    parser.add_argument("--pretrained", default="demo", help="hub id or folder of the checkpoint")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--count", type=int, default=64, help="how many demo pictures")
    args = parser.parse_args()

    pictures = demo_pictures(args.count) if args.folder is None else pictures_of(args.folder)
    labels = tuple(sorted({label for _, label in pictures}))
    # How the options are shown to the model. The demo model knows only the words of its own benchmark.
    names = tuple(DEMO.names[label] for label in labels) if args.folder is None else tuple(map(str.capitalize, labels))
    backbone = load_backbone(args.model, args.pretrained, device=args.device)
    right, unparsed, unreadable = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0), []
    for path, label in pictures:
        try:
            question = Question(path, labels, names)  # labels of your own need positive={"cozy", ...} too
        except UnreadableImage as error:
            unreadable.append(str(error))  # no answer, so neither right nor wrong
            continue
        for name, method in METHODS.items():
            answer = method.answer(question, backbone)
            right[name] += answer.label == label
            unparsed[name] += answer.label is None

    n = len(pictures) - len(unreadable)
    print(f"{n} pictures, {len(labels)} labels, {backbone.name}")
    for name in METHODS:
        interval = wilson(right[name], n)
        share = f"{right[name] / n:.1%} [{interval.low:.1%}, {interval.high:.1%}]" if n else "none could be read"
        print(f"{name:<10} {share}, {unparsed[name]} unparsed")
    print(*unreadable, sep="\n", end="" if unreadable else None)


if __name__ == "__main__":
    main()

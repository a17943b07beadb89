"""Whether the time to read an answer is proportional to its length, for texts that repeat typical parts of answers.

An answer may be as long as a model likes, so a time that grows with the square of the length could stop a run. The
figure compares the processor time for 40,000 characters with that for 10,000, each the least of three.
"""

from __future__ import annotations

import argparse
import time

from table import Figure, show

from sepm_eval.parsing import Options, parse_answer

OPTIONS = Options(("joy", "fear", "anger", "sadness"), ("Joy", "Fear", "Anger", "Sad"))
PIECES = ("A ", "(A", "A. joy ", "not A, ", "A or B ", "\n", ".", "The answer is ", "joy and fear, ", '"A" ', "**A**")
PIECES += ("((((", "- A\n", "1. A\n", "<think>", "It is not joy but ", "A,", "because ", "é", " ", "A: B: ", "if joy, ")
PIECES += ("'", "\\boxed{A}", "Answer: ", "option ", "neither ", "I am not sure. ", "``", "A/B ", "final answer: ")
LENGTHS = (10_000, 40_000)


def seconds(text: str) -> float:
    """The processor time of reading one text, the least of three."""
    found = []
    for _ in range(3):
        begin = time.process_time()
        parse_answer(text, OPTIONS)
        found.append(time.process_time() - begin)
    return min(found)


def measure(lengths: tuple[int, int] = LENGTHS) -> list[Figure]:
    """Measure the worst of all pieces; growth is taken only of those that take over 10 ms at the larger length."""
    growth, slowest = 0.0, 0.0
    for piece in PIECES:
        short, long = (seconds((piece * (length // len(piece) + 1))[:length]) for length in lengths)
        slowest = max(slowest, long)
        if long > 0.01:
            growth = max(growth, long / short / (lengths[1] / lengths[0]))
    what = f"answers of {lengths[1]:,} characters"
    return [
        Figure(f"{what}: a character takes, over {lengths[0]:,}", growth, at_most=1.5),
        Figure(f"{what}: the slowest is read in", 1000 * slowest, unit="ms"),
    ]


def main() -> None:
    """Measure and show; exit 1 if the target is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    show(measure())


if __name__ == "__main__":
    main()

"""How often SEPM's fast variant (reuse) answers like the exact one, and how accurately: demo pictures, demo model."""

from __future__ import annotations

import argparse

from table import Figure, show

from sepm_eval import Question, get_method, load_backbone
from sepm_eval.datasets import find_benchmarks
from sepm_eval.images import open_image

BATCH = 16


def measure(pictures: int) -> list[Figure]:
    """Measure agreement and difference in accuracy, with no token dropped and at the paper's beta."""
    backbone = load_backbone("llava", "demo", device="cpu")
    benchmark = find_benchmarks()["emotion_demo"]
    names = tuple(benchmark.names), tuple(benchmark.names.values())
    items = benchmark.items()
    items = items[:: len(items) // pictures][:pictures]
    questions = [Question(open_image(item.path), *names) for item in items]
    figures = []
    for beta, target in ((0.0, 100.0), (0.2, None)):
        exact, fast = (
            [
                answer.label
                for start in range(0, pictures, BATCH)
                for answer in get_method("sepm", beta=beta, reuse=reuse).answer(
                    questions[start : start + BATCH], backbone
                )
            ]
            for reuse in (False, True)
        )
        agree = sum(one == other for one, other in zip(exact, fast, strict=True))
        right = [sum(label == item.label for label, item in zip(found, items, strict=True)) for found in (exact, fast)]
        figures += [
            Figure(f"reuse: answers as exact, beta {beta:g}", 100 * agree / pictures, at_least=target, unit="%"),
            Figure(
                f"reuse: accuracy minus exact's, beta {beta:g}", 100 * (right[1] - right[0]) / pictures, unit="points"
            ),
        ]
    return figures


def main() -> None:
    """Measure and show; exit 1 if answers differ although no token was dropped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=256)
    show(measure(parser.parse_args().pictures))


if __name__ == "__main__":
    main()

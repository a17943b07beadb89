"""A method of your own, compared with SEPM on the same pictures: difference, interval, test.

The method asks as zero-shot does, but over the half of the visual tokens that lie nearest to the picture's middle. In a
package of your own, an entry point makes it known to all commands (see CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from sepm_eval import Answer, Backbone, Question, get_method, load_backbone
from sepm_eval.backbone.interface import PictureTokens
from sepm_eval.datasets import find_benchmarks
from sepm_eval.methods.common import ask, zero_shot_prompt
from sepm_eval.methods.options import NUMBER, method
from sepm_eval.report.statistics import compare


@method
class Middle:
    """Zero-shot over the visual tokens nearest to the middle of the picture.

    Attributes:
        share: of the visual tokens that are kept.
    """

    share: Annotated[float, Field(gt=0, lt=1), NUMBER] = 0.5

    needs: ClassVar[frozenset[str]] = frozenset({"keep"})
    needs_polarities: ClassVar[bool] = False

    def answer(self, questions: Sequence[Question], backbone: Backbone) -> list[Answer]:
        """Answer questions, in their order."""
        visual = backbone.see([question.image for question in questions])
        asked = [zero_shot_prompt(question) for question in questions]
        return ask(questions, asked, backbone, visual, keep=[self._kept(picture) for picture in visual.pictures])

    def _kept(self, picture: PictureTokens) -> torch.Tensor:
        """[n] bool, which tokens of a picture are kept. Separators (column -1) must stay, so they count as near."""
        far = []
        for block, row, column in picture.cells:
            grid = picture.blocks[block]
            down, right = 2 * (row + 0.5) / grid.rows - 1, 2 * (column + 0.5) / max(grid.columns, 1) - 1
            far.append(0.0 if column < 0 else (down**2 + right**2) ** 0.5)
        distance = torch.tensor(far, device=picture.features.device)
        return distance <= distance.quantile(self.share)


def main() -> None:
    """Ask some demo pictures with both methods, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=64, help="how many pictures")
    args = parser.parse_args()

    benchmark = find_benchmarks()["emotion_demo"]
    items, labels = benchmark.items()[: args.count], tuple(benchmark.names)
    backbone = load_backbone("llava", "demo", device="cpu")
    names = tuple(benchmark.names.values())  # as the options are shown: the demo model knows no other words
    questions = [Question(item.path, labels, names) for item in items]
    right = {
        name: [
            answer.label == item.label for answer, item in zip(chosen.answer(questions, backbone), items, strict=True)
        ]
        for name, chosen in {"middle": Middle(), "sepm": get_method("sepm", beta=0.2)}.items()
    }
    found = compare(right["middle"], right["sepm"])
    print({name: f"{sum(one)} of {len(one)} right" for name, one in right.items()})
    print(f"SEPM - middle: {100 * found.difference:+.1f} points, p = {found.p_value:.3g} (exact McNemar)")
    print(f"95 % interval [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]")


if __name__ == "__main__":
    main()

"""docs/methods.md says of every method what the code says: what it needs, what it costs, and where it comes from."""

import inspect
import re
import sys

import numpy as np
import pytest
from examples import ROOT

from sepm_eval import Question, get_method
from sepm_eval.backbone.cost import Text, flops
from sepm_eval.methods import find_methods
from sepm_eval.model_wrappers import known_checkpoint

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
TABLE = {
    row[0].strip("`"): row
    for row in ([cell.strip() for cell in line[1:-1].split("|")] for line in PAGE.splitlines() if line[:3] == "| `")
}
# Tokens of EmoSet's questions in LLaVA-1.5's template: once with all eight emotions, or coarse and then with four.
ONE, TWO = Text(35, (78,)), Text(35, (82, 57), probed=6)
TURNS = {"dan": Text(35, (81, 82, 64, 48, 48, 48, 52))}  # estimated from the turns' characters, as a plan's price is


def test_every_method_is_on_the_page():
    assert set(TABLE) == set(find_methods())


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_row_says_what_the_method_needs_and_costs(name):
    _, _, needs, cost, _ = TABLE[name]
    method, geometry = get_method(name), known_checkpoint("llava-1.5-7b").geometry
    assert set(re.findall(r"`(\w+)`", needs)) == method.needs
    text = TURNS.get(name, TWO if method.needs_polarities else ONE)
    dense = flops(geometry, get_method("zero_shot").work(geometry, ONE))
    assert cost == f"{flops(geometry, method.work(geometry, text)) / dense:.2f}"


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_row_names_the_sources_that_the_file_names(name):
    source = inspect.getsource(sys.modules[find_methods()[name].__module__])
    for reference in re.findall(r"(arXiv \d{4}\.\d{5}|at [0-9a-f]{7}\b)", TABLE[name][4]):
        assert reference in source


def test_a_rule_of_ones_own(tmp_path, demo_backbone, monkeypatch, picture):
    """The file that the page shows keeps what it says."""
    monkeypatch.setattr("sepm_eval.methods.common.MAX_NEW_TOKENS", 1)
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "loudest.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    import loudest

    answer = loudest.METHODS["loudest"](budget=0.25).answer(Question(picture, ("joy", "fear")), demo_backbone)
    (seen,) = demo_backbone.see([picture]).pictures
    norms = np.linalg.norm(seen.features.numpy(), axis=1)
    kept = [token for token, stays in enumerate(answer.kept) if stays]
    assert len(kept) == round(len(norms) / 4)
    assert norms[kept].min() >= np.delete(norms, kept).max()


def test_the_numbers_of_a_budget_are_what_the_methods_keep():
    """LLaVA-1.5-7B: 576 tokens, 32 layers. FastV's own budget is what it keeps after its layer, not the average."""
    kept = {budget: get_method("fastv", budget=budget).cut.left(32, 576) for budget in (192, 128, 64)}
    assert kept == {192: {1: 166}, 128: {1: 98}, 64: {1: 30}}
    assert "166 for 192,\n  98 for 128 and 30 for 64" in PAGE
    for budget, ((layer, left),) in ((budget, one.items()) for budget, one in kept.items()):
        assert round(((layer + 1) * 576 + (31 - layer) * left) / 32) == budget
    ((_, left),) = get_method("fastv", keep=192).cut.left(32, 576).items()
    assert (left, (2 * 576 + 30 * left) / 32) == (192, 216)
    assert "`keep=192`, 216 on average" in PAGE
    cuts = get_method("pyramiddrop", ratio=0.5).cut.left(32, 576)
    assert list(cuts.values()) == [288, 144, 72]
    assert 8 * (576 + 288 + 144 + 72) / 32 == 270
    assert "`ratio=0.5` is its\n  own setting (270 of 576 on average)" in PAGE
    for budget in (144, 128, 64, 0.25):
        with pytest.raises(ValueError, match=rf"budget={budget}: .* averages more than 144 of 576"):
            get_method("pyramiddrop", budget=budget)
    cuts = get_method("pyramiddrop", budget=192).cut.left(32, 576)
    assert round(8 * (576 + sum(cuts.values())) / 32) == 192

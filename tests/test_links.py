"""Numbers, cells and points of a report lead to their items."""

from __future__ import annotations

import json
import re
from typing import get_args

from make_runs import LLAVA, RUNS

from sepm_eval.report.figures import _confidence, _per_class, _sensitivity
from sepm_eval.report.inline import inline_svg
from sepm_eval.report.links import Outcomes, link_of, link_to_items
from sepm_eval.report.tables import main_runs
from sepm_eval.runs.results import read_runs
from sepm_eval.view import PAGE


def test_links_hold_names_as_they_are_shown():
    assert link_to_items() == "items.html#"
    assert link_to_items(items="a b", outcome="wrong", item="x\x1b&=") == (
        "items.html#items=a%20b&outcome=wrong&item=x%5Cx1b%26%3D"
    )
    script = (PAGE / "state.js").read_text()
    (names,) = re.findall(r"view\.FILTERS = (\[.*?\]);", script)
    taken = set(link_to_items.__kwdefaults__)
    assert taken == {*json.loads(names), "item"} - {"search"}


def test_every_outcome_of_a_link_is_one_that_the_page_knows():
    script = (PAGE / "state.js").read_text()
    (body,) = re.findall(r"view\.OUTCOMES = \{(.*?)\};", script, re.DOTALL)
    known = re.findall(r'^  "?([\w-]+)"?:', body, re.MULTILINE)
    assert set(known) == {outcome for outcome in get_args(Outcomes) if outcome}


def test_what_a_cell_is_about_is_what_its_link_opens():
    run = {"task": "emoset", "items": "1a2b", "column": "emoset [x]", "model": "m", "model_id": "3c", "method": "sepm"}
    start = "items.html#items=emoset%20%5Bx%5D&model=m&method=sepm"
    assert link_of(run) == start
    assert link_of({**run, "flip": "wrong → right"}) == f"{start}&outcome=wrong-right"
    assert link_of({**run, "flip": "right → wrong", "item": "a/1"}) == f"{start}&outcome=right-wrong&item=a%2F1"
    assert link_of({**run, "label": "joy", "answer": "fear"}) == f"{start}&label=joy&answer=fear"
    assert link_of({**run, "label": "joy", "answer": "unparsed"}) == f"{start}&outcome=unparsed&label=joy"
    assert link_of({**run, "status": "failed"}) == f"{start}&outcome=failed"
    assert link_of({**run, "confidence": "0.1:0.125"}) == f"{start}&confidence=0.1%3A0.125"


def test_points_and_bars_of_figures_lead_to_their_items():
    """Each label's bar of each method, each bin of confidence twice (polarity and answer), each value of alpha."""
    mine = [run for run in read_runs([RUNS]) if (run.model, run.task) == (LLAVA, "emoset")]
    sepm = next(run for run in mine if run.variant == "sepm")
    drawn = [*_per_class(mine), *_confidence(mine), *_sensitivity(mine)]
    figures = {one.key.partition("_llava")[0]: one for one in drawn}
    assert set(figures) == {"per_class", "confidence", "sensitivity_alpha", "sensitivity_beta"}
    bars = figures["per_class"].items
    assert len(bars) == len(main_runs(mine)) * 8
    assert {one["label"] for one in bars} == set(sepm.options.labels)
    counted = 0
    for one in figures["confidence"].items:
        low, high = map(float, one["confidence"].split(":"))
        counted += sum(low <= outcome.record.confidence < high for outcome in sepm.scored)
    assert counted == len(sepm.scored)
    for key, times in (("per_class", 1), ("confidence", 2), ("sensitivity_alpha", 1)):
        drawing = inline_svg(figures[key], link_of)
        assert drawing.count("<a ") == times * len(figures[key].items)

"""What a report says first: which method helped, by how much, how surely, and at what cost, in names people read."""

from __future__ import annotations

import dataclasses
import html
import re
from xml.etree import ElementTree

import make_runs
import pytest
from make_runs import LLAVA, RUNS, read_lines, run, write_lines

from sepm_eval.methods import find_methods, kind_of, method_title
from sepm_eval.methods.sepm import Sepm
from sepm_eval.report import figures
from sepm_eval.report.comparing import compared
from sepm_eval.report.figures import Figure
from sepm_eval.report.findings import conclusion, findings, noise_floor, of_methods, short_names, verdict
from sepm_eval.report.front_figures import pareto
from sepm_eval.report.inline import inline_svg
from sepm_eval.report.paper_tables import paper_tables
from sepm_eval.report.table import RUN_COLUMNS
from sepm_eval.report.tables import all_tables, confusion, detail_tables
from sepm_eval.report.write import write_report
from sepm_eval.runs.arranging import arranged
from sepm_eval.runs.results import read_runs

DAY = "20261101_120000"
SKILLS = {
    "zero_shot": 0.4,
    "sepm": 0.9,
    "zero_shot_cot": 0.1,
    "divprune": 0.42,
    "fastv,budget=0.25": 0.4,
    "blind": 0.0,
    "permute": 0.3,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One model, one benchmark of 160 items: something that helps, something that hurts, and two controls."""
    where = tmp_path_factory.mktemp("front")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(make_runs.N, "emoset", 160)
        for method, skill in SKILLS.items():
            run(where, "sepm_llava", LLAVA, method, "emoset", skill, DAY)
        run(where, "llava_hf", LLAVA, "", "emoset", 0.4, DAY)
    for path in (where / "journals").glob("*"):  # DivPrune drops tokens in the journal too, FastV does not
        few = {"tokens_left": 21} if "divprune" in path.name else {}
        slow = {"seconds": 0.25 if "zero_shot.jsonl" in path.name else 0.5}
        write_lines(path, [{**line, **few, **slow} for line in read_lines(path)])
    return where


@pytest.fixture(scope="module")
def runs(folder):
    return read_runs([folder])


@pytest.fixture(scope="module")
def told(runs):
    return compared(runs)[0]


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are put together and not rendered."""
    monkeypatch.setattr(figures, "_saved", lambda canvas, form, metadata: b"<svg/>")


def test_one_sentence_for_each_method(told):
    helped, *others = findings(of_methods(told))
    number = r"\d+\.\d"
    measured = rf"{number} points \(95 % interval {number} to {number}, adjusted p < 0\.001\)"
    assert re.fullmatch(rf"SEPM on llava-1\.5-7b-hf: helped on emoset by {measured}\.", helped)
    assert others[-1].startswith("Zero-shot-CoT on llava-1.5-7b-hf: hurt on emoset by ")
    (pruned,) = [one for one in others if one.startswith("DivPrune, 192 tokens")]
    assert re.search(
        rf": no significant difference from zero-shot on emoset \([+-]{number} points, -{number} to {number}", pruned
    )
    (dead,) = [one for one in others if one.startswith("FastV, 0.25 of the tokens")]
    assert ": dropped no visual token, so no result, on emoset (" in dead
    assert len(others) == 3, "neither controls nor a stock model are methods"


def test_no_control_is_a_method_that_helped(told):
    (sepm,) = [one for one in told if one.run.method == "sepm"]
    controls = [name for name in find_methods() if kind_of(name) == "control"]
    assert {"blind", "permute", "random", "random_drop", "uniform"} <= set(controls)
    identities = [dataclasses.replace(sepm.run.identity, method=name) for name in controls]
    renamed = [dataclasses.replace(sepm, run=dataclasses.replace(sepm.run, identity=one)) for one in identities]
    assert of_methods([*renamed, sepm]) == [sepm]


def test_the_first_sentence_counts_them(told):
    assert conclusion(of_methods(told)) == (
        "Of 4 comparisons of a method with zero-shot: 1 better than zero-shot, 1 worse, 1 with no significant "
        "difference, 1 without a dropped token and so no result (p < 0.05, adjusted for all)."
    )
    assert conclusion([]) == ""


def test_the_verdict_goes_by_the_adjusted_p(told):
    (sepm,) = [one for one in told if one.run.method == "sepm"]
    assert verdict(sepm) == "helped"
    assert verdict(dataclasses.replace(sepm, p_holm=0.05)) == "open"
    assert verdict(dataclasses.replace(sepm, p_holm=0.0499)) == "helped"


def test_the_noise_floor_is_said(runs):
    by_name = {one.method: one for one in runs}
    blind, plain, moved = (by_name[name].accuracy for name in ("blind", "zero_shot", "permute"))
    (told,) = noise_floor(runs)
    without = f"Without the picture: {blind:.1f} % right (zero-shot {plain:.1f} %, chance 12.5 %)"
    other = f"Options in another order: accuracy {moved - plain:+.1f} points, "
    assert told.startswith(f"llava-1.5-7b-hf on emoset: {without}; {other}")
    assert noise_floor([one for one in runs if one.method == "sepm"]) == []


def test_models_of_one_last_name_keep_the_rest(runs):
    others = [dataclasses.replace(runs[0], model=name) for name in ("a/final", "b/final", "b/other")]
    assert short_names(others) == {"a/final": "a/final", "b/final": "b/final", "b/other": "other"}


def test_the_page_begins_with_it(runs, tmp_path, undrawn):
    page = write_report(runs, tmp_path)
    text = html.unescape(page.read_text(encoding="utf-8"))
    parts = (
        "Which method helped",
        "Of 4 comparisons",
        "SEPM on llava-1.5-7b-hf: helped",
        "Noise floor",
        "What helped ·",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert (
        places[-1]
        < text.index("Accuracy against cost ·")
        < text.index('id="table-pages"')
        < text.index('id="table-table1')
    )
    markdown = page.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.index("Of 4 comparisons") < markdown.index("figures/forest") < markdown.index("## Table 1")


def test_without_zero_shot_it_says_why_nothing_is_compared(runs, tmp_path, undrawn):
    page = write_report([one for one in runs if one.method == "sepm"], tmp_path)
    assert "No method is compared: that takes a zero-shot run" in page.read_text(encoding="utf-8")


def test_a_trial_has_no_best_values(tmp_path, undrawn):
    for method in ("zero_shot", "sepm"):
        run(tmp_path, "sepm_llava", LLAVA, method, "emotion6", 0.5, DAY)
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, DAY, items=slice(0, 16), available=32)
    page = write_report(read_runs([tmp_path]), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "no result to report" in text
    assert "Which method helped in this trial" in text
    assert 'class="best"' not in text
    whole = write_report([one for one in read_runs([tmp_path]) if one.task == "emotion6"], tmp_path / "whole")
    assert 'class="best"' in whole.read_text(encoding="utf-8")


def test_names_that_people_read(runs):
    assert {one.variant: one.called for one in runs} == {
        "zero_shot": "Zero-shot",
        "sepm": "SEPM",
        "zero_shot_cot": "Zero-shot-CoT",
        "divprune": "DivPrune, 192 tokens",
        "fastv (budget=0.25)": "FastV, 0.25 of the tokens",
        "blind": "Without the picture",
        "permute": "Options in another order",
        "llava_hf": "llava_hf",
    }
    written = {record.get("method", "sepm") for table in all_tables(runs) for record in table.records}
    assert written == {one.variant for one in runs}, "in files for programs the identifiers stay"


def test_every_method_has_a_title_of_its_own():
    titles = [method_title(name) for name in find_methods()]
    assert len(set(titles)) == len(titles)
    assert all("_" not in title and title[0].isupper() for title in titles)


def test_a_variation_does_not_inherit_a_title(monkeypatch):
    """A class of another package that builds on SEPM is not called SEPM."""
    mine = type("Mine", (Sepm,), {})
    monkeypatch.setattr("sepm_eval.methods.find_method", lambda name: mine)
    assert method_title("mine") == "mine"


def test_a_method_that_is_not_installed_has_its_name():
    assert method_title("nowhere") == "nowhere"


def test_no_two_variants_are_called_the_same(runs):
    sepm, plain = (next(one for one in runs if one.method == method) for method in ("sepm", "zero_shot"))
    named = arranged([sepm, dataclasses.replace(plain, called="SEPM")])
    assert {one.called for one in named} == {"SEPM [sepm]", "SEPM [zero_shot]"}


def test_tables_of_ablations_need_an_ablation(tmp_path, runs):
    assert [table.title.split(" ")[1] for table in paper_tables(runs)] == ["1"]
    for method in ("sepm,beta=0.1", "sepm"):
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    assert [table.title.split(" ")[1] for table in paper_tables(read_runs([tmp_path]))] == ["1"]
    run(tmp_path, "sepm_llava", LLAVA, "random_drop", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm,vta=False", "emoset", 0.5, DAY)
    assert [table.title.split(" ")[1] for table in paper_tables(read_runs([tmp_path]))] == ["1", "2", "3"]


def test_columns_stand_in_one_order(runs):
    """Method, model and benchmark first, the method in the column that stays."""
    some = [*all_tables(runs), *detail_tables(runs)]
    assert len([table for table in some if table.columns[:3] == RUN_COLUMNS]) >= 6
    for table in some:
        if {"model", "method", "benchmark"} & set(table.columns):
            assert table.columns[:3] == RUN_COLUMNS or table.columns[0] == "method"


def test_cells_and_points_lead_to_their_items(runs, tmp_path):
    """Whoever shows items says where; the way from a page in pages/ goes up first."""
    asked = []

    def link(items):
        asked.append(items)
        return f"items.html#{items['method']}&{items.get('flip', items.get('item', ''))}"

    write_report(runs, tmp_path, link=link)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'href="items.html#sepm&amp;wrong → right"' in text
    (drawing, *_) = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert re.search(r'<a href="items.html#sepm&amp;" aria-label="sepm, [^"]+, emoset">', drawing)
    assert ElementTree.fromstring(drawing).get("aria-label").startswith("What each method changed")
    (page,) = (tmp_path / "pages").glob("*.html")
    assert 'href="../items.html#sepm&amp;' in page.read_text(encoding="utf-8")
    counted = [items for items in asked if items.get("answer") == "awe" and items["method"] == "sepm"]
    assert {(items["task"], items["model"]) for items in counted} == {("emoset", LLAVA)}
    assert any(items.get("label") == "awe" for items in counted)


def test_a_drawing_needs_no_style_of_its_own():
    drawn = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">
      <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
      <g id="items-0"><path style="fill: none; stroke: #123456"/></g></svg>"""
    text = inline_svg(Figure("k", "t", "<c>", b"", drawn, ({"method": "<m>"},)), lambda items: "")
    assert "style" not in text
    assert 'fill="none" stroke="#123456"' in text
    assert "<title>&lt;m&gt;</title>" in text
    assert "<a " not in text


def test_confusions_are_counted(runs):
    sepm = next(one for one in runs if one.method == "sepm")
    table = confusion(sepm)
    for row, label in zip(table.rows, sepm.options.labels, strict=True):
        mine = [one for one in sepm.scored if one.target == label]
        assert row[0].text == label
        assert sum(cell.value for cell in row[1:]) == len(mine)
        right = row[table.columns.index(label)]
        assert right.value == sum(one.score.correct for one in mine)
        assert right.shade == right.value / len(mine)


def test_the_pareto_plot_has_operations_and_seconds(runs, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_saved", lambda canvas, form, metadata: drawn.append(canvas) or b"<svg/>")
    figure = pareto(runs)
    assert len(figure.items) == 6, "the costs of a stock model are not known, and without the picture none is shown"
    operations, seconds = drawn[-1].axes
    assert operations.get_xlabel() == "operations per question (TFLOP)"
    assert seconds.get_xlabel() == "seconds per question"
    spent = {line.get_label(): float(line.get_xdata()[0]) for line in seconds.lines if line.get_label()[0] != "_"}
    assert spent["Zero-shot"] == 0.25
    assert spent["SEPM"] == 0.5
    work = {line.get_label(): float(line.get_xdata()[0]) for line in operations.lines if line.get_label()[0] != "_"}
    assert work["DivPrune, 192 tokens"] < work["Zero-shot"] < work["SEPM"]


def test_no_pareto_plot_without_costs():
    runs = [one for one in read_runs([RUNS]) if one.entry == "llava_hf"]
    assert pareto(runs) is None

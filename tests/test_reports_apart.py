"""No number under another's name: runs that differ in anything stand apart in every table, figure and file."""

from __future__ import annotations

import dataclasses

import pytest
from make_runs import LLAVA, MODEL, RUNS, read_lines, run, write_lines

from sepm_eval.methods import KINDS, find_methods, kind_of
from sepm_eval.report import figures, paper, stages, tables
from sepm_eval.report.comparing import baseline_of, comparisons, flips
from sepm_eval.report.figures import all_figures
from sepm_eval.report.leaderboard import leaderboard, write_leaderboard
from sepm_eval.report.pages import Page, write_page
from sepm_eval.report.paper_tables import paper_tables
from sepm_eval.report.table import Table, main_columns, state
from sepm_eval.report.write import write_report
from sepm_eval.runs.arranging import arranged
from sepm_eval.runs.results import read_runs

DAY = "20261101_120000"
AWE = {"awe": "negative"}
# Runs of one method that differ in one thing each.
DIFFERENT = {
    "plain": {},
    "dtype": {"model": {**MODEL, "dtype": "float32"}},
    "preprocessing": {"model": {**MODEL, "image_aspect_ratio": "crop"}},
    "template": {"model": {**MODEL, "template": "plain"}},
    "new setting": {"model": {**MODEL, "peft": "/a/adapter"}},
    "weights": {"revision": "1" * 40},
    "versions": {"versions": {"torch": "2.6.0"}},
    "polarity": {"polarity": AWE},
    "weights of the method": {"weights": {"clip": "files-1"}},
    "list": {"item_list": "other"},
    "pictures": {"pictures": "other "},
    "limit": {"items": slice(0, 16), "available": 32},
    "offset": {"items": slice(16, 32), "available": 32},
}


@pytest.fixture(scope="module")
def runs():
    return read_runs([RUNS])


@pytest.fixture(autouse=True)
def unsaved(monkeypatch):
    """Figures are put together but not rendered, which takes most of the time and which test_report.py does."""
    monkeypatch.setattr(figures, "_saved", lambda canvas, form, metadata: b"<svg/>")


def both_methods(folder, task="emoset", **more):
    for method in ("zero_shot", "sepm"):
        run(folder, "sepm_llava", LLAVA, method, task, 0.5, DAY, place=f"{folder.name}-{method}", **more)


def of_two(folder, name):
    both_methods(folder / "plain")
    both_methods(folder / "other", **DIFFERENT[name])
    return read_runs([folder])


def keys(things):
    return [one.key for one in things]


@pytest.mark.parametrize("name", [name for name in DIFFERENT if name != "plain"])
def test_runs_that_differ_stand_apart(tmp_path, name):
    """In rows of every table, in files of tables and figures, on the leaderboard."""
    found = of_two(tmp_path, name)
    assert len(found) == 4
    assert len({(one.model, one.column, one.variant) for one in found}) == 4
    apart = {(one.identity.key, one.exam) for one in found}
    assert len(apart) == (1 if name in ("polarity", "weights of the method") else 2)
    for table in (tables.runs_table(found), stages.costs(found)):
        rows = [tuple(cell.text for cell in row[:3]) for row in table.rows]
        assert len(set(rows)) == 4
        assert len({(row["items"], row["model_id"], row["method"]) for row in table.records}) == 4
    assert len(tables.per_class(found)) == len(apart)
    write_report(found, tmp_path / "report")  # and no two files are one
    ranked = leaderboard(found)
    asked_same = len({one.exam for one in found}) == 1
    assert len(ranked.rows) == (4 if asked_same else 2)
    assert len(ranked.columns) == 4 + (1 if asked_same else 2)


@pytest.mark.parametrize("name", [name for name in DIFFERENT if name != "plain"])
def test_zero_shot_is_that_of_the_same_model_over_the_same_items(tmp_path, name):
    found = of_two(tmp_path, name)
    for one in found:
        base = baseline_of(one, found)
        assert base.method == "zero_shot"
        assert (base.identity.of_model, base.identity.polarity) == (one.identity.of_model, one.identity.polarity)
        assert base.exam == one.exam
    compared = comparisons(found)
    assert len(compared.rows) == 2
    assert not any(note.startswith("Not compared") for note in compared.notes)


def test_zero_shot_over_other_items_is_no_baseline(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm,beta=0.1", "emoset", 0.5, DAY, pictures="vanished ")
    found = read_runs([tmp_path])
    table = comparisons(found)
    assert [row["method"] for row in table.records] == ["sepm"]
    (reason,) = [note for note in table.notes if note.startswith("Not compared")]
    assert "had other pictures for 32 items of emoset" in reason
    assert {row["method"] for row in flips(found).records} == {"sepm"}


def test_a_zero_shot_with_another_wording_is_no_baseline(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot,preset=code", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, DAY)
    found = read_runs([tmp_path])
    assert all(baseline_of(one, found) is None for one in found)
    assert comparisons(found) is None


def test_a_stock_model_is_compared_with_ours_of_its_checkpoint(runs):
    (stock,) = [one for one in runs if one.entry == "llava_hf" and one.task == "emoset"]
    base = baseline_of(stock, runs)
    assert (base.entry, base.model, base.variant, base.exam) == ("sepm_llava", LLAVA, "zero_shot", stock.exam)


def test_two_files_of_one_name_are_refused_before_anything_is_written(tmp_path):
    table = Table("a", "A", ("x",), ())
    with pytest.raises(ValueError, match="several tables would be written to the same file: a"):
        write_page(Page("t", "s", [table, table]), tmp_path / "out", "page")
    assert not (tmp_path / "out").exists()


def test_models_of_one_last_name_have_files_of_their_own(tmp_path):
    for place in ("/a/final", "/b/final"):
        for method in ("zero_shot", "sepm"):
            where = f"{place[1]}-{method}"
            run(tmp_path / where, "sepm_llava", place, method, "emoset", 0.5, DAY, place=where)
    found = read_runs([tmp_path])
    write_report(found, tmp_path / "report")
    assert len(list((tmp_path / "report/tables").glob("table1_*.csv"))) == 2
    names = keys(all_figures(found))
    assert len(names) == len(set(names)) == 2 * 2
    assert all("a-final-" in name or "b-final-" in name for name in names)


def test_two_lists_of_a_task_are_two_columns(tmp_path):
    both_methods(tmp_path / "a")
    both_methods(tmp_path / "b", item_list="mine", items=slice(0, 20))
    found = read_runs([tmp_path])
    (table,) = [one for one in paper_tables(found) if one.key.startswith("table1")]
    assert table.columns == ("method", "emoset [mine, all 20]", "emoset [mini, all 32]")
    assert [cell.details[0].split("/")[1] for cell in table.rows[0][1:]] == ["20", "32"]
    assert len(tables.per_class(found)) == 2
    assert len([key for key in keys(all_figures(found)) if key.startswith("per_class")]) == 2


def test_only_complete_runs_are_best(tmp_path):
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.3, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 1.0, DAY)
    (path,) = tmp_path.glob("sepm_llava_sepm/*_samples_*")
    samples = read_lines(path)
    samples[0]["filtered_resps"] = "[sepm_eval: not answered] OSError: gone"
    write_lines(path, samples)
    (table,) = [one for one in paper_tables(read_runs([tmp_path])) if one.key.startswith("table1")]
    best = {row[0].text: row[1].best for row in table.rows}
    assert best == {"Zero-shot": True, "SEPM (β=0.2)": False}
    assert table.rows[1][1].details[-1] == "incomplete: 1 failed"


def test_a_trial_is_shown_apart_with_its_part(tmp_path):
    both_methods(tmp_path / "all")
    both_methods(tmp_path / "part", items=slice(8, 16), available=32)
    found = read_runs([tmp_path])
    trial = [one for one in found if len(one.outcomes) == 8]
    assert {state(one) for one in trial} == {"items 9 to 16 of 32"}
    (table,) = [one for one in paper_tables(found) if one.key.startswith("table1")]
    (place,) = [i for i, name in enumerate(table.columns) if name.endswith("items 9 to 16 of 32]")]
    assert not any(row[place].best for row in table.rows)
    assert main_columns(found) == {"emoset": "emoset [mini, all 32]"}
    board = leaderboard(found)
    assert [row[2].text for row in board.rows] == ["1", "2"]  # by the whole list; the trial stands beside it
    assert "emoset [mini, items 9 to 16 of 32] is not in it" in board.notes[0]
    page = write_report(found, tmp_path / "report").with_suffix(".md").read_text(encoding="utf-8")
    assert ": 2 of the runs are over a part of the task (items 9 to 16 of 32): no result to report." in page


def test_ranks_are_over_equal_items(tmp_path):
    """WebEmo's pictures vanish: 27 of 92 and 14 of 52 are no two numbers of one column."""
    run(tmp_path, "sepm_llava", LLAVA, "zero_shot", "emoset", 0.5, DAY)
    run(tmp_path, "sepm_llava", LLAVA, "sparsevlm", "emoset", 0.5, DAY, items=slice(6, 20))
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, DAY)
    board = leaderboard(read_runs([tmp_path]))
    assert {row[0].text: row[2].text for row in board.rows}["SparseVLM, 192 tokens"] == "-"
    assert sorted(row[2].text for row in board.rows) == ["-", "1", "2"]


def six_tasks(monkeypatch, folder):
    from make_runs import N

    for task in (*paper.TABLES[0].tasks, "artphoto"):
        monkeypatch.setitem(N, task, 25)
        both_methods(folder / task, task=task)
    return read_runs([folder])


def test_means_say_what_they_are_over(tmp_path, monkeypatch):
    found = six_tasks(monkeypatch, tmp_path)
    (table,) = [one for one in paper_tables(found) if one.key.startswith("table1")]
    assert table.columns[-2:] == ("artphoto", "average")
    (note,) = [one for one in table.notes if one.startswith("Average")]
    five = ", ".join(paper.TABLES[0].tasks)
    assert note == (
        f"Average: over the paper's five tasks. The mean is over {five}, each counting the same; artphoto is not in it."
    )
    values = [cell.value for cell in table.rows[0][1:6]]
    assert table.rows[0][-1].value == pytest.approx(sum(values) / 5)
    board = leaderboard(found)
    assert board.notes[0].startswith("Ranked by the mean. The mean is over ")
    assert "artphoto" in board.notes[0]
    assert "not in it" not in board.notes[0]


def test_an_average_is_of_complete_runs(tmp_path, monkeypatch):
    six_tasks(monkeypatch, tmp_path)
    (path,) = (tmp_path / "abstract").glob("abstract-sepm/*_samples_*")
    samples = read_lines(path)
    samples[0]["filtered_resps"] = "[sepm_eval: not answered] OSError: gone"
    write_lines(path, samples)
    (table,) = [one for one in paper_tables(read_runs([tmp_path])) if one.key.startswith("table1")]
    assert [row[-1].text == "-" for row in table.rows] == [False, True]


def test_polarities_set_by_hand_are_not_the_papers(tmp_path):
    both_methods(tmp_path / "a", polarity=AWE)
    found = read_runs([tmp_path])
    assert not any(row.is_that_of(one) for table in paper.TABLES for row in table.rows for one in found)
    assert paper_tables(found) == []
    assert {one.variant for one in found} == {"zero_shot (awe is negative)", "sepm (awe is negative)"}


def test_the_runs_polarity_is_used_everywhere(tmp_path, monkeypatch):
    """Awe counted as negative: in the coarse table, in Fig. 5 and 6, and in the table by label."""
    both_methods(tmp_path / "a")
    both_methods(tmp_path / "b", polarity=AWE)
    found = read_runs([tmp_path])
    plain, other = (
        next(one for one in found if one.method == "sepm" and bool(one.identity.polarity) is by_hand)
        for by_hand in (False, True)
    )
    assert [one.output for one in plain.outcomes] == [one.output for one in other.outcomes]
    awe = [outcome.target == "awe" for outcome in plain.outcomes]
    truth = [stages.coarse_stage(one)[2] for one in (plain, other)]
    assert [a != b for a, b in zip(*truth, strict=True)] == awe
    (table,) = tables.per_class([other])
    assert next(row[1].text for row in table.rows if row[0].text == "awe") == "negative"
    (table,) = tables.per_class([plain, other])
    sides = {row["method"]: row["polarity"] for row in table.records if row["label"] == "awe"}
    assert sides == {"sepm": "positive", "sepm (awe is negative)": "negative"}
    drawn = []
    monkeypatch.setattr(figures, "_saved", lambda canvas, form, metadata: drawn.append(canvas) or b"<svg/>")
    heights = []
    for one in (plain, other):
        figures._confidence([one])
        (axes,) = drawn[-1].axes
        right, _ = (container.lines[0].get_ydata() for container in axes.containers)
        heights.append(list(right))
    assert heights[0] != heights[1]


def test_of_repeated_runs_the_others_are_named(runs, tmp_path):
    for write in (write_report, write_leaderboard):
        page = write(runs, tmp_path / write.__name__)
        text = page.with_suffix(".md").read_text(encoding="utf-8").replace("\\", "")
        assert (
            "sepm_llava_zero_shot/20261102_120000_emotion6_results.json counts; superseded, as the same run over the "
            "same items: sepm_llava_zero_shot/20261101_120000_emotion6_results.json."
        ) in text
        assert "2026-11-02 12:00 UTC" in text


def test_names_do_not_depend_on_what_stands_beside(runs):
    """Files of one model are called alike, whether or not another is reported with it."""
    alone = arranged([dataclasses.replace(one, model="", column="") for one in runs if one.entry == "sepm_vila"])
    assert set(keys(tables.all_tables(alone))) <= set(keys(tables.all_tables(runs)))
    assert set(keys(all_figures(alone))) <= set(keys(all_figures(runs)))


def test_settings_that_are_written_alike_are_told_apart():
    """True and "True" differ in the digest, and so in the name, of ours and of stock models."""
    (ours,) = [one for one in read_runs([RUNS]) if one.title == f"{LLAVA}: sepm" and one.task == "emoset"]
    (stock,) = [one for one in read_runs([RUNS]) if one.entry == "llava_hf" and one.task == "emoset"]
    for one in (ours, stock):
        identities = [dataclasses.replace(one.identity, model={"load_in_4bit": value}) for value in (True, "True")]
        named = arranged([dataclasses.replace(one, identity=identity, model="") for identity in identities])
        assert len({found.model for found in named}) == 2


def test_methods_stand_in_the_order_of_their_kinds(tmp_path):
    """Plain ones, those that prune, controls, those made for emotions, stock models; each kind by name."""
    names = ["sepm", "dan", "random_drop", "blind", "fastv", "divprune", "zero_shot_cot", "zero_shot"]
    for name in names:
        run(tmp_path, "sepm_llava", LLAVA, name, "emoset", 0.5, "20261101_120000")
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    found = [one.method for one in read_runs([tmp_path])]
    plain, rest = ["zero_shot", "zero_shot_cot"], ["divprune", "fastv", "blind", "random_drop", "dan", "sepm"]
    assert found == [*plain, *rest, "llava_hf"]


def test_every_method_says_what_it_is_to_the_others():
    assert {kind_of(name) for name in find_methods()} == set(KINDS)
    assert kind_of("llava_hf") == kind_of("nonsense") == ""

"""The report of the miniature runs: golden text and tables, escaping, figures, and a page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from make_runs import LLAVA, NASTY, RUNS, read_lines, run, write_lines
from PIL import Image

from sepm_eval import demo
from sepm_eval.report import figures, paper, power, tables
from sepm_eval.report.figures import all_figures
from sepm_eval.report.leaderboard import leaderboard
from sepm_eval.report.write import write_report
from sepm_eval.runs.results import read_runs

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def runs():
    return read_runs([RUNS])


@pytest.fixture(scope="module")
def report(tmp_path_factory, runs):
    folder = tmp_path_factory.mktemp("report")
    write_report(runs, folder)
    return folder


def golden(name: str, text: str, update: bool) -> None:
    path = GOLDEN / name
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} has changed; if it should, run pytest --update-golden"


def test_golden_text(report, request):
    update = request.config.getoption("--update-golden")
    golden("report.md", (report / "report.md").read_text(encoding="utf-8"), update)
    (page,) = (report / "pages").glob("llava*_emoset.md")
    golden("page.md", page.read_text(encoding="utf-8"), update)


@pytest.mark.parametrize("name", ["table1_llava", "comparisons", "calibration", "cost", "unparsed", "failed"])
def test_golden_tables(report, request, name):
    (path,) = (report / "tables").glob(f"{name}*.csv")
    golden(f"{name}.csv", path.read_text(encoding="utf-8"), request.config.getoption("--update-golden"))


def test_the_papers_figures_and_differences():
    """Every figure of Tables 1-3, its mean as printed there, and the improvements it states."""
    table1, table2, table3, *_ = paper.TABLES
    llava = {row.label: row.accuracy["LLaVA-7b"] for row in table1.rows}
    vila = {row.label: row.accuracy["VILA-8b"] for row in table1.rows if "VILA-8b" in row.accuracy}
    means = {label: round(sum(found.values()) / 5, 2) for label, found in llava.items()}
    printed = {"Zero-shot": 34.04, "Zero-shot-CoT": 33.04, "SparseVLM": 34.59, "SEPM (β=0.1)": 40.04}
    assert means == {**printed, "SEPM (β=0.2)": 39.92}
    means = {label: sum(found.values()) / 5 for label, found in vila.items()}
    printed = {"Zero-shot": 33.83, "Zero-shot-CoT": 32.64, "SEPM (β=0.1)": 38.37, "SEPM (β=0.2)": 38.01}
    assert means == pytest.approx(printed, abs=0.0051)
    gains = {task: llava["SEPM (β=0.1)"][task] - llava["Zero-shot"][task] for task in table1.tasks}
    assert gains == pytest.approx(dict(zip(table1.tasks, (5.89, 3.27, 16.83, 2.55, 1.43), strict=True)))
    same = {row.label: row.accuracy["LLaVA-7b"] for row in table3.rows}
    for task in table3.tasks:
        assert same["none"][task] == llava["Zero-shot"][task]
        assert same["CCI + FP + VTA"][task] == llava["SEPM (β=0.2)"][task]
        assert table2.rows[4].accuracy["LLaVA-7b"][task] == llava["SEPM (β=0.1)"][task]


def test_n_follows_from_the_papers_figures():
    """Emotion6 and Abstract: every figure of the paper is k/N to two decimals, so none is of another N."""
    for table in paper.TABLES[:3]:
        for row in table.rows:
            for one in row.accuracy.values():
                for task, figure in one.items():
                    assert paper.SEPM.n_of(task, figure) == {"emotion6": 594, "abstract": 280}.get(task)


def test_the_figures_of_dan():
    """Its printed averages, and the item lists that its columns mix."""
    (table,) = [table for table in paper.TABLES if table.name == "DAN, Table 1"]
    printed = {
        "Qwen2.5-VL-7B": (41.83, 41.92, 43.56, 45.56),
        "Qwen3-VL-4B": (40.69, 41.13, 44.11, 46.34),
        "Qwen3-VL-8B": (42.04, 41.49, 43.53, 46.25),
        "InternVL3.5-8B": (38.79, 39.80, 41.63, 44.38),
    }
    for model, averages in printed.items():
        means = [sum(row.accuracy[model].values()) / 5 for row in table.rows]
        assert means == pytest.approx(averages, abs=0.0101)
    figures = [figures for row in table.rows for figures in row.accuracy.values()]
    found = {task: {one[task]: paper.DAN.n_of(task, one[task]) for one in figures} for task in table.tasks}
    assert {figure for figure, n in found["abstract"].items() if n == 280} == {20.00, 28.93, 26.79, 30.36}
    assert set(found["abstract"].values()) == {228, 280}
    unknown = {figure for figure, n in found["emotion6"].items() if n is None}
    assert unknown == {58.33, 61.58, 60.31, 52.85, 55.97, 54.87}
    assert set(found["emotion6"].values()) == {594, None}
    assert {*found["webemo7"].values(), *found["webemo25"].values()} == {2000}
    assert {*found["emoset"].values()} == {None}


def test_the_ablations_of_dan_end_in_the_rows_of_its_first_table():
    """Each ends in DAN as it is; Table 2 begins with zero-shot; Table 5 begins where Table 2 has no CDVP."""
    table, *ablations = [table for table in paper.TABLES if table.paper is paper.DAN]
    first = {row.label: [row.accuracy["Qwen3-VL-8B"][task] for task in ablations[0].tasks] for row in table.rows}
    found = [[list(row.accuracy["Qwen3-VL-8B"].values()) for row in one.rows] for one in ablations]
    assert [rows[-1] for rows in found] == [first["DAN"]] * 5
    assert (found[0][0], found[3][0]) == (first["Zero-shot"], found[0][3])
    assert [len(rows) for rows in found] == [6, 3, 4, 5, 4]


def test_the_figures_of_dan_stand_beside_runs_of_its_models(tmp_path):
    for model in ("Qwen/Qwen3-VL-4B-Instruct", LLAVA):
        for method in ("zero_shot", "zero_shot_cot", "sepm", "sepm,beta=0.1", "sparsevlm"):
            run(tmp_path, "sepm_hf", model, method, "emotion6", 0.5, "20261101_120000", place=f"{model[:4]}{method}")
    found = tables.paper_tables(read_runs([tmp_path]))
    (table,) = [table for table in found if table.title.startswith("DAN, Table 1")]
    assert "Qwen3-VL-4B-Instruct" in table.title
    assert table.key.startswith("dan_table1_")
    shown = {row[0].text: row[1].details for row in table.rows}
    assert list(shown) == ["Zero-shot", "Zero-shot-CoT", "SEPM", "SparseVLM, 192 tokens"]  # it compares no beta=0.1
    assert shown["Zero-shot"][1].startswith("paper 55.21 of 594 (")
    assert shown["SEPM"][1].startswith("paper 60.31 (")
    assert [record["paper_n"] for record in table.records] == [594, 594, None, None]
    assert all(row[1].details[-1].startswith("detectable ") for row in table.rows)
    notes = " ".join(table.notes)
    assert "Detectable: the smallest difference" in notes
    assert "Ye et al., arXiv 2609.36782" in notes
    assert "in abstract most are shares of 228 items and some of 280" in notes
    assert "emotion6: N is 30 here and 594 in the paper." in notes


def test_a_figure_goes_with_the_papers_settings_only(runs):
    table1 = paper.TABLES[0]
    row = next(row for row in table1.rows if row.label == "SEPM (β=0.2)")
    assert {run.variant for run in runs if row.is_that_of(run)} == {"sepm"}
    (base,) = [run for run in runs if run.variant == "llava_hf" and run.task == "emoset"]
    assert not any(row.is_that_of(base) for row in table1.rows)


@pytest.fixture
def plain(runs):
    """All runs, one of SEPM's answered by plain generation."""
    (sepm,) = [run for run in runs if (run.variant, run.task, run.model) == ("sepm", "emoset", LLAVA)]
    outcomes = tuple(dataclasses.replace(one, plain=True) for one in sepm.outcomes)
    return [dataclasses.replace(run, outcomes=outcomes) if run is sepm else run for run in runs], sepm


def test_plain_answers_are_in_no_row_and_no_curve_of_the_method(plain):
    found, sepm = plain
    (answered,) = [run for run in found if run.plain]
    row = next(row for row in paper.TABLES[0].rows if row.label == "SEPM (β=0.2)")
    assert row.is_that_of(sepm)
    assert not row.is_that_of(answered)
    assert figures._is_sepm_but(sepm, "beta")
    assert not figures._is_sepm_but(answered, "beta")


def test_plain_answers_have_a_row_of_their_own_in_the_leaderboard(plain):
    found, sepm = plain
    rows = {row["method"]: row for row in leaderboard(found).records if row["model"] == LLAVA}
    assert rows["sepm (plain answering)"]["emoset"] == sepm.accuracy
    assert rows["sepm"]["emoset"] is None


def test_nothing_of_an_answer_is_markup(report):
    (page,) = (report / "pages").glob("llava*_emotion6.html")
    told = page.read_text(encoding="utf-8")
    assert "<script>document.title" not in told
    assert "&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt; | **joy** =1+1" in told
    text = page.with_suffix(".md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert r"&lt;/script&gt; \| \*\*joy\*\* =1+1" in text


def test_a_spreadsheet_takes_no_answer_for_a_formula(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    (log,) = tmp_path.rglob("*_samples_emoset.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples[0]["filtered_resps"] = "=HYPERLINK(1)"
    log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    write_report(read_runs([tmp_path]), tmp_path / "report")
    with (tmp_path / "report/tables/unparsed.csv").open(newline="") as file:
        assert [row["output"] for row in csv.DictReader(file)] == ["'=HYPERLINK(1)"]


def pages(report):
    return [report / "report.html", *sorted((report / "pages").glob("*.html"))]


@pytest.mark.parametrize("which", range(5))
def test_a_page_needs_nothing_but_the_other_pages(report, which):
    path = pages(report)[which]
    page = path.read_text(encoding="utf-8")
    for kind, address in re.findall(r"""\b(src|href)=["']([^"']*)""", page):
        assert address.startswith(("data:", "#")) or (kind == "href" and (path.parent / address).is_file()), address
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)  # clip paths of a drawing
    assert " style=" not in page, "the policy admits none, so it would be an error in the console"
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_what_is_missing_is_said_first(report):
    text = (report / "report.md").read_text(encoding="utf-8")
    assert text.index("SparseVLM, 192 tokens is incomplete: 1 question failed") < text.index("## ")


def test_every_figure_is_a_file(report, runs):
    figures = {path.name for path in (report / "figures").iterdir()}
    for wanted in ("sensitivity_alpha", "sensitivity_beta", "confidence", "per_class", "forest", "pareto"):
        assert any(name.startswith(wanted) and name.endswith(".png") for name in figures), wanted
    for name in figures:
        path = report / "figures" / name
        if name.endswith(".png"):
            with Image.open(path) as picture:
                assert min(picture.size) > 300
        else:
            assert path.read_text(encoding="utf-8").startswith("<?xml")
    shown = [page.read_text(encoding="utf-8") for page in pages(report)]
    assert sum(page.count("data:image/png;base64,") + page.count("<svg ") for page in shown) == len(figures) / 2


def test_dropped_tokens_are_drawn_over_the_pictures(tmp_path):
    """Fig. 4 needs the pictures and two drop rates; the left picture is whole, the right most covered."""
    pictures = sorted((demo.PICTURES / "seen").glob("*_000.jpg"))
    for beta in (0.2, 0.4):
        method = f"sepm,beta={beta}"
        run(tmp_path, "sepm_llava", LLAVA, method, "emoset", 0.5, "20261101_120000")
    for log in tmp_path.rglob("*_samples_emoset.jsonl"):
        samples = [json.loads(line) for line in log.read_text().splitlines()]
        for sample, picture in zip(samples, pictures, strict=False):
            sample["input_media"] = [str(picture)]
        log.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    found = [figure for figure in all_figures(read_runs([tmp_path])) if figure.key.startswith("dropped")]
    assert len(found) == 1
    with Image.open(io.BytesIO(found[0].png)) as picture:
        dark = np.asarray(picture.convert("L")) < 70
    thirds = [part.mean() for part in np.array_split(dark, 3, axis=1)]
    assert thirds[0] < thirds[1] < thirds[2]


def test_journals_that_do_not_say_where_tokens_lie_have_no_such_figure(tmp_path, caplog):
    """Those of version 0.2.0. A journal edited by hand to something impossible has none either, and says so."""
    pictures = sorted((demo.PICTURES / "seen").glob("*_000.jpg"))
    for beta in (0.2, 0.4):
        run(tmp_path, "sepm_llava", LLAVA, f"sepm,beta={beta}", "emoset", 0.5, "20261101_120000")
    for log in tmp_path.rglob("*_samples_emoset.jsonl"):
        samples = read_lines(log)
        for sample, picture in zip(samples, pictures, strict=False):
            sample["input_media"] = [str(picture)]
        write_lines(log, samples)
    journals = list((tmp_path / "journals").glob("*"))
    whole = {path: read_lines(path) for path in journals}
    for blocks, message in (
        (None, "does not say where they lie"),
        (
            [{"box": [0, 0, 9, 9], "rows": 1, "columns": 2, "separators": "none", "by_columns": False}],
            "tokens [2, 3, 4, 5, 6] cannot have been dropped",
        ),
    ):
        for path, records in whole.items():
            write_lines(path, [{**record, "blocks": blocks} for record in records])
        keys = {figure.key.partition("_")[0] for figure in all_figures(read_runs([tmp_path]))}
        assert "dropped" not in keys
        assert "confidence" in keys
        assert "the figure of dropped visual tokens is left out" in caplog.text
        assert message in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "changed",
    [{"rows": 0}, {"rows": 10**7}, {"columns": 2.0}, {"box": [0, 0, 9]}, {"box": [9, 0, 0, 9]}, {"separators": "all"}],
)
def test_blocks_that_are_none_are_a_damaged_journal(tmp_path, changed):
    run(tmp_path, "sepm_llava", LLAVA, "sepm", "emoset", 0.5, "20261101_120000")
    (path,) = (tmp_path / "journals").glob("*")
    first, *others = read_lines(path)
    write_lines(path, [{**first, "blocks": [{**first["blocks"][0], **changed}]}, *others])
    with pytest.raises(ValueError, match="line 1 is not a journal record"):
        read_runs([tmp_path])


def test_no_figure_without_what_it_needs(tmp_path):
    run(tmp_path, "llava_hf", LLAVA, "", "emoset", 0.5, "20261101_120000")
    keys = {figure.key.partition("_")[0] for figure in all_figures(read_runs([tmp_path]))}
    assert keys == {"per"}


def test_cost_is_in_operations(runs):
    """Of the model's shapes; tokens stand beside them: SparseVLM reads as many as zero-shot, and costs half of it."""
    rows = {(row["task"], row["model"], row["method"]): row for row in tables.costs(runs).records}
    plain, sepm, sparse = (rows["emoset", LLAVA, method] for method in ("zero_shot", "sepm", "sparsevlm"))
    assert plain["operations_times_zero_shot"] == 1
    assert 1.7 < sepm["operations_times_zero_shot"] < 1.9
    assert 0.4 < sparse["operations_times_zero_shot"] < 0.6
    assert sparse["visual_tokens_read"] == plain["visual_tokens_read"] == 64
    assert (sepm["visual_tokens_read"], sepm["visual_tokens"], sepm["tokens_a_layer"]) == (64 + 64 - 12, 64, 52)
    total, base = (row["prefill_tflop"] + row["writing_tflop"] for row in (sepm, plain))
    assert sepm["operations_times_zero_shot"] == pytest.approx(total / base)
    assert sepm["seconds"] is None, "these journals do not say"


def test_flips_are_counted_and_listed(runs):
    listed = [row for row in tables.flips(runs).records if (row["method"], row["task"]) == ("sepm", "emoset")]
    (counted,) = [
        row
        for row in tables.comparisons(runs).records
        if (row["method"], row["task"], row["model"]) == ("sepm", "emoset", LLAVA)
    ]
    mine = [row for row in listed if row["model"] == LLAVA]
    assert sum(row["flip"] == "wrong → right" for row in mine) == counted["wrong_to_right"]
    assert sum(row["flip"] == "right → wrong" for row in mine) == counted["right_to_wrong"]


def test_the_leaderboard_ranks_complete_runs(runs):
    table = leaderboard(runs)
    ranks = [(row[2].text, row[0].text) for row in table.rows]
    assert [rank for rank, _ in ranks[:-1]] == sorted((rank for rank, _ in ranks[:-1]), key=int)
    assert ranks[-1] == ("-", "SparseVLM, 192 tokens")  # one of its questions failed
    best = table.records[0]
    assert best["mean"] == max(row["mean"] for row in table.records if row["mean"] is not None)
    of_emoset = [run for run in runs if run.task == "emoset" and run.variant == best["method"]]
    (run,) = [run for run in of_emoset if run.identity.key == best["model_id"]]
    share = power.detectable_unpaired(run.right, len(run.scored))
    assert best["detectable emoset"] == pytest.approx(100 * share)
    (cell,) = [cell for cell, name in zip(table.rows[0], table.columns, strict=True) if name == "emoset"]
    assert f"detectable {100 * share:.1f}" in cell.details


def test_the_unusual_answer_is_in_the_list(runs):
    (row,) = tables.unanswered(runs, "unparsed").records
    assert row["output"] == NASTY

"""Which counts a printed percentage can be: against exhaustive search, on the command line and in the report."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal, localcontext

import make_runs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.report import paper, tables
from sepm_eval.report.grim import Counts, counts, fits, read_table, shown
from sepm_eval.runs.results import read_runs


def printed(k, n, decimals, how):
    """What k/n prints as, in percent."""
    with localcontext() as context:
        context.prec = 60
        return str((Decimal(100 * k) / n).quantize(Decimal(1).scaleb(-decimals), rounding=how))


@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_counts_are_those_of_an_exhaustive_search(decimals):
    """Every figure that some k/n prints as, and its neighbours, for every n up to 48."""
    for n in range(1, 49):
        rounded, cut = {}, {}
        for k in range(n + 1):
            for how in (ROUND_HALF_UP, ROUND_HALF_DOWN):
                rounded.setdefault(printed(k, n, decimals, how), set()).add(k)
            cut.setdefault(printed(k, n, decimals, ROUND_DOWN), set()).add(k)
        step = Decimal(1).scaleb(-decimals)
        near = {str(Decimal(one) + move) for one in {*rounded, *cut} for move in (-step, 0, step)}
        for figure in (one for one in near if 0 <= Decimal(one) <= 100):
            found = counts(figure, n)
            assert set(found.rounded) == rounded.get(figure, set()), (figure, n)
            assert set(found.cut) == cut.get(figure, set()), (figure, n)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 4))
def test_what_a_count_prints_as_is_traced_back_to_it(share, decimals):
    k, n = share
    for how in (ROUND_HALF_UP, ROUND_HALF_DOWN):
        assert k in counts(printed(k, n, decimals, how), n).rounded
    assert k in counts(printed(k, n, decimals, ROUND_DOWN), n).cut
    for one in counts(printed(k, n, decimals, ROUND_DOWN), n).cut:
        assert printed(one, n, decimals, ROUND_DOWN) == printed(k, n, decimals, ROUND_DOWN)


def test_rounded_and_cut_are_told_apart():
    """328/594 is 55.2188..."""
    assert counts("55.22", 594) == Counts(rounded=range(328, 329), cut=range(0))
    assert list(counts("55.21", 594).cut) == [328]
    assert not counts("55.21", 594).rounded
    assert fits("55.21", 594)
    assert fits("55.22 %", 594)
    assert not fits("58.33", 594)
    assert list(counts("58.33", 1980).rounded) == [1155]


def test_decimals_are_taken_as_printed():
    assert list(counts("20.00", 280).rounded) == [56]
    assert list(counts("20", 280).rounded) == [55, 56, 57]
    assert [shown(range(3, 3)), shown(range(3, 5)), shown(range(3, 9))] == ["none", "3, 4", "3 to 8"]


@pytest.mark.parametrize("figure", ["", "58,33", "-1", "100.01", "101", "1e2", "5.", "٣", "nan"])
def test_what_is_no_percentage_is_refused(figure):
    with pytest.raises(ValueError, match="is no percentage from 0 to 100"):
        counts(figure, 594)


def test_a_figure_is_of_something():
    with pytest.raises(ValueError, match="at least one item"):
        counts("50.00", 0)


def call(*arguments, code=0):
    result = CliRunner().invoke(app, ["grim", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return re.sub(r"[\s│┃]+", " ", result.output)


def test_the_command_lists_the_counts():
    output = call("58.33", "--n", "594,1980")
    assert "58.33 594 none none" in output
    assert "58.33 1980 1155 1155" in output
    assert "58.33 is not k/N for any N in 594" in call("58.33", "55.21", "--n", "594", code=1)
    assert "write numbers of items, such as 594,1980" in call("58.33", "--n", "many", code=1)
    assert "write numbers of items" in call("58.33", "--n", "0", code=1)
    assert "'58,33' is no percentage" in call("58,33", "--n", "594", code=1)


def test_the_command_reads_a_table(tmp_path):
    """Two columns of DAN's Table 1, zero-shot."""
    path = tmp_path / "dan.csv"
    path.write_text("model,N,Emotion6,Abstract,note\nQwen2.5-VL,594,58.33,23.68,v1.0\nQwen3-VL-4B,594,55.21,28.93%,\n")
    assert [(one.row, one.column, one.figure) for one in read_table(path)] == [
        ("Qwen2.5-VL", "Emotion6", "58.33"),
        ("Qwen2.5-VL", "Abstract", "23.68"),
        ("Qwen3-VL-4B", "Emotion6", "55.21"),
        ("Qwen3-VL-4B", "Abstract", "28.93%"),
    ]
    output = call(path, "--n", "594,280", code=1)
    assert "Emotion6 2 1 0 1" in output
    assert "Abstract 2 0 1 1" in output
    assert "Qwen2.5-VL, Emotion6, 58.33 is not k/N for any N in 594,280" in output
    assert "Qwen2.5-VL, Abstract, 23.68 is not k/N for any N in 594,280" in output
    output = call(path, "--n", "594,228,280")
    assert "Emotion6 2 1 1 0 0" in output  # 133/228 is 58.33
    assert "Abstract 2 0 1 1 0" in output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "no cell that is a number"),
        (b"", "no cell"),
        (b'a,b\n"x,58.33\n', "is no CSV"),
        (b"\xff", "CSV"),
    ],
)
def test_a_table_without_figures_is_refused(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert message in call(path, "--n", "594", code=1)
    assert "No such file" in call(tmp_path / "other.csv", "--n", "594", code=1)


def test_a_report_marks_figures_that_cannot_be_of_its_items(tmp_path, monkeypatch):
    """DAN's Emotion6 figures beside runs over 594 pictures: 58.33 is of another list, 59.76 is 355 of these."""
    monkeypatch.setitem(make_runs.N, "emotion6", 594)
    for method in ("zero_shot", "zero_shot_cot"):
        make_runs.run(tmp_path, "sepm_hf", "Qwen/Qwen2.5-VL-7B-Instruct", method, "emotion6", 0.5, "20261101_120000")
    (table,) = [one for one in tables.all_tables(read_runs([tmp_path])) if one.key.startswith("dan")]
    details = {row[0].text: row[1].details[1] for row in table.rows}
    assert re.fullmatch(r"paper 58\.33 \(.*\), no k/594", details["Zero-shot"])
    assert re.fullmatch(r"paper 59\.76 of 594 \([^,]*\)", details["Zero-shot-CoT"])
    assert {row["row"]: row["paper_can_be_of_these"] for row in table.records} == {
        "Zero-shot": False,
        "Zero-shot-CoT": True,
    }
    assert any("“no k/N”: no count of right answers" in note for note in table.notes)
    assert paper.can_be_of(20.0, 280)

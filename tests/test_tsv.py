"""The table that VLMEvalKit reads: every cell arrives, pictures inside or beside it."""

import base64

import pandas as pd
import pytest
from miniature import abstract_release, emoset_release
from miniature_hub import every_data  # noqa: F401

from sepm_eval.datasets import find_benchmarks
from sepm_eval.datasets.releases import tsv
from sepm_eval.datasets.releases.prepare import prepare, verify

BENCHMARKS = find_benchmarks()


@pytest.mark.parametrize("name", sorted(name for name, one in BENCHMARKS.items() if not one.own_questions))
def test_pandas_reads_what_was_written(tmp_path, monkeypatch, name, every_data):  # noqa: F811
    """With pandas' own settings, which VLMEvalKit uses: no label or name is taken for a missing value or a number."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(every_data))
    benchmark = BENCHMARKS[name]
    items = benchmark.items()[:40]
    tsv.write_tsv(tmp_path / "table.tsv", benchmark, items, "some")
    table = pd.read_csv(tmp_path / "table.tsv", sep="\t")
    letters = [column for column in table.columns if len(column) == 1]
    assert not table.isna().any().any()
    assert list(table["index"]) == [item.id for item in items]
    assert [list(table.iloc[0][letters]), len(letters)] == [list(benchmark.names.values()), len(benchmark.names)]
    shown = [row[row["answer"]] for _, row in table.iterrows()]
    assert shown == [benchmark.names[item.label] for item in items]
    assert list(table["category"]) == [item.label for item in items]
    assert set(table["item_list"]) == {"some"}
    assert [base64.b64decode(image) for image in table["image"]] == [item.path.read_bytes() for item in items]
    assert table["image"].str.len().min() > 64  # shorter strings are taken for the index of another row's picture


def test_a_table_too_large_names_its_pictures(tmp_path, monkeypatch):
    emoset_release(tmp_path)
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    items = BENCHMARKS["emoset"].items()
    tsv.write_tsv(tmp_path / "EmoSet.tsv", BENCHMARKS["emoset"], items, "test")
    monkeypatch.setattr(tsv, "MOST_EMBEDDED", (tmp_path / "EmoSet.tsv").stat().st_size - 500)
    monkeypatch.setenv("SEPM_EVAL_DATA", ".")
    tsv.write_tsv(tmp_path / "EmoSet.tsv", BENCHMARKS["emoset"], BENCHMARKS["emoset"].items(), "test")
    table = pd.read_csv(tmp_path / "EmoSet.tsv", sep="\t")
    assert "image" not in table
    assert list(table["image_path"]) == [str(item.path) for item in items]  # absolute


def test_prepare_writes_the_table_and_keeps_it_true(tmp_path, monkeypatch):
    release = abstract_release(tmp_path)
    (release / "abstract_0004.jpg").write_bytes(b"broken")
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    out = tmp_path / "out"
    prepare(BENCHMARKS["abstract"], out)
    table = pd.read_csv(out / "Abstract.tsv", sep="\t")
    assert len(table) == 7
    assert verify(out) == []
    prepare(BENCHMARKS["abstract"], out, "unique")
    assert set(pd.read_csv(out / "Abstract.tsv", sep="\t")["item_list"]) == {"unique"}
    with (out / "Abstract.tsv").open("a") as file:
        file.write("x")
    assert verify(out) == ["Abstract.tsv has changed since it was written"]

"""Copies on the hub, from a local cache laid out as huggingface_hub lays it out."""

import io

import pyarrow
import pytest
from miniature import emotion6_release
from miniature_hub import cache  # noqa: F401
from PIL import Image
from pyarrow import parquet
from test_prepare import _zip
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks
from sepm_eval.emotions import MIKELS


def rows(label_column="emotion", **changes):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG")
    return [
        {
            "image": {"bytes": buffer.getvalue(), "path": None},
            "image_id": f"{label}_00007",
            label_column: label,
            **changes,
        }
        for label in MIKELS
    ]


def test_emoset_from_parquet(cache):  # noqa: F811
    table = pyarrow.Table.from_pylist(rows())
    parquet.write_table(table, cache("Woleek/EmoSet-118K") / "test-00000-of-00001.parquet")
    result = CliRunner().invoke(app, ["prepare", "emoset", "--source", "hf:Woleek/EmoSet-118K"])
    assert result.exit_code == 0, result.output
    assert "N = 8" in result.output
    assert {item.id: item.label for item in find_benchmarks()["emoset"].items()} == {f"{e}_00007": e for e in MIKELS}


def test_emotion6_from_a_zip(cache, tmp_path):  # noqa: F811
    (tmp_path / "made").mkdir()
    _zip(cache("wudq/Small-Scale_VSA_Datasets") / "Emotion6.zip", emotion6_release(tmp_path / "made"))
    result = CliRunner().invoke(app, ["prepare", "emotion6", "--source", "hf:wudq/Small-Scale_VSA_Datasets"])
    assert result.exit_code == 0, result.output
    assert "N = 24" in result.output


@pytest.mark.parametrize(
    ("table", "message"),
    [(rows(emotion="joy"), "label 'joy'"), (rows(label_column="label"), "has the columns")],
)
def test_a_copy_that_is_not_what_it_was(cache, table, message):  # noqa: F811
    parquet.write_table(pyarrow.Table.from_pylist(table), cache("Woleek/EmoSet-118K") / "test-0.parquet")
    result = CliRunner().invoke(app, ["prepare", "emoset", "--source", "hf:Woleek/EmoSet-118K"])
    assert result.exit_code == 1
    assert message in result.output


def test_unknown_copies_name_the_known(cache):  # noqa: F811
    result = CliRunner().invoke(app, ["prepare", "emoset", "--source", "hf:somebody/emoset"])
    assert result.exit_code == 1
    assert "hf:Woleek/EmoSet-118K" in result.output

"""`sepm-eval datasets`: a table that fits a screen, and all of one benchmark with the command that gets it."""

from __future__ import annotations

import pytest
from miniature import emotion6_release, webemo_release
from typer.testing import CliRunner

from sepm_eval.cli import app
from sepm_eval.datasets import find_benchmarks


@pytest.fixture
def shown(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(app, ["datasets", *arguments])


def test_the_table_fits_80_columns_and_has_every_benchmark(shown, tmp_path):
    emotion6_release(tmp_path)
    lines = shown().output.splitlines()
    assert max(map(len, lines[: len(find_benchmarks()) + 3])) <= 80
    rows = {line.split()[0]: line for line in lines if line.split()}
    assert set(find_benchmarks()) <= set(rows)
    assert rows["emotion6"].split() == ["emotion6", "yes", "24/594", "6", "research", "no", "yes"]
    assert rows["lai_gai"].split() == ["lai_gai", "no", "~847", "12", "CC-BY-4.0", "no", "yes"]
    assert rows["fi"].split() == ["fi", "no", "~23308", "8", "research", "unclear", "-"]
    assert "…" not in "".join(lines)


def test_a_set_that_is_not_whole(shown, tmp_path, monkeypatch):
    """A list that is not the default one has no published number."""
    emotion6_release(tmp_path)
    assert "24 there, published are 594; lists: " in shown("emotion6").output
    monkeypatch.setenv("SEPM_EVAL_LISTS", "emotion6=full")
    assert "24; lists: " in shown("emotion6").output
    assert "512; lists: " in shown("emotion_demo").output


@pytest.mark.parametrize("name", sorted(find_benchmarks()))
def test_the_rest_of_each(shown, name):
    result = shown(name)
    assert result.exit_code == 0
    benchmark = find_benchmarks()[name]
    for fact in (benchmark.terms, benchmark.obtain, *benchmark.lists, *benchmark.names):
        assert fact in result.output
    assert name == "emotion_demo" or any(command in result.output for command in benchmark.commands)


def test_the_commands():
    commands = {name: benchmark.commands for name, benchmark in find_benchmarks().items()}
    assert commands["lai_gai"] == ("sepm-eval prepare lai_gai --source hf:ACG-AMU/LAI-GAI",)
    assert commands["webemo7"] == ("sepm-eval download webemo7",)
    assert commands["emotion6"] == (
        "sepm-eval prepare emotion6 --source hf:wudq/Small-Scale_VSA_Datasets",
        "sepm-eval prepare emotion6 --source Emotion6.zip",
    )
    assert commands["emoset"] == (
        "sepm-eval prepare emoset --source hf:Woleek/EmoSet-118K",
        "sepm-eval prepare emoset --source EmoSet-118K.zip",
        "sepm-eval prepare emoset --source hf:fuyyy74/EmoSet2k --list emoset2k",
    )
    assert commands["unbiasedemo"] == ("sepm-eval prepare unbiasedemo --source UnBiasedEmo.zip",)


def test_webemo_says_how_it_is_got_once(shown, tmp_path):
    webemo_release(tmp_path, images=False)
    assert shown().output.count("category.txt") == 0
    assert shown("webemo7").output.count("category.txt") == 1


def test_an_unknown_name(shown):
    result = shown("webemo")
    assert result.exit_code == 1
    assert "unknown benchmark 'webemo'; there are" in result.output

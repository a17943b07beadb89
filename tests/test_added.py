"""Benchmarks and submission formats that entry points add: what is accepted, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from sepm_eval import outside as outside_module
from sepm_eval.cli import app, data
from sepm_eval.datasets import find_benchmarks
from sepm_eval.submit import formats
from sepm_eval.tasks import documents

EMOSET = find_benchmarks()["emoset"]
MINE = replace(EMOSET, name="mine", title="Mine")


@pytest.fixture
def entry(monkeypatch):
    """Make one entry point of one group exist in this process."""

    def add(group: str, name: str, value: object) -> None:
        package = SimpleNamespace(name="its", version="1.0")
        point = SimpleNamespace(name=name, value="its:THING", dist=package, load=lambda: value)
        monkeypatch.setattr(outside_module, "entry_points", lambda group: [point] if group == wanted else [])
        wanted = group
        forget()

    def forget() -> None:
        outside_module.outside.cache_clear()
        outside_module._entries.cache_clear()

    yield add
    forget()


def test_a_benchmark_is_added(entry):
    entry("sepm_eval.benchmarks", "mine", MINE)
    assert find_benchmarks()["mine"] is MINE
    assert documents.mine.__name__ == documents.process_docs(MINE).__name__


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"mine": MINE}, "expected a sepm_eval.datasets.Benchmark, found dict"),
        (EMOSET, "the entry point is called 'mine', its benchmark 'emoset'"),
    ],
)
def test_what_is_no_benchmark_of_that_name_is_left_out(entry, caplog, value, reason):
    entry("sepm_eval.benchmarks", "mine", value)
    assert "mine" not in find_benchmarks()
    (message,) = caplog.messages
    assert "its:THING (its " in message
    assert reason in message


@pytest.mark.parametrize(
    ("value", "kind"),
    [(replace(MINE, name="emoset"), "benchmark"), (replace(MINE, title="EmoSet"), "VLMEvalKit data set")],
)
def test_two_benchmarks_of_one_name_name_both_homes(entry, value, kind):
    entry("sepm_eval.benchmarks", value.name, value)
    with pytest.raises(ValueError, match=rf"two {kind}s are called .*: sepm_eval.datasets.emoset and its:THING "):
        find_benchmarks()


def test_a_format_is_added(entry):
    entry("sepm_eval.submissions", "lines", print)
    assert formats()["lines"] is print


def test_what_cannot_be_called_is_no_format(entry, caplog):
    entry("sepm_eval.submissions", "lines", "text")
    assert "lines" not in formats()
    assert "expected a function of runs, folder and About, found str" in caplog.text


def test_two_formats_of_one_name_name_both_homes(entry):
    entry("sepm_eval.submissions", "csv", print)
    with pytest.raises(ValueError, match=r"two submission formats are called 'csv': sepm_eval.submit.tidy and package"):
        formats()


def test_no_task_of_an_unknown_benchmark():
    with pytest.raises(AttributeError, match="there is no benchmark 'emoticons'"):
        documents.emoticons  # noqa: B018


@pytest.mark.parametrize("name", ["mine", "pictures"])
def test_links_of_any_benchmark_are_downloaded(entry, tmp_path, monkeypatch, name):
    asked = []

    def links(folder, limit):
        asked.append((folder, limit))
        return [], ["line 1 is broken"]

    entry("sepm_eval.benchmarks", "mine", replace(MINE, folder="Pictures", links=links))
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path))
    (tmp_path / "Pictures").mkdir()
    result = CliRunner().invoke(app, ["download", name, "--limit", "3"])
    assert asked == [(tmp_path / "Pictures", 3)]
    assert result.exit_code == 1
    assert "line 1 is broken" in result.output

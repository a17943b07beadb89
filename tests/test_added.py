"""Benchmarks and submission formats that entry points add: what is accepted, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from sepm_eval import plugins
from sepm_eval.cli import app, data
from sepm_eval.datasets import find_benchmarks
from sepm_eval.hosts.lmms_eval.plugin import add_tasks
from sepm_eval.parsing import Options
from sepm_eval.runs.asking import Asked, QuestionMaker
from sepm_eval.runs.plan import Plan
from sepm_eval.runs.pricing import price
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
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == wanted else [])
        wanted = group
        forget()

    def forget() -> None:
        plugins.installed.cache_clear()
        plugins._entries.cache_clear()
        plugins._warn_once.cache_clear()

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
    ("value", "clash"),
    [
        (replace(MINE, name="emoset"), "two benchmarks are called 'emoset'"),
        (replace(MINE, title="EMOSET"), "two VLMEvalKit data sets are called 'emoset'"),
    ],
)
def test_a_benchmark_whose_name_is_taken_is_left_out(entry, caplog, value, clash):
    entry("sepm_eval.benchmarks", value.name, value)
    for _ in range(2):
        found = find_benchmarks()
        assert found["emoset"] is EMOSET
        assert value not in found.values()
    (message,) = caplog.messages
    assert message.startswith(f"{clash}: sepm_eval.datasets.emoset and its:THING (its 1.0). The second is left out")


def test_a_format_is_added(entry):
    entry("sepm_eval.submissions", "lines", print)
    assert formats()["lines"] is print


def test_what_cannot_be_called_is_no_format(entry, caplog):
    entry("sepm_eval.submissions", "lines", "text")
    assert "lines" not in formats()
    assert "expected a function of runs, folder and About, found str" in caplog.text


def test_a_format_whose_name_is_taken_is_left_out(entry, caplog):
    entry("sepm_eval.submissions", "csv", print)
    assert formats()["csv"] is not print
    assert "two submission formats are called 'csv': sepm_eval.submit.csv_table and its:THING (its 1.0)" in caplog.text


def plan(task: str, *methods: str) -> Plan:
    return Plan(tasks=(task,), methods=methods, models=({"model": "sepm_llava", "args": {"pretrained": "demo"}},))


def test_labels_unknown_here_are_priced_where_no_polarity_is_needed(entry):
    names = {"mono no aware": "Mono no aware", "joy": "Joy", "sadness": "Sadness"}
    entry("sepm_eval.benchmarks", "mine", replace(MINE, names=names))
    without, plain = price(plan("mine", "sepm", "zero_shot"))
    assert (without.tokens, without.flops) == (None, None)
    assert plain.tokens
    assert plain.flops


def test_a_method_that_needs_polarities_does_not_answer_where_they_are_unknown(caplog):
    options = Options(("saudade", "joy", "sadness"), ("Saudade", "Joy", "Sadness"))
    asked = Asked("t", 0, load=lambda: ("", []), max_new_tokens=8, options=options)
    picture = Image.new("RGB", (9, 9))
    for _ in range(2):
        maker = QuestionMaker("sepm", True, {})
        assert maker.question(asked, "?", [picture]) is None
        assert maker.question(asked, "?", [picture]) is None
        (message,) = caplog.messages
        assert message.startswith("t: emotions ['saudade'] have no known polarity and sepm needs both")
        caplog.clear()
    question = QuestionMaker("zero_shot", False, {}).question(asked, "?", [picture])
    assert question.labels == options.labels
    assert question.positive == {"joy"}


def test_a_task_without_a_file_has_the_tag_of_ours(entry):
    from lmms_eval.tasks import TaskManager

    entry("sepm_eval.benchmarks", "mine", MINE)
    add_tasks()
    index = TaskManager("WARNING").task_index
    assert {"mine", "emoset"} <= set(index["image_emotion"]["task"])
    assert "emotion_demo" not in index["image_emotion"]["task"]


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
